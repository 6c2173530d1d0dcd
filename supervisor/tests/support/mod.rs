//! Runs `supervisor run …` for a test: starts it, reads what it says, waits for things to come
//! about, and sees that no process and no file is left when it has ended.

#![allow(dead_code, reason = "each test program uses its part of this")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

pub(crate) mod browser;
pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod jobs;
#[cfg(feature = "journal")]
pub(crate) mod journals;
pub(crate) mod place;
pub(crate) mod procfs;
pub(crate) mod tap;
pub(crate) mod terminal;
pub(crate) mod upstream;

use std::{
    ffi::{OsStr, OsString},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

pub(crate) use nix::sys::signal::Signal;
use nix::{sys::signal::kill, unistd::Pid};
pub(crate) use serde_json::Value;

use self::{files::Scratch, procfs::Stat, tap::Tap};

pub(crate) const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervisor");
/// The variable by which the processes of a run are known again.
const MARK: &str = "SUPERVISOR_TEST_RUN";
/// Nothing here takes a tenth of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a command can be run here that a test needs.
pub(crate) fn can(command: &[&str]) -> bool {
    let (program, arguments) = command.split_first().unwrap();
    let mut command = Command::new(program);
    let status = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let can = status.is_ok_and(|status| status.success());
    if !can {
        eprintln!("SKIPPED: {program} cannot be run here");
    }
    can
}

/// A program of `worker/examples/`.
pub(crate) fn fixture(name: &str) -> String {
    let path = Path::new(SUPERVISOR).with_file_name("examples").join(name);
    assert!(path.is_file(), "{} is not built: test with --workspace", path.display());
    path.to_str().unwrap().into()
}

/// A run to be started.
pub(crate) struct Run {
    verb: &'static str,
    before: Vec<OsString>,
    options: Vec<OsString>,
    program: Vec<OsString>,
    mark: String,
    /// Whether its processes have the mark even where they have no other variable.
    is_marked: bool,
    pub(crate) scratch: Scratch,
    stdin: Stdio,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

impl Run {
    /// Of a program and its arguments.
    pub(crate) fn of<S: AsRef<OsStr>>(program: impl IntoIterator<Item = S>) -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        hear_again();
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let name = format!("supervisor-test-{}-{number}", std::process::id());
        Self {
            verb: "run",
            before: Vec::new(),
            options: Vec::new(),
            program: program.into_iter().map(|arg| arg.as_ref().into()).collect(),
            scratch: Scratch::new(&name),
            mark: format!("{MARK}={name}"),
            is_marked: true,
            stdin: Stdio::null(),
            stdout: None,
            stderr: None,
        }
    }

    /// Of a command for each job.
    pub(crate) fn each<S: AsRef<OsStr>>(command: impl IntoIterator<Item = S>) -> Self {
        Self { verb: "each", ..Self::of(command) }
    }

    /// Of a script for each job.
    pub(crate) fn each_sh(script: &str) -> Self {
        // Without a placeholder the input would stand behind the last word.
        let comment = if script.contains("{}") { "" } else { " # {}" };
        Self::each([format!("{script}{comment}")]).with("--shell")
    }

    /// Of a line of shell.
    pub(crate) fn sh(script: &str) -> Self {
        Self::of(["sh", "-c", script])
    }

    /// With these options, parted by spaces.
    pub(crate) fn with(mut self, options: &str) -> Self {
        self.options.extend(options.split_whitespace().map(OsString::from));
        self
    }

    /// With an option whose value may hold anything.
    pub(crate) fn option(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.options.extend([name.into(), value.as_ref().into()]);
        self
    }

    /// Recorded in this journal. The mark is not among its options, which are to be those of
    /// another run.
    pub(crate) fn recorded(mut self, journal: &Path) -> Self {
        self.is_marked = false;
        self.option("--journal", journal)
    }

    /// With records on stdout.
    pub(crate) fn jsonl(self) -> Self {
        self.with("--format jsonl")
    }

    /// Started by this command, to which the supervisor and its arguments are added.
    pub(crate) fn under<S: AsRef<OsStr>>(mut self, command: impl IntoIterator<Item = S>) -> Self {
        self.before = command.into_iter().map(|arg| arg.as_ref().into()).collect();
        self
    }

    /// Started by a shell that first does this.
    pub(crate) fn after(self, shell: &str) -> Self {
        self.under(["sh", "-c", &format!("{shell}\nexec \"$0\" \"$@\"")])
    }

    pub(crate) fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// With a stdout that the test reads itself, or not.
    pub(crate) fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    pub(crate) fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stderr = Some(stderr.into());
        self
    }

    pub(crate) fn start(self) -> Running {
        let words = self.before.into_iter().chain([SUPERVISOR.into(), self.verb.into()]);
        let mark = self.is_marked.then(|| ["--env".into(), self.mark.clone().into()]);
        let words: Vec<OsString> = words
            .chain(mark.into_iter().flatten())
            .chain(self.options)
            .chain(["--".into()])
            .chain(self.program)
            .collect();
        let files = self.scratch.files();
        let (name, value) = self.mark.split_once('=').unwrap();
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .env(name, value)
            .current_dir(self.scratch.path())
            .stdin(self.stdin)
            .stdout(self.stdout.unwrap_or_else(Stdio::piped))
            .stderr(self.stderr.unwrap_or_else(Stdio::piped))
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().map_or_else(Tap::dry, Tap::new);
        let stderr = child.stderr.take().map_or_else(Tap::dry, Tap::new);
        Running {
            child,
            ended: None,
            mark: self.mark,
            scratch: self.scratch,
            files,
            stdout,
            stderr,
        }
    }

    /// From its start to its end.
    pub(crate) fn finish(self) -> Finished {
        self.start().finish()
    }
}

