//! `connection_bin` as a backend: the real binary on one end of a real socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::process::Child;
use tokio::runtime::Runtime;

use crate::support::{PATIENCE, runtime};

#[test]
fn a_kept_alive_client_is_served_to_its_end() {
    let mut backend = Backend::start();
    let pid = format!("{}\n", backend.process.id().unwrap());
    for _ in 0..2 {
        assert_eq!(backend.get("/pid").text(), (200, pid.as_str()));
    }
    let first = backend.get("/posts/3");
    assert!(first.text().1.contains("\"id\": 3,") && first.head.contains("application/json"));
    assert_eq!(first.text(), backend.get("/posts/3?again=1").text());
    assert_eq!(backend.leave().code(), Some(0));
}

#[test]
fn crash_is_a_real_segmentation_fault() {
    let mut backend = Backend::start();
    backend.send("GET", "/crash");
    assert_eq!(backend.rest(), b"");
    assert_eq!(backend.leave().signal(), Some(11));
}

#[test]
fn sigterm_ends_even_a_spinning_backend() {
    let mut backend = Backend::start();
    backend.send("GET", "/spin");
    let pid = backend.process.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(backend.rest(), b"");
    assert_eq!(backend.leave().signal(), Some(15));
}

#[test]
fn statuses_come_with_and_without_a_body() {
    let mut backend = Backend::start();
    assert_eq!(backend.get("/status/503").text(), (503, "503 Service Unavailable\n"));
    for code in [200, 204, 304, 418, 599] {
        assert_eq!(backend.get(&format!("/status/{code}")).status, code);
    }
    for code in ["100", "199", "600", "99", "-1", "x", "", "200/1", "70000"] {
        assert_eq!(backend.get(&format!("/status/{code}")).status, 400, "{code}");
    }
}

#[test]
fn invalid_values_are_refused_with_a_reason() {
    let mut backend = Backend::start();
    for path in [
        "/posts/0",
        "/posts/x",
        "/delay/3601",
        "/delay/-1",
        "/delay/soon",
        "/bytes/1073741825",
        "/leak/x",
    ] {
        let reply = backend.get(path);
        assert!(reply.status == 400 && reply.text().1.contains("write /"), "{path}");
    }
}

#[test]
fn an_unknown_path_lists_the_routes() {
    let mut backend = Backend::start();
    let index = backend.get("/");
    assert_eq!(index.status, 200);
    for path in ["/nothing", "/posts", "/pid/", "/pid/1", "//pid"] {
        let reply = backend.get(path);
        assert!(reply.status == 404 && reply.text().1.ends_with(index.text().1), "{path}");
    }
}

#[test]
fn head_has_a_length_and_no_body_and_post_is_not_allowed() {
    let mut backend = Backend::start();
    backend.send("HEAD", "/bytes/1G");
    assert!(backend.head().contains("content-length: 1073741824"));
    backend.send("POST", "/posts/1");
    let reply = backend.reply();
    assert!(reply.status == 405 && reply.head.contains("allow: GET, HEAD"), "{}", reply.head);
    assert_eq!(backend.get("/pid").status, 200, "and the connection goes on");
}

#[test]
fn a_big_body_takes_little_memory() {
    let mut backend = Backend::start();
    let reply = backend.get("/bytes/100M");
    assert_eq!(reply.body.len(), 100 << 20);
    assert!(reply.body.iter().all(|&byte| byte == b'x'));
    assert!(backend.memory_kib("VmHWM") < 32 << 10, "{}", backend.memory_kib("VmHWM"));
}

#[test]
fn leaked_memory_is_not_freed() {
    let mut backend = Backend::start();
    for round in 1..=2 {
        assert_eq!(backend.get("/leak/32").text(), (200, "leaked 32 MiB\n"));
        assert!(backend.memory_kib("VmRSS") >= round * (32 << 10));
    }
}

#[test]
fn a_failed_allocation_aborts() {
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -c 0; ulimit -v 1000000; exec \"$0\"", BINARY]);
    let mut backend = Backend::start_by(limited);
    backend.send("GET", "/leak/2000");
    assert_eq!(backend.rest(), b"");
    assert_eq!(backend.leave().signal(), Some(6));
}

