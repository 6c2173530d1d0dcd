//! Keeps comments and documents in plain English: a list of words and phrases that a native
//! engineer would not write there.

/// The phrases, in lower case; each is looked for at word boundaries.
const DIALECT: &[&str] = &[
    "by himself",
    "he",
    "hears",
    "him",
    "his",
    "how-many-th",
    "in hand",
    "is but",
    "is said to",
    "of ours",
    "ours",
    "onlook",
    "onlooker",
    "onlookers",
    "rung",
    "shall",
    "so many",
    "somebody",
    "thereof",
    "told",
    "undead",
    "whoever",
    "whosoever",
];

/// Checks the comments of a source file.
pub(crate) fn in_source(path: &str, text: &str) -> Vec<String> {
    // The list itself is not prose.
    if path.ends_with("tidy/prose.rs") {
        return Vec::new();
    }
    let comments: String = text
        .lines()
        .map(|line| {
            let comment = line.trim_start().strip_prefix("//").unwrap_or("");
            format!("{}\n", comment.trim_start_matches(['/', '!']))
        })
        .collect();
    in_document(path, &comments)
}

/// Checks a document, except for its code.
pub(crate) fn in_document(path: &str, text: &str) -> Vec<String> {
    let (mut words, mut is_code) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            let outside = line.split('`').step_by(2);
            let of_line = outside.flat_map(|text| {
                text.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '\'')
            });
            let of_line = of_line.filter(|word| !word.is_empty());
            words.extend(of_line.map(|word| (number + 1, word.to_lowercase())));
        }
    }
    let mut found = Vec::new();
    for at in 0..words.len() {
        for phrase in DIALECT {
            let mut parts = phrase.split(' ').enumerate();
            if parts.all(|(ahead, part)| words.get(at + ahead).is_some_and(|word| word.1 == part)) {
                found.push(format!("{path}:{}: \"{phrase}\"", words[at].0));
            }
        }
    }
    found
}

#[test]
fn a_phrase_of_the_dialect_is_found() {
    for text in
        ["//! Who is\n//! told what.\n", "    /// So many.\n", "    // It is but\n    // one.\n"]
    {
        assert_eq!(in_source("a.rs", text).len(), 1, "{text}");
    }
    assert_eq!(in_document("a.md", "x\n\nWhoever asks.\n"), ["a.md:3: \"whoever\""]);
    for text in ["let told = \"whoever\";\n", "/// `so many` as a name, and this.\n"] {
        assert_eq!(in_source("a.rs", text), Vec::<String>::new(), "{text}");
    }
    assert!(in_document("a.md", "```text\nwhoever\n```\n").is_empty());
}
