//! Do the checks see what they are to see? Each ban is broken here, and each look-alike kept.

use super::{CHECKS, form, rooms, source::Source};

const POOL: &str = "supervisor/src/pool/slot.rs";
const SINK: &str = "supervisor/src/sink/text.rs";
const OS: &str = "supervisor/src/os/child.rs";
const RUN: &str = "supervisor/src/run.rs";

#[test]
fn what_breaks_a_ban_is_seen() {
    let long_file = "//! x\n".repeat(401);
    let long_function = format!("fn long() -> [u8; 4] {{\n{}}}", "f();\n".repeat(70));
    let cases: &[(super::Check, &str, &str)] = &[
        (rooms::banned_words, POOL, "use tokio::time::Instant;"),
        (rooms::banned_words, OS, "use crate::{exit::Status, pool::Input};"),
        (rooms::banned_words, OS, "fn f() { crate::executor::go() }"),
        (rooms::banned_words, SINK, "use crate::pool::Input;"),
        (rooms::banned_words, RUN, "#[derive(clap::Args)] struct A;"),
        (rooms::banned_words, "supervisor/src/event.rs", "use crate::os::child;"),
        (rooms::imports_of_the_pool, POOL, "use std::{collections::VecDeque, io::Read};"),
        (rooms::imports_of_the_pool, POOL, "fn f() { std::env::var(x); }"),
        (rooms::imports_of_the_pool, POOL, "use crate::{event::Event, sink::Outlet};"),
        (rooms::imports_of_the_pool, POOL, "use rand::Rng;"),
        (rooms::nowhere, RUN, "std::thread::sleep(pause);"),
        (rooms::nowhere, RUN, "tokio::time::sleep(pause).await;"),
        (rooms::nowhere, "supervisor/src/compare/child.rs", "thread::sleep(pause);"),
        (rooms::banned_words, "supervisor/src/compare/child.rs", "use crate::pool::Input;"),
        (rooms::nowhere, RUN, "let c = mpsc::unbounded_channel();"),
        (rooms::nowhere, RUN, "let c = mpsc::channel();"),
        (rooms::nowhere, RUN, "let now = SystemTime::now();"),
        (form::says_what_it_is, RUN, "use std::io;\n"),
        (form::lengths, RUN, &long_file),
        (form::lengths, RUN, &long_function),
        (form::no_unwrap, RUN, "let x = y.unwrap();"),
        (form::no_unwrap, RUN, "let x = y\n    .expect(\"it\");"),
        (form::no_unwrap, RUN, "#[cfg(test)]\nmod tests { fn f() {} }\nfn g() { x.unwrap(); }"),
        (form::unsafe_has_its_place, RUN, "// SAFETY: so\nunsafe { f() };"),
        (form::unsafe_has_its_place, "supervisor/src/executor/process.rs", "unsafe {} unsafe {}"),
        (form::unsafe_has_its_reason, OS, "//! x\n\n\n\n\n\n\n\nunsafe { f() };"),
    ];
    for (check, path, text) in cases {
        assert!(!check(&Source::new(path, text)).is_empty(), "not seen in {path}: {text}");
    }
}

#[test]
fn what_only_looks_so_is_left_alone() {
    for (path, text) in [
        (POOL, "//! Not tokio, nor unsafe { } nor .unwrap().\nuse crate::event::Event;\n"),
        (POOL, "//! x\nuse std::{collections::VecDeque, time::Duration};\nuse super::{A, b::C};\n"),
        (POOL, "//! x\nfn f() { u64::from(1u8); Duration::from_secs(1); step::f(); }\n"),
        (
            POOL,
            "//! x\n#[cfg(test)]\nmod tests {\n    use std::env;\n    fn f() { g().unwrap() }\n}\n",
        ),
        (OS, "//! x\n/* pool */ const POOL: &str = \"pool \\\" executor\"; // clap\n"),
        (OS, "//! x\nfn f() {\n    // SAFETY: so.\n    let x =\n        unsafe { g() };\n}\n"),
        (OS, "//! x\nconst A: char = '\"'; const B: &[u8] = br#\"unsafe { \"#; fn f<'a>() {}\n"),
        (RUN, "//! x\nfn f() { sleep_until(t); x.unwrap_or_default(); mpsc::channel(8); }\n"),
        (SINK, "//! x\nuse std::time::SystemTime;\n"),
        ("supervisor/src/exit.rs", "//! x\nuse std::{io, os::fd::OwnedFd};\n"),
        ("supervisor/src/compare/bodies.rs", "//! x\nfn f() { thread::sleep(t); }\n"),
    ] {
        let source = Source::new(path, text);
        let found: Vec<_> = CHECKS.iter().flat_map(|check| check(&source)).collect();
        assert!(found.is_empty(), "{found:?} in {path}: {text}");
    }
}
