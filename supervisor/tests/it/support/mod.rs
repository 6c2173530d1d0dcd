//! Starts `supervisor run` and `each` for a test, reads their output, waits for conditions, and checks
//! that no process and no file is left when the run has ended.

pub(crate) mod browser;
pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod jobs;
#[cfg(feature = "journal")]
pub(crate) mod journals;
pub(crate) mod load;
pub(crate) mod procfs;
pub(crate) mod runtime_dir;
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
/// The variable that marks the processes of a run.
const MARK: &str = "SUPERVISOR_TEST_RUN";
/// Limit for everything that a test waits for. Nothing takes a tenth of it on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "timed out after {PATIENCE:?}, waiting for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a command that a test needs works on this machine.
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

/// A run that has not started yet.
pub(crate) struct Run {
    verb: &'static str,
    before: Vec<OsString>,
    options: Vec<OsString>,
    program: Vec<OsString>,
    mark: String,
    /// Whether `--env` passes the mark on, even under `--env-clear`.
    is_marked: bool,
    pub(crate) scratch: Scratch,
    /// The working directory; `None` for the scratch directory.
    directory: Option<PathBuf>,
    stdin: Stdio,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

impl Run {
    /// A run of a program with arguments.
    pub(crate) fn of<S: AsRef<OsStr>>(program: impl IntoIterator<Item = S>) -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        reset_signals();
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let name = format!("supervisor-test-{}-{number}", std::process::id());
        Self {
            verb: "run",
            before: Vec::new(),
            options: Vec::new(),
            program: program.into_iter().map(|arg| arg.as_ref().into()).collect(),
            scratch: Scratch::new(),
            directory: None,
            mark: format!("{MARK}={name}"),
            is_marked: true,
            stdin: Stdio::null(),
            stdout: None,
            stderr: None,
        }
    }

    /// An `each` run of a command.
    pub(crate) fn each<S: AsRef<OsStr>>(command: impl IntoIterator<Item = S>) -> Self {
        Self { verb: "each", ..Self::of(command) }
    }

    /// An `each` run of a shell script.
    pub(crate) fn each_sh(script: &str) -> Self {
        // Without a placeholder the input would be appended to the script.
        let comment = if script.contains("{}") { "" } else { " # {}" };
        Self::each([format!("{script}{comment}")]).with("--shell")
    }

    /// A run of a shell script.
    pub(crate) fn sh(script: &str) -> Self {
        Self::of(["sh", "-c", script])
    }

    /// Adds options, separated by spaces.
    pub(crate) fn with(mut self, options: &str) -> Self {
        self.options.extend(options.split_whitespace().map(OsString::from));
        self
    }

    /// Adds an option whose value may contain anything.
    pub(crate) fn option(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.options.extend([name.into(), value.as_ref().into()]);
        self
    }

    /// Records the run in a journal. The mark is not passed as an option, so that the options of two
    /// runs are equal, and the run starts in the directory of the journal.
    #[cfg(feature = "journal")]
    pub(crate) fn recorded(mut self, journal: &Path) -> Self {
        self.is_marked = false;
        self.directory = journal.parent().map(Into::into);
        self.option("--journal", journal)
    }

    /// Writes records to stdout.
    pub(crate) fn jsonl(self) -> Self {
        self.with("--format jsonl")
    }

    /// Starts the run by this command, to which the supervisor and its arguments are appended.
    pub(crate) fn under<S: AsRef<OsStr>>(mut self, command: impl IntoIterator<Item = S>) -> Self {
        self.before = command.into_iter().map(|arg| arg.as_ref().into()).collect();
        self
    }

    /// Adds a command between the one that starts the run and the supervisor.
    pub(crate) fn inside(mut self, command: impl IntoIterator<Item = String>) -> Self {
        self.before.extend(command.into_iter().map(OsString::from));
        self
    }

