//! The help of every verb of every program, and the manual.

use std::fs;

use super::{
    super::support::{SUPERVISOR, files::Scratch, upstream::sibling},
    check, stdout, supervisor,
};

/// The verbs that a help names.
fn verbs(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let list = list.split("\n\n").next().unwrap();
    let verb = |line: &str| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned);
    let verbs = list.lines().filter_map(verb);
    verbs.filter(|verb| !verb.is_empty() && verb != "help").collect()
}

fn check_verb(path: &[String]) {
    let ask = |flag: &str| {
        let words = path.iter().map(String::as_str).chain([flag]);
        supervisor(&words.collect::<Vec<_>>())
    };
    let (long, short) = (ask("--help"), ask("-h"));
    let name = [&["help".to_owned(), "supervisor".to_owned()], path].concat().join("-");
    check(&name, &format!("--- --help\n{long}\n--- -h\n{short}"));
    for verb in verbs(&long) {
        check_verb(&[path, &[verb]].concat());
    }
}

#[test]
fn the_help_of_every_verb_is_golden() {
    check_verb(&[]);
}

#[test]
fn the_help_of_the_other_programs_is_golden() {
    for program in ["connection_bin", "server_bin"] {
        let path = sibling(program);
        let ask = |flag| stdout(path.to_str().unwrap(), &[flag]);
        let (long, short) = (ask("--help"), ask("-h"));
        check(&format!("help-{program}"), &format!("--- --help\n{long}\n--- -h\n{short}"));
    }
}

#[test]
fn the_manual_is_golden() {
    let scratch = Scratch::new();
    stdout(SUPERVISOR, &["man", scratch.path().to_str().unwrap()]);
    let pages = scratch.files();
    assert!(pages.len() > 20, "{pages:?}");
    for page in pages {
        let name = page.file_name().unwrap().to_str().unwrap();
        check(&format!("man-{name}"), &fs::read_to_string(&page).unwrap());
    }
}
