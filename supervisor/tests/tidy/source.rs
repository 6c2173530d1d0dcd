//! A source file as the bans see it: its code without comments, texts and tests.

use std::{fs, path::Path};

#[derive(Debug)]
pub(crate) struct Source {
    /// From the workspace's root.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The same lines, with comments and the contents of literals blanked.
    pub(crate) code: String,
    /// And without what is compiled for tests only.
    pub(crate) product: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = without_texts(text);
        let product = without_tests(&code);
        Self { path: path.into(), text: text.into(), code, product }
    }

    /// All Rust files in these directories, with what is below them.
    pub(crate) fn all(root: &Path, directories: &[&str]) -> Vec<Self> {
        let mut found = Vec::new();
        let mut left: Vec<_> = directories.iter().map(|directory| root.join(directory)).collect();
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    left.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                    found.push(Self::new(name, &fs::read_to_string(&path).unwrap()));
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    pub(crate) fn is_in(&self, place: &str) -> bool {
        self.path.starts_with(place)
    }
}

/// Blanks comments and the contents of literals; lines stay where they are.
fn without_texts(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = text_length(rest, out.chars().next_back());
        let (token, after) = rest.split_at(length.unwrap_or(first.len_utf8()));
        if length.is_some() {
            out.extend(token.chars().map(|c| if c == '\n' { c } else { ' ' }));
        } else {
            out.push(first);
        }
        rest = after;
    }
    out
}

/// How long the comment or literal is that begins here; `None` where none does.
fn text_length(rest: &str, before: Option<char>) -> Option<usize> {
    let until = |end: &str, from: usize| {
        rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(until("*/", 2));
    }
    if rest.starts_with('"') {
        return Some(escaped_length(rest, '"'));
    }
    if let Some(character) = rest.strip_prefix('\'') {
        // A lifetime has no second quote.
        let is_character = character.starts_with('\\') || character.chars().nth(1) == Some('\'');
        return is_character.then(|| escaped_length(rest, '\''));
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let raw = rest.strip_prefix('r').filter(|_| !in_word || before == Some('b'))?;
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    raw[hashes..].starts_with('"').then(|| until(&end, hashes + 2))
}

fn escaped_length(rest: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == end && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

/// Blanks every item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let item = &out[start..];
        let end = match item.find([';', '{']) {
            Some(at) if item[at..].starts_with('{') => at + block_length(&item[at..]),
            at => at.map_or(item.len(), |at| at + 1),
        };
        let blank: String = item[..end].chars().filter(|c| *c == '\n').collect();
        out.replace_range(start..start + end, &blank);
    }
    out
}

/// How long the block is that begins with this brace.
pub(crate) fn block_length(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}
