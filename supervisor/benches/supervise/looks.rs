//! How long does whoever asks a big run wait for its answer?

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{SUPERVISOR, example, median, row, signal, until};

const WORKERS: &str = "512";
const JOBS: u64 = 1_000_000;
/// So many of them fail, and are all remembered.
const FAILED: u64 = 1000;
const ASKED: usize = 20;
/// After this long the memory of all workers is looked at anew for whoever asks.
const RESTED: Duration = Duration::from_millis(1200);

/// `supervisor ps`, from its start to its end, of 512 workers that have done a million jobs.
pub(crate) fn ps() {
    let place = env::temp_dir().join(format!("supervisor-bench-{}", std::process::id()));
    let mut run = Asked::new(&place);
    run.feed();
    let done = format!("{} ok, {FAILED} failed, 0 running, 0 waiting", JOBS - FAILED);
    let all: usize = WORKERS.parse().unwrap();
    until(|| {
        let shown = run.ps();
        shown.contains(&done) && shown.matches(" ready ").count() == all
    });
    let mut times: Vec<f64> = (0..ASKED)
        .map(|_| {
            thread::sleep(RESTED);
            let began = Instant::now();
            let shown = run.ps();
            let took = began.elapsed().as_secs_f64();
            assert!(shown.contains("\nw512."), "all are shown: {shown}");
            took
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let worst = times[ASKED - 1];
    row(
        "ps of 512 workers and a million jobs",
        &format!("{:.1} ms", median(times) * 1e3),
        &format!("worst {:.1} ms", worst * 1e3),
        &format!("{ASKED}x"),
        "median <= 20 ms",
    );
}

/// A run in a directory of its own.
struct Asked {
    run: Child,
    place: PathBuf,
}

impl Asked {
    fn new(place: &Path) -> Self {
        let mut command = Command::new(SUPERVISOR);
        command.args(["run", "--workers", WORKERS, "--output", "none", "-a", "-", "--"]);
        command.arg(example("work")).env("SUPERVISOR_RUNTIME_DIR", place);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { run: command.spawn().unwrap(), place: place.into() }
    }

    /// Gives it all jobs, and keeps the pipe open.
    fn feed(&mut self) {
        let mut lines = "0123456789abcdef\n".repeat(1000).into_bytes();
        let stdin = self.run.stdin.as_mut().unwrap();
        (1..JOBS / 1000).for_each(|_| stdin.write_all(&lines).unwrap());
        lines = b"fail no such thing\n".repeat(usize::try_from(FAILED).unwrap());
        stdin.write_all(&lines).unwrap();
    }

    fn ps(&self) -> String {
        let mut command = Command::new(SUPERVISOR);
        command.arg("ps").env("SUPERVISOR_RUNTIME_DIR", &self.place);
        let output = command.stderr(Stdio::inherit()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        signal(self.run.id().cast_signed(), libc::SIGTERM);
        let _ = self.run.wait();
        let _ = fs::remove_dir_all(&self.place);
    }
}
