//! What a backend process inherits, and that clients do not affect one another.

use std::{collections::HashMap, net::TcpStream};

use nix::sys::signal::Signal;

use super::stage::{Stage, ask, leave, read_line, rest, say};

#[test]
fn several_clients_are_served_concurrently() {
    let stage = Stage::new();
    let mut server = stage.listen(&["--", "cat"]);
    let clients: Vec<TcpStream> = (0..5).map(|_| server.connect()).collect();
    for (number, client) in clients.iter().enumerate().rev() {
        let line = format!("hello from {number}");
        assert_eq!(ask(client, &line), line);
    }
    // A blocking read, as on any stdin.
    assert_eq!(ask(&clients[2], "again"), "again");
    for client in &clients {
        assert_eq!(leave(client), "");
    }
    for number in 1..=5 {
        let line = server.line_with(": code 0; wall ");
        assert!(line.starts_with("connection ") && line.contains(" (PID "), "{line}");
        assert!(line.contains(", CPU ") && line.contains(", peak "), "{number}: {line}");
    }
    server.stop();
}

#[test]
fn the_environment_names_the_client() {
    let stage = Stage::new();
    let mut command = stage.server(&["--listen", "127.0.0.1:0", "--", "env"]);
    command.env("TCPREMOTEHOST", "another").env("TCPREMOTEIP", "192.0.2.1").env("KEPT", "yes");
    let server = stage.listen_as(command);
    let client = server.connect();
    let (own, theirs) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    let environment = leave(&client);
    let environment: HashMap<&str, &str> =
        environment.lines().filter_map(|line| line.split_once('=')).collect();
    for (name, value) in [
        ("PROTO", Some("TCP".into())),
        ("TCPREMOTEIP", Some("127.0.0.1".into())),
        ("TCPREMOTEPORT", Some(own.port().to_string())),
        ("TCPLOCALIP", Some("127.0.0.1".into())),
        ("TCPLOCALPORT", Some(theirs.port().to_string())),
        ("TCPREMOTEHOST", None),
        ("KEPT", Some("yes".into())),
    ] {
        assert_eq!(environment.get(name).map(ToString::to_string), value, "{name}");
    }
    server.stop();
}

#[test]
fn a_backend_inherits_only_its_client_and_stderr() {
    let stage = Stage::new();
    // The shell lists its descriptors by a child, whose own descriptors do not matter.
    let list = "read line; cd /proc/$$/fd; for fd in $(ls); do readlink $fd; done; exit 0";
    let server = stage.listen(&["--", "sh", "-c", list]);
    let others = [server.connect(), server.connect()];
    let client = server.connect();
    say(&client, "go");
    let open = rest(&client);
    let kinds: Vec<&str> = open.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(kinds, ["socket", "socket", "pipe"], "{open}");
    drop(others);
    server.stop();
}

#[test]
fn a_crash_is_logged_and_affects_one_client() {
    let stage = Stage::new();
    let serve = "read word; test $word = crash && kill -SEGV $$; echo $word; exec cat";
    let mut server = stage.listen(&["--limit", "core=0", "--", "sh", "-c", serve]);
    let (well, crash) = (server.connect(), server.connect());
    assert_eq!(ask(&well, "hello"), "hello");
    say(&crash, "crash");
    assert_eq!(rest(&crash), "");
    let line = server.line_with("code 139 (SIGSEGV");
    let port = crash.local_addr().unwrap().port();
    assert!(line.starts_with(&format!("connection 2 from 127.0.0.1:{port} (PID ")), "{line}");
    assert_eq!(ask(&well, "still there?"), "still there?");
    assert_eq!(leave(&well), "");
    server.stop();
}

#[test]
fn limits_apply_to_each_client() {
    let stage = Stage::new();
    let program = ["--", "sh", "-c", "ulimit -d; ulimit -n"];
    let server =
        stage.listen(&[&["--memory", "64M", "--limit", "nofile=99"], &program[..]].concat());
    for _ in 0..2 {
        assert_eq!(leave(&server.connect()), "65536\n99\n");
    }
    server.stop();
}

#[test]
fn quiet_logs_only_failures() {
    let stage = Stage::new();
    let server = stage.listen(&["--quiet", "--", "sh", "-c", "read code; exit $code"]);
    for code in ["0", "3", "0"] {
        let client = server.connect();
        say(&client, code);
        assert_eq!(rest(&client), "");
    }
    let log = server.stop();
    assert!(log.contains("connection 2 from ") && log.contains(": code 3; "), "{log}");
    assert!(!log.contains("connection 1 from ") && !log.contains("connection 3 from "), "{log}");
}

#[test]
fn usr1_logs_the_running_backends() {
    let stage = Stage::new();
    let mut server = stage.listen(&["--max-connections", "9", "--", "sh", "-c", "echo $$; cat"]);
    let client = server.connect();
    let pid = read_line(&client);
    server.signal(Signal::SIGUSR1);
    server.line_with("running: 1 of 9 connections");
    server.line_with(&format!("(PID {pid}): for "));
    assert_eq!(leave(&client), "");
    server.stop();
}
