//! A `server_bin --listen` for a test. It is stopped when dropped, and must leave no process.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{PATIENCE, SUPERVISOR, Signal, procfs, reset_signals, send, tap::Tap, until};

/// The path of another program of the workspace.
pub(crate) fn sibling(name: &str) -> PathBuf {
    let path = Path::new(SUPERVISOR).with_file_name(name);
    assert!(path.is_file(), "{} is not built: test with --workspace", path.display());
    path
}

pub(crate) struct Upstream {
    child: Child,
    mark: String,
    pub(crate) address: SocketAddr,
    pub(crate) log: Tap,
}

impl Upstream {
    pub(crate) fn start(options: &[&str]) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        reset_signals();
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let value = format!("upstream-test-{}-{number}", std::process::id());
        let mut child = Command::new(sibling("server_bin"))
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .arg("--")
            .arg(sibling("connection_bin"))
            .env("UPSTREAM_TEST", &value)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Tap::new(child.stderr.take().unwrap());
        let address = log.until("where it listens", |text| {
            let (line, _) = text.strip_prefix("listening on ")?.split_once('\n')?;
            line.parse().ok()
        });
        Self { child, mark: format!("UPSTREAM_TEST={value}"), address, log }
    }

    /// Connects a new client.
    pub(crate) fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    /// Waits until this number of log lines contain the words.
    pub(crate) fn logs(&self, words: &str, count: usize) {
        let enough = |text: &str| {
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            (whole.lines().filter(|line| line.contains(words)).count() >= count).then_some(())
        };
        self.log.until(words, enough);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        send(self.child.id().cast_signed(), Signal::SIGTERM);
        let ended = self.child.wait();
        if !std::thread::panicking() {
            ended.unwrap();
            let left = || procfs::with_environment(&self.mark);
            until("the end of the server's processes", || left().is_empty());
        }
    }
}

/// Requests a path and returns the body; `None` if the connection closes before it is complete.
pub(crate) fn get(client: &mut TcpStream, path: &str) -> Option<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    client.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    loop {
        if let Some(body) = whole_body(&answer) {
            return Some(body);
        }
        let mut piece = [0; 4096];
        match client.read(&mut piece) {
            Ok(length @ 1..) => answer.extend_from_slice(&piece[..length]),
            Ok(0) | Err(_) => return None,
        }
    }
}

fn whole_body(answer: &[u8]) -> Option<String> {
    let text = str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    })?;
    (body.len() >= length).then(|| body.to_owned())
}
