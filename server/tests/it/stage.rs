//! The directory of a test, and a mark in the environment by which all its processes are found. None
//! may be left when the test ends.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::{fd::AsFd, unix::process::ExitStatusExt},
    path::PathBuf,
    process::{self, Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

use ::process::wait::pidfd;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Limit for everything that a test waits for. Nothing takes a tenth of it, even under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const MARK: &str = "SERVER_TEST_STAGE";

pub(crate) struct Stage {
    directory: PathBuf,
    mark: String,
}

impl Stage {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static HEARING: Once = Once::new();
        HEARING.call_once(reset_signals);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = format!("server-test-{}-{number}", process::id());
        let directory = env::temp_dir().join(&mark);
        fs::create_dir(&directory).unwrap();
        Self { directory, mark }
    }

    /// A stage with this script as `connection_bin`.
    pub(crate) fn with_connection(script: &str) -> Self {
        let stage = Self::new();
        stage.script("connection_bin", script);
        stage
    }

    /// Writes an executable script. Another process writes it, since a child that is just being
    /// forked could hold our descriptor open, and the kernel does not execute a file that is open for
    /// writing.
    pub(crate) fn script(&self, name: &str, text: &str) {
        let mut shell = Command::new("sh")
            .args(["-c", "cat > \"$0\" && chmod +x \"$0\"", name])
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let text = format!("#!/bin/sh\n{text}\n");
        shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.directory.join(name)).unwrap();
    }

    /// Creates a named pipe; returns the lines written to it, until its last writer closes it.
    pub(crate) fn pipe(&self, name: &str) -> Receiver<String> {
        let path = self.directory.join(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        lines(move || fs::File::open(path))
    }

    /// A command in this directory with the mark.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.directory).env(MARK, &self.mark).stdin(Stdio::null());
        command
    }

    pub(crate) fn server(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_server_bin"));
        command.args(arguments);
        command
    }

    /// Runs a `server_bin` that ends by itself.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.server(arguments).output().unwrap()
    }

    /// Starts a `server_bin` that listens.
    pub(crate) fn listen(&self, arguments: &[&str]) -> Server {
        self.listen_as(self.server(&[&["--listen", "127.0.0.1:0"], arguments].concat()))
    }

    pub(crate) fn listen_as(&self, command: Command) -> Server {
        let mut server = start(command);
        let line = server.line_with("listening on ");
        server.address = line.strip_prefix("listening on ").unwrap().parse().ok();
        server
    }

    /// Starts a `server_bin` that runs a single connection.
    pub(crate) fn start(&self) -> Server {
        start(self.server(&[]))
    }

    /// The processes of this stage that still run.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mark = format!("{MARK}={}", self.mark);
        let running = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
            environment.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes()).then_some(pid)
        });
        running.collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let mut left = self.processes();
        // A killed process may need a moment to end.
        left.retain(|pid| !ends(*pid));
        for pid in &left {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        let _ = fs::remove_dir_all(&self.directory);
        assert!(left.is_empty() || thread::panicking(), "left behind: {left:?}");
    }
}

/// Whether a process ends within [`PATIENCE`].
pub(crate) fn ends(pid: i32) -> bool {
    const WHILE_MS: u16 = 10_000;
    // A process that is gone has no pidfd.
    let Ok(pidfd) = pidfd(pid) else { return true };
    let mut watched = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut watched, PollTimeout::from(WHILE_MS)).is_ok_and(|ready| ready == 1)
}

fn start(mut command: Command) -> Server {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = child.stderr.take().unwrap();
    Server { child, log: lines(|| Ok(stderr)), log_text: String::new(), address: None }
}

/// Reads the lines of a stream in a thread.
fn lines<R: Read>(open: impl FnOnce() -> io::Result<R> + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let stream = BufReader::new(open()?);
        for line in stream.lines() {
            let _ = sender.send(line?);
        }
        io::Result::Ok(())
    });
    receiver
}

/// A running `server_bin` and its log.
pub(crate) struct Server {
    child: Child,
    log: Receiver<String>,
    log_text: String,
    address: Option<SocketAddr>,
}

impl Server {
    pub(crate) fn connect(&self) -> TcpStream {
        let client = self.try_connect().unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        client
    }

    pub(crate) fn try_connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(self.address())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for a line of the log that contains `text`.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.log_text += &format!("{line}\n");
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!("no line with `{text}` ({error}) in:\n{}", self.log_text),
            }
        }
    }

    /// Repeats the signal until a log line with `text` shows that the server acted on it.
    pub(crate) fn insist(&mut self, signal: Signal, text: &str) {
        const BETWEEN: Duration = Duration::from_millis(100);
        for _ in 0..PATIENCE.as_millis() / BETWEEN.as_millis() {
            self.signal(signal);
            if let Ok(line) = self.log.recv_timeout(BETWEEN) {
                self.log_text += &format!("{line}\n");
                if line.contains(text) {
                    return;
                }
            }
        }
        panic!("no line with `{text}` in:\n{}", self.log_text);
    }

    /// Waits for the end of the server and of all processes that share its stderr; returns the log.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) => self.log_text += &format!("{line}\n"),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("still running:\n{}", self.log_text),
            }
        }
        (self.child.wait().unwrap(), std::mem::take(&mut self.log_text))
    }

    /// Stops the server and waits for its end; returns the log.
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::SIGTERM);
        let (status, log) = self.ended();
        assert_eq!(status.signal(), Some(15), "{log}");
        log
    }
}

/// Sends a line and reads one.
pub(crate) fn ask(client: &TcpStream, line: &str) -> String {
    say(client, line);
    read_line(client)
}

pub(crate) fn say(mut client: &TcpStream, line: &str) {
    client.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Reads a line byte by byte, so that nothing of the next is consumed.
pub(crate) fn read_line(mut client: &TcpStream) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while client.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.extend(byte);
    }
    String::from_utf8(line).unwrap()
}

/// Shuts down the writing side and reads to the end.
pub(crate) fn leave(client: &TcpStream) -> String {
    client.shutdown(std::net::Shutdown::Write).unwrap();
    rest(client)
}

pub(crate) fn rest(mut client: &TcpStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    text
}

/// Restores default signal dispositions. Signals ignored by the parent of the tests, as by `nohup`
/// or a shell's `&`, would stay ignored in the server.
#[expect(unsafe_code, reason = "dispositions are changed by an unsafe call")]
fn reset_signals() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    for number in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
        // SAFETY: the default action runs no handler.
        unsafe { signal(number, SigHandler::SigDfl) }.unwrap();
    }
}
