//! How the server stops, and how its clients end.

use std::{io, os::unix::process::ExitStatusExt};

use nix::sys::signal::Signal;

use super::stage::{Stage, ask, leave, read_line, rest};

#[test]
fn a_drain_finishes_clients_and_accepts_no_others() {
    let stage = Stage::new();
    let mut server = stage.listen(&["--", "cat"]);
    let client = server.connect();
    assert_eq!(ask(&client, "hello"), "hello");
    server.signal(Signal::SIGTERM);
    // `timeout` sends the signal twice.
    server.signal(Signal::SIGTERM);
    server.line_with("SIGTERM: stopping; 1 connection may finish within 10 s");
    let refused = server.try_connect().map_err(|error| error.kind());
    assert_eq!(refused.err(), Some(io::ErrorKind::ConnectionRefused));
    assert_eq!(ask(&client, "still there?"), "still there?");
    assert_eq!(leave(&client), "");
    let (status, log) = server.ended();
    assert_eq!(status.signal(), Some(15));
    assert!(log.contains(": code 0; ") && !log.contains("asking"), "{log}");
}

#[test]
fn after_the_grace_period_backends_are_terminated_and_then_killed() {
    let stage = Stage::new();
    let deaf = "trap '' TERM; echo up; cat";
    let mut server = stage.listen(&["--grace", "100ms", "--", "sh", "-c", deaf]);
    let client = server.connect();
    assert_eq!(read_line(&client), "up");
    server.signal(Signal::SIGTERM);
    server.line_with("asking 1 connection to end");
    server.line_with("killing 1 connection");
    server.line_with("code 137 (SIGKILL, asked to stop: killed)");
    assert_eq!(rest(&client), "");
    assert_eq!(server.ended().0.signal(), Some(15));
}

#[test]
fn a_suspended_backend_is_terminated_too() {
    let stage = Stage::new();
    let mut server = stage.listen(&["--grace", "0", "--", "sh", "-c", "echo up; kill -STOP $$"]);
    let client = server.connect();
    assert_eq!(read_line(&client), "up");
    server.signal(Signal::SIGINT);
    server.line_with("code 143 (SIGTERM, asked to stop)");
    assert_eq!(rest(&client), "");
    let (status, log) = server.ended();
    assert_eq!(status.signal(), Some(2), "{log}");
    assert!(!log.contains("killing"), "{log}");
}

#[test]
fn a_second_signal_takes_the_next_step_at_once() {
    let stage = Stage::new();
    let deaf = "trap '' TERM; echo up; cat";
    let mut server = stage.listen(&["--grace", "1h", "--", "sh", "-c", deaf]);
    let client = server.connect();
    assert_eq!(read_line(&client), "up");
    server.signal(Signal::SIGTERM);
    server.line_with("SIGTERM: stopping");
    server.insist(Signal::SIGINT, "asking 1 connection to end");
    server.insist(Signal::SIGINT, "killing 1 connection");
    assert_eq!(rest(&client), "");
    assert_eq!(server.ended().0.signal(), Some(15), "the first signal counts");
}

#[test]
fn an_idle_server_ends_by_its_signal_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP] {
        let stage = Stage::new();
        let server = stage.listen(&["--", "cat"]);
        server.signal(signal);
        assert_eq!(server.ended().0.signal(), Some(signal as i32));
    }
}

#[test]
fn a_killed_server_takes_its_backends_along() {
    let stage = Stage::new();
    let server = stage.listen(&["--", "cat"]);
    let clients = [server.connect(), server.connect()];
    for client in &clients {
        assert_eq!(ask(client, "hello"), "hello");
    }
    assert_eq!(stage.processes().len(), 3);
    server.signal(Signal::SIGKILL);
    for client in &clients {
        assert_eq!(rest(client), "");
    }
    assert_eq!(server.ended().0.signal(), Some(9));
}
