//! Reads the sources, and keeps what the design bans out of them.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod form;
mod names;
mod planted;
mod rooms;
mod source;

use std::path::Path;

use self::source::Source;

type Check = fn(&Source) -> Vec<String>;

const CHECKS: [Check; 8] = [
    rooms::banned_words,
    rooms::imports_of_the_pool,
    rooms::nowhere,
    form::says_what_it_is,
    form::lengths,
    form::no_unwrap,
    form::unsafe_has_its_place,
    form::unsafe_has_its_reason,
];

/// Where the sources are.
const PLACES: [&str; 14] = [
    "connection/src",
    "connection/tests",
    "crates/chaos/src",
    "crates/chaos/tests",
    "crates/protocol/src",
    "crates/worker/examples",
    "crates/worker/src",
    "crates/worker/tests",
    "server/src",
    "server/tests",
    "supervisor/benches",
    "supervisor/examples",
    "supervisor/src",
    "supervisor/tests",
];

#[test]
fn the_sources_keep_the_bans() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let sources = Source::all(root, &PLACES);
    for file in
        ["supervisor/src/pool/mod.rs", "supervisor/src/run.rs", "crates/protocol/src/frame.rs"]
    {
        assert!(sources.iter().any(|source| source.path == file), "{file} was not read");
    }
    let broken: Vec<String> = sources
        .iter()
        .flat_map(|source| {
            let found = CHECKS.iter().flat_map(|check| check(source));
            found.map(|what| format!("{}: {what}", source.path)).collect::<Vec<_>>()
        })
        .collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}
