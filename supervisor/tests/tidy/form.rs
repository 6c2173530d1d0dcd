//! Files that say which question they answer, of a size that can be read; no `unsafe` without
//! its place and its reason; no `unwrap` on what another may have supplied.

use super::{
    names::{line, words},
    rooms::is_test,
    source::{Source, block_length},
};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

const UNSAFE: [&str; 9] = [
    "supervisor/src/os/",
    "supervisor/src/executor/process.rs",
    "supervisor/src/journal/errno.rs",
    "supervisor/src/launcher/sys.rs",
    "supervisor/src/compare/faults.rs",
    "crates/protocol/src/recorder.rs",
    "crates/protocol/src/sys.rs",
    "crates/worker/src/sys.rs",
    "connection/src/sys.rs",
];

pub(crate) fn says_what_it_is(source: &Source) -> Vec<String> {
    let is_said = source.text.starts_with("//! ");
    (!is_said).then(|| "does not begin with `//!`".into()).into_iter().collect()
}

pub(crate) fn lengths(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let too_long = lines > FILE_LINES_MAX;
    let file = too_long.then(|| format!("{lines} lines, at most {FILE_LINES_MAX}"));
    file.into_iter().chain(long_functions(&source.code)).collect()
}

fn long_functions(code: &str) -> Vec<String> {
    let functions = words(code).filter(|(_, word)| *word == "fn");
    functions
        .filter_map(|(at, _)| {
            let body = at + body(&code[at..])?;
            let lines = code[at..body + block_length(&code[body..])].matches('\n').count() + 1;
            let name = code[at..body].split(['(', '<']).next()?;
            (lines > FUNCTION_LINES_MAX).then(|| format!("{name} has {lines} lines"))
        })
        .collect()
}

/// Where the body of a function begins; a type or a declaration has none.
fn body(code: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' if depth == 0 => return None,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(at),
            ';' | ',' | '=' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

pub(crate) fn no_unwrap(source: &Source) -> Vec<String> {
    let is_test = is_test(source) || !source.path.contains("/src/");
    let code = &source.product;
    let calls = [".unwrap()", ".expect("].into_iter().filter(|_| !is_test);
    calls
        .flat_map(|call| code.match_indices(call))
        .map(|(at, call)| format!("line {}: `{call}`", line(code, at)))
        .collect()
}

pub(crate) fn unsafe_has_its_place(source: &Source) -> Vec<String> {
    let is_fixture = !source.path.contains("/src/");
    if is_fixture || UNSAFE.iter().any(|place| source.is_in(place)) {
        let uses = words(&source.code).filter(|(_, word)| *word == "unsafe").count();
        let only_one = source.path == "supervisor/src/executor/process.rs" && uses > 1;
        return only_one.then(|| format!("{uses} uses of unsafe, not one")).into_iter().collect();
    }
    unsafe_lines(source).map(|line| format!("line {line}: unsafe has no place here")).collect()
}

/// A comment with its reason stands above the statement.
pub(crate) fn unsafe_has_its_reason(source: &Source) -> Vec<String> {
    const STATEMENT_LINES_MAX: usize = 5;
    let lines: Vec<_> = source.text.lines().collect();
    let has_reason = |line: usize| {
        let from = line.saturating_sub(1 + STATEMENT_LINES_MAX);
        lines[from..line].iter().any(|line| line.contains("// SAFETY: "))
    };
    let bare = unsafe_lines(source).filter(|line| !has_reason(*line));
    bare.map(|line| format!("line {line}: unsafe without a SAFETY comment")).collect()
}

/// The lines with an unsafe block, function or implementation.
fn unsafe_lines(source: &Source) -> impl Iterator<Item = usize> {
    let code = &source.code;
    let uses = words(code).filter(|(_, word)| *word == "unsafe");
    uses.filter(|(at, _)| !code[at + "unsafe".len()..].starts_with('('))
        .map(|(at, _)| line(code, at))
}
