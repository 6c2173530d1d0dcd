//! Starts the built `supervisor`, waits for conditions, and finds processes and terminal output.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::Read,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::PathBuf,
    sync::{Arc, Mutex, Once},
    thread,
    time::{Duration, Instant},
};

use nix::{
    fcntl::OFlag,
    pty::{grantpt, posix_openpt, ptsname_r, unlockpt},
    sys::signal::{SigHandler, Signal, signal},
};
use serde_json::Value;

/// No condition here takes a tenth of this to become true.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program that Cargo built beside these tests.
pub(crate) fn supervisor() -> PathBuf {
    let tests = env::current_exe().unwrap();
    let path = tests.parent().unwrap().with_file_name("supervisor");
    assert!(path.is_file(), "{} is not built: test with --workspace", path.display());
    path
}

/// Waits until a condition is true.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "timed out waiting for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The processes that have `NAME=value` in their environment.
pub(crate) fn with_environment(pair: &str) -> Vec<i32> {
    let has_pair = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == pair.as_bytes())
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(has_pair).collect()
}

/// Parses the complete lines of a text as records.
pub(crate) fn records(text: &str) -> Vec<Value> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Restores the default action of signals that the parent of the tests ignores, as `nohup` and a
/// shell's `&` do: the supervisor would inherit that.
#[expect(unsafe_code, reason = "signal actions are changed by an unsafe call")]
pub(crate) fn restore_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for number in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
            // SAFETY: the default action runs no code of this process.
            unsafe { signal(number, SigHandler::SigDfl) }.unwrap();
        }
    });
}

/// A pseudo-terminal whose output is read by a thread.
pub(crate) struct Terminal {
    line: OwnedFd,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Does not use `openpty`, which leaks the other end into child processes.
    pub(crate) fn open() -> Self {
        let window = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        grantpt(&window).unwrap();
        unlockpt(&window).unwrap();
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits());
        let line = options.open(ptsname_r(&window).unwrap()).unwrap();
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let mut window = File::from(OwnedFd::from(window));
        let bytes = Arc::clone(&shown);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            // A pseudo-terminal ends with an error.
            while let Ok(length @ 1..) = window.read(&mut piece) {
                Vec::extend_from_slice(&mut bytes.lock().unwrap(), &piece[..length]);
            }
        });
        Self { line: line.into(), shown }
    }

    /// The end that a program has as its stderr.
    pub(crate) fn line(&self) -> OwnedFd {
        self.line.try_clone().unwrap()
    }

    pub(crate) fn until_shown(&self, text: &str) {
        until(text, || String::from_utf8_lossy(&self.shown.lock().unwrap()).contains(text));
    }
}
