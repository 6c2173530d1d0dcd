//! Which words and paths does a piece of code name?

/// Its words, with where each begins.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + code[from..].find(is_part)?;
        let length = code[start..].find(|c| !is_part(c)).unwrap_or(code.len() - start);
        from = start + length;
        Some((start, &code[start..from]))
    })
}

pub(crate) fn has_word(code: &str, word: &str) -> bool {
    words(code).any(|(_, found)| found == word)
}

/// The number of the line that this place is in.
pub(crate) fn line(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Every path with `::` in it, those of `use` written out.
pub(crate) fn paths(code: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), code.to_owned());
    let next = |rest: &str| words(rest).find(|(_, word)| *word == "use").map(|(at, _)| at);
    while let Some(at) = next(&rest) {
        let end = rest[at..].find(';').map_or(rest.len(), |end| at + end);
        flatten("", &rest[at + 3..end], &mut found);
        rest.replace_range(at..end, "");
    }
    let is_path = |c: char| c.is_alphanumeric() || ['_', ':'].contains(&c);
    let plain = rest.split(|c| !is_path(c)).filter(|path| path.contains("::"));
    found.extend(plain.map(|path| path.trim_end_matches(':').to_owned()));
    found
}

/// `a::{b, c::d}` to `a::b` and `a::c::d`.
fn flatten(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or(tree);
        if !name.is_empty() {
            found.push(format!("{prefix}{name}"));
        }
        return;
    };
    let prefix = format!("{prefix}{}", head.trim());
    let group = group.rsplit_once('}').map_or(group, |(inner, _)| inner);
    let (mut depth, mut from) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                flatten(&prefix, &group[from..at], found);
                from = at + 1;
            }
            _ => {}
        }
    }
}

#[test]
fn use_trees_are_written_out() {
    let code = "use a::{b, c::{d, e::F as G},\n h};\nlet x = std::env::var(y); use z;";
    assert_eq!(paths(code), ["a::b", "a::c::d", "a::c::e::F", "a::h", "z", "std::env::var"]);
}