    /// Starts the run by a shell that runs this script first.
    pub(crate) fn after(self, shell: &str) -> Self {
        self.under(["sh", "-c", &format!("{shell}\nexec \"$0\" \"$@\"")])
    }

    pub(crate) fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Sets stdout, which the test then reads itself.
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
            .current_dir(self.directory.as_deref().unwrap_or(self.scratch.path()))
            .stdin(self.stdin)
            .stdout(self.stdout.unwrap_or_else(Stdio::piped))
            .stderr(self.stderr.unwrap_or_else(Stdio::piped))
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().map_or_else(Tap::none, Tap::new);
        let stderr = child.stderr.take().map_or_else(Tap::none, Tap::new);
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

    /// Starts the run and waits for its end.
    pub(crate) fn finish(self) -> Finished {
        self.start().finish()
    }
}

/// A running run, killed when dropped.
pub(crate) struct Running {
    child: Child,
    ended: Option<ExitStatus>,
    mark: String,
    scratch: Scratch,
    files: Vec<PathBuf>,
    pub(crate) stdout: Tap,
    pub(crate) stderr: Tap,
}

/// A run that has ended and left no process and no file.
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

    /// The PID of the supervisor itself; the process started by the test is its warden.
    pub(crate) fn supervisor(&self) -> i32 {
        let mut pid = None;
        until("a supervisor", || {
            pid = procfs::children(self.pid()).first().map(|child| child.pid);
            pid.is_some()
        });
        pid.unwrap()
    }

    /// The children of the supervisor, zombies included.
    pub(crate) fn workers(&self) -> Vec<Stat> {
        let supervisors = procfs::children(self.pid()).into_iter();
        supervisors.flat_map(|supervisor| procfs::children(supervisor.pid)).collect()
    }

    /// The working directory of the run.
    pub(crate) fn scratch_path(&self) -> &Path {
        self.scratch.path()
    }

    /// The variable `NAME=value` that marks all processes of the run.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// The processes of this run that have executed their program.
    pub(crate) fn processes(&self) -> Vec<i32> {
        procfs::with_environment(&self.mark)
    }

    /// Waits until all workers have started; returns the PIDs of their first generation in order.
    pub(crate) fn first_pids(&self, workers: usize) -> Vec<i32> {
        (1..=workers).map(|worker| pid(&self.stdout.record("started", worker, 1))).collect()
    }

    /// Waits until the workers that have started count as ready: a second later, and after the loop
    /// has run. No record shows this.
    pub(crate) fn ready(&self) {
        let begun = Instant::now();
        until("a second", || begun.elapsed() >= Duration::from_secs(1));
        for _ in 0..2 {
            let printed = self.stderr.text().len();
            self.signal(Signal::SIGUSR1);
            let has_table = |text: &str| text.get(printed..)?.contains("worker ").then_some(());
            self.stderr.until("a table", has_table);
        }
    }

    /// Waits for the end of the run and checks that it left no process and no file.
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

    /// The signal that ended the run.
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

    /// The lines on stderr that are the supervisor's messages.
    pub(crate) fn messages(&self) -> Vec<&str> {
        let is_message = |line: &&str| line.starts_with("supervisor: ") || line.contains("error:");
        self.stderr.lines().filter(is_message).collect()
    }
}

pub(crate) fn pid(record: &Value) -> i32 {
    i32::try_from(record["pid"].as_i64().unwrap()).unwrap()
}

pub(crate) fn send(pid: i32, signal: Signal) {
    // The process may be gone already.
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Restores default signal dispositions. Signals ignored by the parent of the tests, as by `nohup`
/// or a shell's `&`, would stay ignored in the supervisor.
#[expect(unsafe_code, reason = "dispositions are changed by an unsafe call")]
pub(crate) fn reset_signals() {
    use nix::sys::signal::{SigHandler, signal};
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for number in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
            // SAFETY: the default action runs no handler.
            unsafe { signal(number, SigHandler::SigDfl) }.unwrap();
        }
    });
}
