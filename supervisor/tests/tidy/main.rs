//! Checks what ARCHITECTURE.md promises about the sources and the compiler does not check.
//!
//! Each check is a function from what it reads to a list of violations, so that every check is
//! also run on a planted violation that it must find.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

mod boundaries;
mod cycles;
mod form;
mod prose;
mod workspace;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::workspace::Crate;

/// The folders with the packages of the workspace.
fn packages(root: &Path) -> Vec<String> {
    let mut found: Vec<String> = ["connection", "server", "supervisor"].map(Into::into).into();
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        let name = entry.unwrap().file_name();
        found.push(format!("crates/{}", name.to_str().unwrap()));
    }
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn crates() -> Vec<Crate> {
    let crates: Vec<_> =
        packages(root()).iter().map(|folder| Crate::read(root(), folder)).collect();
    for name in ["pool", "process", "protocol", "records", "supervisor"] {
        let found = crates.iter().find(|it| it.name == name).unwrap();
        assert!(found.modules.len() > 1, "{name} was not read");
    }
    crates
}

/// All files with this extension below the packages' folders and the folders of texts, with
/// their contents; paths are from the workspace's root.
fn texts(extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = ["connection", "server", "supervisor", "crates", "docs"]
        .map(|name| root().join(name))
        .into();
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    left.extend(top.filter(|path| path.is_file()));
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let is_ours = !path.ends_with("target") && !path.ends_with("snapshots");
            let entries = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            left.extend(entries.filter(|_| is_ours));
        } else if path.extension().is_some_and(|found| found == extension) {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
            found.push((name.to_owned(), fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn every_boundary_of_the_architecture_holds() {
    let table = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let boundaries = boundaries::read(&table);
    assert!(boundaries.len() > 10, "the table of ARCHITECTURE.md was not read");
    let crates = crates();
    let crossed = crates.iter().flat_map(|it| boundaries::crossed(it, &boundaries));
    let missing = crates.iter().flat_map(|it| boundaries::missing(it, &boundaries));
    none(&crossed.chain(missing).collect::<Vec<_>>());
}

#[test]
fn no_folder_imports_itself_through_another() {
    let found: Vec<_> = crates().iter().flat_map(cycles::between_folders).collect();
    none(&found);
}

#[test]
fn no_module_of_the_pool_imports_itself_through_another() {
    let crates = crates();
    let pool = crates.iter().find(|it| it.name == "pool").unwrap();
    none(&cycles::between_modules(pool));
}

#[test]
fn every_file_states_its_purpose_and_can_be_read_in_one_sitting() {
    let found: Vec<_> =
        texts("rs").iter().flat_map(|(path, text)| form::check(path, text)).collect();
    none(&found);
}

#[test]
fn unsafe_code_stays_in_the_system_call_modules() {
    none(&crates().iter().flat_map(form::misplaced_unsafe).collect::<Vec<_>>());
}

#[test]
fn prose_is_plain_english() {
    let sources = texts("rs");
    let sources = sources.iter().flat_map(|(path, text)| prose::in_source(path, text));
    let documents = texts("md");
    let documents = documents.iter().flat_map(|(path, text)| prose::in_document(path, text));
    none(&sources.chain(documents).collect::<Vec<_>>());
}
