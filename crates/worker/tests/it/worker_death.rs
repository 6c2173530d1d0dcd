//! After a worker's death the pipe and the recorder show exactly which jobs were answered and which
//! one was running. Real processes die in every way.

use std::{os::unix::process::ExitStatusExt, path::Path, process::Command};

use crate::peer::Peer;
use worker::wire::{Codec, ToSupervisor};

fn ids(replies: &[crate::peer::Reply]) -> Vec<u64> {
    replies.iter().map(|(id, _)| *id).collect()
}

#[test]
fn the_recorder_names_the_running_job_and_keeps_every_answer() {
    for (word, signal) in
        [("segv", libc::SIGSEGV), ("abort", libc::SIGABRT), ("kill", libc::SIGKILL), ("exit 3", 0)]
    {
        for victim in [1, 2, 7] {
            let mut peer = Peer::example(true, "work", &[]);
            let word_of = |id| if id == victim { word.as_bytes() } else { b"fine" };
            peer.jobs(&(1..=9).map(|id| (id, word_of(id))).collect::<Vec<_>>());
            let (replies, status) = peer.post_mortem();
            assert_eq!(ids(&replies), (1..victim).collect::<Vec<_>>(), "{word} {victim}");
            assert_eq!(peer.recorder().running(), (victim, false));
            assert_eq!(status.signal().unwrap_or(0), signal, "{word}");
            assert!(peer.rest().is_empty());
        }
    }
}

#[test]
fn a_death_between_jobs_charges_no_job() {
    for (mode, running, answered) in [("before-read", 0, 0), ("after-reply", 1, 1)] {
        for (how, code, signal) in
            [("SIGSEGV", None, Some(11)), ("SIGBUS", None, Some(7)), ("4", Some(4), None)]
        {
            let mut peer = Peer::example(true, "vile", &[mode, how]);
            peer.jobs(&[(5, b"one"), (6, b"two")]);
            let (replies, status) = peer.post_mortem();
            assert_eq!(replies.len(), answered, "{mode}");
            assert_eq!(peer.recorder().running(), (running, false));
            assert_eq!((status.code(), status.signal()), (code, signal));
        }
    }
}

#[test]
fn a_truncated_reply_is_discarded() {
    let frame_bytes = 4 + 36 + 3;
    for cut in 0..=frame_bytes {
        let mut peer = Peer::example(false, "vile", &["half", &cut.to_string()]);
        peer.jobs(&[(5, b"one"), (6, b"two")]);
        let (replies, status) = peer.post_mortem();
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        assert_eq!(replies.len(), usize::from(cut == frame_bytes), "{cut}");
        assert_eq!(peer.rest().len(), cut % frame_bytes);
    }
}

#[test]
fn workers_run_with_and_without_a_recorder() {
    for has_recorder in [true, false] {
        for (name, args) in [("echo", &[][..]), ("work", &[]), ("vile", &["chatter"])] {
            let mut peer = Peer::example(has_recorder, name, args);
            peer.jobs(&[(1, b"print a"), (2, b"complain b")]);
            let (replies, _) = peer.end();
            assert_eq!(ids(&replies), [1, 2], "{name}");
            assert!(replies.iter().all(|(_, result)| result.is_ok()));
        }
    }
    let mut peer = Peer::example(true, "work", &[]);
    peer.jobs(&[(1, b"fail a b"), (2, b"panic c"), (3, b"spin 5; big 100000")]);
    let (replies, _) = peer.end();
    let expected = [Err("a b".into()), Err("c".into()), Ok(vec![b'x'; 100_000])];
    assert_eq!(replies.into_iter().map(|(_, result)| result).collect::<Vec<_>>(), expected);
}

#[test]
fn the_vile_fixture_misbehaves_as_documented() {
    let vile = |args: &[&str]| {
        let mut peer = Peer::example(true, "vile", args);
        peer.jobs(&[(5, b"one")]);
        peer
    };
    assert_eq!(vile(&["wrong-id"]).reply(), Some((1_000_005, Ok(b"one".to_vec()))));
    let (replies, _) = vile(&["twice"]).end();
    assert_eq!(ids(&replies), [5, 5]);
    let body = vile(&["garbage"]).frame().unwrap();
    Codec::Bincode.read_to_supervisor(&body).unwrap_err();
    let (replies, status) = vile(&["mid-reply", "7"]).post_mortem();
    assert_eq!((replies.len(), status.code()), (0, Some(7)));

    let mut peer = vile(&["flood"]);
    let is_reply = |body: &[u8]| {
        matches!(Codec::Bincode.read_to_supervisor(body), Ok(ToSupervisor::Reply { .. }))
    };
    while !is_reply(&peer.frame().unwrap()) {}
    assert!(peer.position > 10_000_000);

    let path = crate::peer::example("vile");
    let mut peer = Peer::program(false, path, &["version"]);
    assert_eq!(peer.greet().version, 99);
}

/// Runs the examples in other languages whose interpreter is installed.
#[test]
fn workers_in_other_languages_speak_json() {
    for (program, script) in [("python3", "worker.py"), ("node", "worker.js")] {
        if Command::new(program).arg("--version").output().is_err() {
            eprintln!("{program} is not installed: not tried");
            continue;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(script);
        let by_env = ["env".as_ref(), program.as_ref(), path.as_os_str()];
        let args: Vec<_> = by_env[1..].iter().map(|arg| arg.to_str().unwrap()).collect();
        let mut peer = Peer::program(true, "/usr/bin/env".into(), &args);
        let hello = peer.greet();
        assert!(hello.capabilities.is_empty());
        let large = "ab".repeat(300_000);
        peer.jobs(&[(1, "añb".as_bytes()), (2, b"fail"), (3, &[0xff, 0]), (4, large.as_bytes())]);
        assert_eq!(peer.reply(), Some((1, Ok("bña".into()))), "{program}");
        assert!(matches!(peer.reply(), Some((2, Err(_)))));
        assert_eq!(peer.reply(), Some((3, Ok(vec![0, 0xff]))));
        assert_eq!(peer.reply().unwrap().1.unwrap(), "ba".repeat(300_000).as_bytes());
        let (replies, _) = peer.end();
        assert!(replies.is_empty());
    }
}