#[test]
fn garbage_is_refused_without_failing_the_backend() {
    let long_head = [&b"GET / HTTP/1.1\r\nX: "[..], &vec![b'x'; 1 << 20], b"\r\n\r\n"].concat();
    for garbage in
        [&b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n"[..], b"HELO\r\n\r\n", &long_head]
    {
        let mut backend = Backend::start();
        // The backend may close before it has read everything.
        let _ = backend.client.get_mut().write_all(garbage);
        let answer = backend.rest();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
        assert_eq!(backend.leave().code(), Some(0));
    }
}

#[test]
fn a_client_may_leave_at_any_moment() {
    assert_eq!(Backend::start().leave().code(), Some(0), "at once");
    for request in ["GET /pid HT", "GET /bytes/1G HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut backend = Backend::start();
        backend.client.get_mut().write_all(request.as_bytes()).unwrap();
        assert_eq!(backend.leave().code(), Some(0), "{request}");
    }
}

#[test]
fn a_client_that_leaves_cancels_its_delay() {
    let mut backend = Backend::start();
    backend.send("GET", "/delay/3600");
    assert_eq!(backend.leave().code(), Some(0));
}

#[test]
fn a_half_closed_client_still_gets_its_answer() {
    let mut backend = Backend::start();
    backend.send("GET", "/posts/1");
    backend.client.get_mut().shutdown(Shutdown::Write).unwrap();
    assert!(backend.rest().ends_with(b"\"\n}\n"));
    assert_eq!(backend.leave().code(), Some(0));
}

#[test]
fn an_idle_connection_is_closed_when_the_server_stops() {
    let mut backend = Backend::start();
    assert_eq!(backend.get("/pid").status, 200);
    backend.announce_stop();
    assert_eq!(backend.rest(), b"");
    assert_eq!(backend.leave().code(), Some(0));
}

#[test]
fn an_answer_is_finished_when_the_server_stops() {
    let mut backend = Backend::start();
    backend.send("GET", "/bytes/64M");
    assert!(backend.head().contains("content-length: 67108864"));
    backend.announce_stop();
    assert_eq!(backend.rest().len(), 64 << 20);
    assert_eq!(backend.leave().code(), Some(0));
}

#[test]
fn a_delay_is_observed() {
    let mut backend = Backend::start();
    let began = Instant::now();
    assert_eq!(backend.get("/delay/0.25").status, 200);
    assert!(began.elapsed() >= Duration::from_millis(250));
}

#[test]
fn any_kind_of_stream_socket_works() {
    let (mut client, accepted) = UnixStream::pair().unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (runtime, mut process) = spawn(Command::new(BINARY), accepted.into());
    client.write_all(b"GET /pid HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(&format!("\r\n\r\n{}\n", process.id().unwrap())), "{answer}");
    assert_eq!(wait(&runtime, &mut process).code(), Some(0));
}

const BINARY: &str = env!("CARGO_BIN_EXE_connection_bin");

/// A backend and its client.
struct Backend {
    client: BufReader<TcpStream>,
    // Dropped before its runtime, so that a failing test kills the process.
    process: Child,
    runtime: Runtime,
}

struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn text(&self) -> (u16, &str) {
        (self.status, std::str::from_utf8(&self.body).unwrap())
    }
}

impl Backend {
    fn start() -> Self {
        Self::start_by(Command::new(BINARY))
    }

    fn start_by(command: Command) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let (runtime, process) = spawn(command, accepted.into());
        Self { client: BufReader::new(client), process, runtime }
    }

    fn send(&mut self, method: &str, path: &str) {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n");
        self.client.get_mut().write_all(request.as_bytes()).unwrap();
    }

    fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path);
        self.reply()
    }

    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.client.read_line(&mut head).unwrap(), 0, "ends early: {head:?}");
        }
        head
    }

    fn reply(&mut self) -> Reply {
        let head = self.head();
        let status = head["HTTP/1.1 ".len()..][..3].parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.client.read_exact(&mut body).unwrap();
        Reply { status, head, body }
    }

    /// Everything until the backend closes the connection, by reset or not.
    fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.client.read_to_end(&mut bytes) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
            _ => bytes,
        }
    }

    /// Announces that the server stops, as `server_bin` does.
    fn announce_stop(&self) {
        let pid = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-WINCH", &pid]).status().unwrap().success());
    }

    fn memory_kib(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().unwrap()
    }

    /// Closes the client's side and waits for the end of the backend.
    fn leave(self) -> ExitStatus {
        let Self { client, mut process, runtime } = self;
        drop(client);
        wait(&runtime, &mut process)
    }
}

fn spawn(mut command: Command, stdin: OwnedFd) -> (Runtime, Child) {
    let runtime = runtime();
    command.env_clear().env("PROTO", "TCP").stdin(stdin).stdout(Stdio::null());
    let process = {
        let _inside = runtime.enter();
        tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap()
    };
    (runtime, process)
}

fn wait(runtime: &Runtime, process: &mut Child) -> ExitStatus {
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, process.wait()).await })
        .expect("ends in time")
        .unwrap()
}
