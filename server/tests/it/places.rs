//! Which clients get one of the places, and how long they may keep it.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::fd::AsRawFd,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrStorage, bind, connect, socket,
};

use super::stage::{PATIENCE, Server, Stage, ask, ends, leave, read_line, rest, say};

#[test]
fn no_client_is_refused_while_places_are_free() {
    const CLIENTS: u32 = 8;
    const TIMES: u32 = 200;
    let stage = Stage::new();
    let server = stage.listen(&["--max-connections", "64", "--quiet", "--", "head", "-c", "1"]);
    let (address, answered) = (server.address(), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for _ in 0..TIMES {
                    let mut client = TcpStream::connect(address).unwrap();
                    let answer = client.write_all(b"x").and_then(|()| client.read(&mut [0]));
                    answered.fetch_add(u32::from(matches!(answer, Ok(1))), Ordering::Relaxed);
                }
            });
        }
    });
    let log = server.stop();
    assert_eq!((answered.into_inner(), log.contains("refused")), (CLIENTS * TIMES, false), "{log}");
}

#[test]
fn the_place_of_a_process_that_has_ended_is_free() {
    let stage = Stage::new();
    let server = stage.listen(&["--max-connections", "1", "--", "sh", "-c", "echo $$; read x"]);
    for _ in 0..50 {
        let client = server.connect();
        let pid = read_line(&client);
        assert_eq!(leave(&client), "");
        // The process is gone or a zombie, whether the server has noticed that or not.
        assert!(ends(pid.parse().unwrap()));
    }
    assert!(!server.stop().contains("refused"));
}

#[test]
fn a_client_that_does_nothing_loses_its_place_in_the_end() {
    let stage = Stage::new();
    for (program, status) in [
        ("exec cat", "code 143 (SIGTERM, timeout)"),
        ("trap '' TERM; cat", "code 137 (SIGKILL, timeout)"),
    ] {
        let mut server = stage.listen(&["--timeout", "100ms", "--", "sh", "-c", program]);
        let client = server.connect();
        assert_eq!(rest(&client), "");
        server.line_with(status);
        server.stop();
    }
}

#[test]
fn the_clients_of_one_address_share_its_places() {
    let stage = Stage::with_connection("exec cat");
    let mut server = stage.listen(&["--max-per-address", "1"]);
    let first = server.connect();
    assert_eq!(ask(&first, "hello"), "hello");
    let second = server.connect();
    assert!(rest(&second).contains("Your address has all the connections that it may have (1"));
    server.line_with("refused: too many from this address; raise --max-per-address (1)");
    let other = connect_from(Ipv4Addr::new(127, 0, 0, 2), &server);
    assert_eq!(ask(&other, "hello"), "hello");
    assert_eq!(leave(&other), "");
    assert_eq!(leave(&first), "");
    server.stop();
}

/// Connects from this address of the loopback interface.
fn connect_from(address: Ipv4Addr, server: &Server) -> TcpStream {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    let [a, b, c, d] = address.octets();
    bind(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0)).unwrap();
    connect(socket.as_raw_fd(), &SockaddrStorage::from(server.address())).unwrap();
    let client = TcpStream::from(socket);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

#[test]
fn a_client_that_is_gone_without_a_word_is_looked_for() {
    let stage = Stage::new();
    let server = stage.listen(&["--", "cat"]);
    let client = server.connect();
    assert_eq!(ask(&client, "hello"), "hello");
    // Field 5 is the timer of a connection: 02 is the one that sends keep-alive probes.
    let ports = [server.address().port(), client.local_addr().unwrap().port()];
    let ends = ports.map(|port| format!("0100007F:{port:04X}"));
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let timers: Vec<_> =
        fields.filter(|fields| fields[1..3] == ends).map(|fields| &fields[5][..2]).collect();
    assert_eq!(timers, ["02"], "{table}");
    assert_eq!(leave(&client), "");
    server.stop();
}

#[test]
fn the_last_words_of_a_connection_are_evidence() {
    let stage = Stage::new();
    let words = "memory allocation of 1048576000 bytes failed";
    let script = format!("echo {words} >&2; kill -ABRT $$");
    let arguments = ["--memory", "64M", "--limit", "core=0", "--", "sh", "-c", &script];
    let mut server = stage.listen(&arguments);
    assert_eq!(rest(&server.connect()), "");
    server.line_with("code 134 (SIGABRT, memory (likely))");
    assert!(server.stop().contains(&format!("{words}\n")));
}

#[test]
fn the_lines_of_two_connections_do_not_mix() {
    let stage = Stage::new();
    let script = "printf half >&2; echo up; read word; echo ' and half' >&2";
    let server = stage.listen(&["--quiet", "--", "sh", "-c", script]);
    let clients = [server.connect(), server.connect()];
    for client in &clients {
        assert_eq!(read_line(client), "up");
    }
    for client in &clients {
        say(client, "");
        assert_eq!(rest(client), "");
    }
    let log = server.stop();
    assert_eq!(log.matches("half and half\n").count(), 2, "{log}");
}
