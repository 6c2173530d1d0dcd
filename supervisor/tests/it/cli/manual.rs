//! The manual pages and the shell completions cover every verb and parse without warnings.

use std::{
    fs,
    io::Write,
    process::{Command, Output, Stdio},
};

use crate::support::{SUPERVISOR, files::Scratch};

fn supervisor(words: &[&str]) -> Output {
    Command::new(SUPERVISOR).args(words).stdin(Stdio::null()).output().unwrap()
}

fn printed(words: &[&str]) -> String {
    let output = supervisor(words);
    assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The verbs that `--help` lists.
fn verbs() -> Vec<String> {
    let help = printed(&["--help"]);
    let list = help.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap();
    let first = |line: &str| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned);
    let verbs: Vec<_> = list.lines().filter_map(first).filter(|verb| !verb.is_empty()).collect();
    assert!(["run", "each", "ps", "man"].iter().all(|verb| verbs.iter().any(|v| v == verb)));
    verbs
}

/// Feeds a text to a checker and returns its complaints; `None` if the checker is not installed.
fn faults(program: &[&str], text: &str) -> Option<String> {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:?}");
    Some(String::from_utf8(output.stderr).unwrap())
}

#[test]
fn completions_cover_every_verb_and_parse() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for verb in verbs() {
            assert!(script.contains(&verb), "{shell} knows nothing of {verb}");
        }
        assert!(script.contains("--keep-order") || script.contains("keep-order"), "{shell}");
        let complaint = faults(&[shell, "-n"], &script);
        assert!(complaint.as_deref().unwrap_or("").is_empty(), "{shell}: {complaint:?}");
    }
    assert_eq!(supervisor(&["completions", "dos"]).status.code(), Some(2));
}

#[test]
fn each_verb_has_a_manual_page_that_formats_without_warnings() {
    let scratch = Scratch::new();
    let directory = scratch.path().join("share/man1");
    assert_eq!(printed(&["man", directory.to_str().unwrap()]), "");
    let page = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    let first = page("supervisor.1");
    assert_eq!(first, printed(&["man"]));
    for verb in verbs().iter().filter(|verb| *verb != "help") {
        let name = format!("supervisor-{verb}(1)").replace('-', "\\-");
        assert!(first.contains(&name), "{verb}");
        assert!(page(&format!("supervisor-{verb}.1")).contains(".SH SYNOPSIS"));
    }
    let names: Vec<_> = fs::read_dir(&directory).unwrap().map(|e| e.unwrap().file_name()).collect();
    for name in names {
        let page = page(name.to_str().unwrap());
        assert!(page.is_ascii(), "{name:?}");
        let complaint = faults(&["groff", "-man", "-Tutf8", "-ww"], &page).unwrap_or_default();
        assert_eq!(complaint, "", "{name:?}");
    }
}

#[test]
fn an_unwritable_manual_directory_is_an_error() {
    let output = supervisor(&["man", "/dev/null/man"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{error}");
    assert!(error.starts_with("supervisor: /dev/null/man cannot be written: "), "{error}");
}
