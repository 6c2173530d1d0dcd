//! Each file states its purpose, has a size that can be read, and contains `unsafe` only where
//! system calls are made.

use crate::workspace::Crate;

const FILE_LINES_MAX: usize = 400;

/// The modules that may contain `unsafe`, as ARCHITECTURE.md lists them.
const UNSAFE: &[&str] = &[
    "connection/src/sys.rs",
    "crates/compare/src/faults.rs",
    "crates/fuzz/src/allocation.rs",
    "crates/journal/src/errno.rs",
    "crates/process/src/",
    "crates/protocol/src/recorder.rs",
    "crates/protocol/src/sys.rs",
    "crates/worker/src/sys.rs",
    "supervisor/src/main.rs",
];

/// Checks the length of a file and its module documentation.
pub(crate) fn check(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let mut found = Vec::new();
    if lines > FILE_LINES_MAX {
        found.push(format!("{path} has {lines} lines, at most {FILE_LINES_MAX} are allowed"));
    }
    let documentation: Vec<_> = text.lines().take_while(|line| line.starts_with("//!")).collect();
    if documentation.is_empty() {
        found.push(format!("{path} does not begin with `//!`"));
    }
    if documentation.iter().any(|line| line.ends_with('?')) {
        found.push(format!("{path} begins with a question"));
    }
    found
}

/// The modules of a crate that contain `unsafe` without being listed.
pub(crate) fn misplaced_unsafe(it: &Crate) -> Vec<String> {
    let modules = it.modules.values().filter(|module| module.has_unsafe);
    let misplaced = modules.filter(|module| !UNSAFE.iter().any(|at| module.file.starts_with(at)));
    misplaced.map(|module| format!("{} contains `unsafe`", module.file)).collect()
}

#[test]
fn a_misshapen_file_is_found() {
    assert_eq!(check("a.rs", "//! Does it.\n"), Vec::<String>::new());
    for text in ["", "use std::io;\n", "//! What does it do?\n", "//! Where\n//! is it?\nuse a;"] {
        assert_eq!(check("a.rs", text).len(), 1, "{text}");
    }
    assert_eq!(check("a.rs", &"//! x\n".repeat(401)).len(), 1);
}

#[test]
fn misplaced_unsafe_code_is_found() {
    for code in ["fn f() { unsafe { g() } }", "unsafe impl Send for A {}"] {
        let planted = Crate::planted("edge", &[("", ""), ("sink", code)]);
        assert_eq!(misplaced_unsafe(&planted), ["edge/src/sink.rs contains `unsafe`"]);
    }
}
