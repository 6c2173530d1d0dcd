//! The table "Boundaries" of ARCHITECTURE.md, checked against manifests and imports.
//!
//! A row names a folder and what nothing in it may name: crates, modules of its own crate
//! (`crate::pool`), or paths of the standard library (`std::fs`). A crate's own row also holds
//! for the dependencies in its manifest.

use crate::workspace::Crate;

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Boundary {
    /// The folder or file, from the workspace's root.
    place: String,
    /// The paths that nothing in the place may name.
    banned: Vec<Vec<String>>,
}

impl Boundary {
    /// Whether this file is the place, or lies in it.
    fn covers(&self, file: &str) -> bool {
        let is_module = file.strip_suffix(".rs") == Some(self.place.trim_end_matches('/'));
        is_module || file.starts_with(&self.place)
    }
}

/// Reads the rows of the table: those that begin with a path in backticks.
pub(crate) fn read(document: &str) -> Vec<Boundary> {
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let banned: Vec<_> = quoted(cells.last_chunk::<2>().unwrap()[0])
            .map(|path| path.split("::").map(Into::into).collect())
            .collect();
        quoted(cells[1])
            .map(|place| Boundary { place: place.into(), banned: banned.clone() })
            .collect::<Vec<_>>()
    })
    .collect()
}

/// The texts between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// What a crate names beyond its boundaries.
pub(crate) fn crossed(it: &Crate, boundaries: &[Boundary]) -> Vec<String> {
    let mut found = Vec::new();
    let own = boundaries.iter().filter(|row| row.place.trim_end_matches('/') == it.folder);
    for path in own.flat_map(|row| &row.banned) {
        if path.len() == 1 && it.dependencies.contains(&path[0]) {
            found.push(format!("{}/Cargo.toml depends on `{}`", it.folder, path[0]));
        }
    }
    for (names, module) in &it.modules {
        let banned = boundaries.iter().filter(|row| row.covers(&module.file));
        for path in banned.flat_map(|row| &row.banned) {
            let names_it = |written: &Vec<String>| it.absolute(names, written).starts_with(path);
            if module.paths.iter().any(names_it) {
                found.push(format!("{} names `{}`", module.file, path.join("::")));
            }
        }
    }
    found
}

/// The files of a crate that no row describes.
pub(crate) fn missing(it: &Crate, boundaries: &[Boundary]) -> Vec<String> {
    let files = it.modules.values().map(|module| &module.file);
    let missing = files.filter(|file| !boundaries.iter().any(|row| row.covers(file)));
    let mut missing: Vec<_> =
        missing.map(|file| format!("ARCHITECTURE.md does not describe {file}")).collect();
    missing.sort();
    missing.dedup();
    missing
}

#[test]
fn a_crossed_boundary_is_found() {
    let table = "| place | does | names none of |\n|---|---|---|\n\
        | `edge/src/pool/` | decides | `tokio`, `std::fs`, `crate::os` |\n\
        | `edge/src/sink/`, `edge/src/os.rs` | writes | `clap` |\n";
    let boundaries = read(table);
    assert_eq!(boundaries.len(), 3);
    for (module, code) in [
        ("pool::slot", "use tokio::time::Instant;"),
        ("pool::slot", "use std::{fs, io};"),
        ("pool::slot", "fn f() { std::fs::read(x); }"),
        ("pool::slot", "use super::super::os::child;"),
        ("pool::slot", "fn f() { crate::os::go() }"),
        ("pool::slot", "use crate::Child;"),
        ("sink", "#[derive(clap::Args)] struct A;\nfn f(a: clap::Args) {}"),
    ] {
        let planted = Crate::planted(
            "edge",
            &[("", "pub use os::Child;"), ("os", "pub struct Child;"), (module, code)],
        );
        assert!(!crossed(&planted, &boundaries).is_empty(), "not found in {module}: {code}");
    }
    let innocent = "use std::{collections::VecDeque, process as tokio};\nfn f() { tokio::id() }\n#[cfg(test)] mod tests { use std::fs; }";
    let kept =
        Crate::planted("edge", &[("", ""), ("os", "use std::fs;"), ("pool::slot", innocent)]);
    assert_eq!(crossed(&kept, &boundaries), Vec::<String>::new());
    let mut depends = Crate::planted("edge", &[("", "")]);
    depends.dependencies.push("tokio".into());
    let own = read("| `edge/` | all | `tokio` |\n");
    assert_eq!(crossed(&depends, &own), ["edge/Cargo.toml depends on `tokio`"]);
}

#[test]
fn a_file_without_a_row_is_found() {
    let planted = Crate::planted("edge", &[("pool::slot", ""), ("pool", ""), ("sink", "")]);
    let boundaries = read("| `edge/src/pool/` | decides | `tokio` |\n");
    assert_eq!(
        missing(&planted, &boundaries),
        ["ARCHITECTURE.md does not describe edge/src/sink.rs"]
    );
}