/// A run under way. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    ended: Option<ExitStatus>,
    mark: String,
    scratch: Scratch,
    files: Vec<PathBuf>,
    pub(crate) stdout: Tap,
    pub(crate) stderr: Tap,
}

/// A run that has ended, and left nothing behind.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// The supervisor itself: what was started is its warden.
    pub(crate) fn supervisor(&self) -> i32 {
        let mut pid = None;
        until("a supervisor", || {
            pid = procfs::children(self.pid()).first().map(|child| child.pid);
            pid.is_some()
        });
        pid.unwrap()
    }

    /// The children of the supervisor, zombies included; none once it is gone.
    pub(crate) fn workers(&self) -> Vec<Stat> {
        let supervisors = procfs::children(self.pid()).into_iter();
        supervisors.flat_map(|supervisor| procfs::children(supervisor.pid)).collect()
    }

    /// Where it runs.
    pub(crate) fn scratch_path(&self) -> &Path {
        self.scratch.path()
    }

    /// The variable, `NAME=value`, that all of its processes have.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// The processes of this run, but for one that was not yet executed.
    pub(crate) fn processes(&self) -> Vec<i32> {
        procfs::with_environment(&self.mark)
    }

    /// The PIDs of the first life of each worker, in their order, once all have started.
    pub(crate) fn first_pids(&self, workers: usize) -> Vec<i32> {
        (1..=workers).map(|worker| pid(&self.stdout.record("started", worker, 1))).collect()
    }

    /// Waits until the workers whose start was read from the records count as ready, which no
    /// record tells: a second after their start, and once the loop has then gone round.
    pub(crate) fn ready(&self) {
        let begun = Instant::now();
        until("a second", || begun.elapsed() >= Duration::from_secs(1));
        for _ in 0..2 {
            let said = self.stderr.text().len();
            self.signal(Signal::SIGUSR1);
            let has_table = |text: &str| text.get(said..)?.contains("worker ").then_some(());
            self.stderr.until("a table", has_table);
        }
    }

    /// Waits for its end, and sees that it left nothing behind.
    pub(crate) fn finish(mut self) -> Finished {
        until("the end of the run", || self.has_ended());
        until(&format!("the end of {}'s processes", self.mark), || self.processes().is_empty());
        let (stdout, stderr) = (self.stdout.rest(), self.stderr.rest());
        assert_eq!(self.scratch.files(), self.files, "files left behind");
        let stderr = String::from_utf8(stderr).unwrap();
        Finished { status: self.ended.unwrap(), stdout, stderr }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.ended = self.ended.or_else(|| self.child.try_wait().unwrap());
        self.ended.is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            self.processes().into_iter().for_each(|pid| send(pid, Signal::SIGKILL));
        }
    }
}

impl Finished {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub(crate) fn signal(&self) -> Option<Signal> {
        self.status.signal().and_then(|number| Signal::try_from(number).ok())
    }

    pub(crate) fn stdout_text(&self) -> &str {
        str::from_utf8(&self.stdout).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<&str> {
        self.stdout_text().lines().collect()
    }

    /// The records of one type.
    pub(crate) fn records(&self, kind: &str) -> Vec<Value> {
        let records = tap::records(self.stdout_text());
        records.into_iter().filter(|record| record["type"] == kind).collect()
    }

    /// The lines on stderr that are messages of the supervisor.
    pub(crate) fn messages(&self) -> Vec<&str> {
        let is_message = |line: &&str| line.starts_with("supervisor: ") || line.contains("error:");
        self.stderr.lines().filter(is_message).collect()
    }
}

pub(crate) fn pid(record: &Value) -> i32 {
    i32::try_from(record["pid"].as_i64().unwrap()).unwrap()
}

pub(crate) fn send(pid: i32, signal: Signal) {
    // One that is gone already need not be told.
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Signals that whoever started the tests had ignored, as `nohup` and a shell's `&` do, would
/// stay ignored in the supervisor.
#[expect(unsafe_code, reason = "dispositions are changed by an unsafe call")]
pub(crate) fn hear_again() {
    use nix::sys::signal::{SigHandler, signal};
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for number in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
            // SAFETY: the default action runs no code of ours.
            unsafe { signal(number, SigHandler::SigDfl) }.unwrap();
        }
    });
}
