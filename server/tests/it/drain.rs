//! How the server stops, and how its clients end.

use std::{
    fs, io,
    os::unix::process::{CommandExt, ExitStatusExt},
    time::Instant,
};

use nix::sys::signal::Signal;

use super::stage::{PATIENCE, Stage, ask, ends, leave, read_line, rest};

/// A program that leaves a process in a session of its own, with or without its environment.
fn leaves(environment: &str) -> [String; 4] {
    let left = "sleep 1000 </dev/null >/dev/null 2>&1 & echo $!";
    let script = format!("{environment} setsid sh -c '{left}'; exec cat");
    ["--".into(), "sh".into(), "-c".into(), script]
}

#[test]
fn what_a_connection_leaves_behind_ends_with_it() {
    let stage = Stage::new();
    let arguments = leaves("");
    let mut server = stage.listen(&arguments.each_ref().map(String::as_str));
    let client = server.connect();
    let pid: i32 = read_line(&client).parse().unwrap();
    assert!(stage.processes().contains(&pid));
    assert_eq!(leave(&client), "");
    let line = server.line_with("; left 1 process: s");
    assert!(line.contains(": code 0; ") && line.ends_with("; killed"), "{line}");
    assert!(!stage.processes().contains(&pid));
    server.stop();
}

#[test]
fn what_a_connection_hides_ends_with_the_server() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let stage = Stage::new();
        // Neither its session nor its environment shows which connection it is of.
        let arguments = leaves("env -i");
        let mut server = stage.listen(&arguments.each_ref().map(String::as_str));
        let client = server.connect();
        let pid: i32 = read_line(&client).parse().unwrap();
        assert_eq!(leave(&client), "");
        server.line_with(": code 0; ");
        assert!(is_running(pid));
        server.signal(signal);
        let (_, log) = server.ended();
        assert!(ends(pid), "{log}");
        assert_eq!(
            log.contains("orphans of unknown origin: s"),
            signal == Signal::SIGTERM,
            "{log}"
        );
    }
}

fn is_running(pid: i32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

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
fn a_connection_that_waits_for_a_request_ends_at_once() {
    let stage = Stage::new();
    let idle = "trap 'exit 0' WINCH; echo up; while :; do sleep 1000 & wait; done";
    let mut server = stage.listen(&["--grace", "1h", "--", "sh", "-c", idle]);
    let client = server.connect();
    assert_eq!(read_line(&client), "up");
    server.signal(Signal::SIGTERM);
    server.line_with(": code 0; ");
    assert_eq!(server.ended().0.signal(), Some(15));
}

#[test]
fn ctrl_z_suspends_the_connections_too() {
    let stage = Stage::new();
    let mut command = stage.server(&["--listen", ":0", "--", "cat"]);
    // A shell starts each job in a group of its own, and the terminal signals that group.
    command.process_group(0);
    let server = stage.listen_as(command);
    let client = server.connect();
    assert_eq!(ask(&client, "hello"), "hello");
    let is_stopped = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().starts_with(" T")
    };
    server.signal(Signal::SIGTSTP);
    let begun = Instant::now();
    while !stage.processes().iter().all(is_stopped) {
        assert!(begun.elapsed() < PATIENCE, "not all are stopped");
    }
    server.signal(Signal::SIGCONT);
    assert_eq!(ask(&client, "still there?"), "still there?");
    assert_eq!(leave(&client), "");
    server.stop();
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
    // Two of the server: the second one outlives it to clean up.
    assert_eq!(stage.processes().len(), 4);
    server.signal(Signal::SIGKILL);
    for client in &clients {
        assert_eq!(rest(client), "");
    }
    assert_eq!(server.ended().0.signal(), Some(9));
}
