//! Measures how long `supervisor ps` takes for a large run.

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
/// Number of jobs that fail. The run keeps all of these failures for `why`.
const FAILED: u64 = 1000;
const ROUNDS: usize = 20;
/// Pause between two questions, after which the run samples the memory of all workers again.
const PAUSE: Duration = Duration::from_millis(1200);

/// Measures `supervisor ps`, from its start to its end, for 512 workers that have done a million jobs.
pub(crate) fn ps() {
    let directory = env::temp_dir().join(format!("supervisor-bench-{}", std::process::id()));
    let mut run = LiveRun::new(&directory);
    run.feed();
    let done = format!("{} ok, {FAILED} failed, 0 running, 0 waiting", JOBS - FAILED);
    let all: usize = WORKERS.parse().unwrap();
    until(|| {
        let shown = run.ps();
        shown.contains(&done) && shown.matches(" ready ").count() == all
    });
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            thread::sleep(PAUSE);
            let began = Instant::now();
            let shown = run.ps();
            let took = began.elapsed().as_secs_f64();
            assert!(shown.contains("\nw512."), "ps lists all workers: {shown}");
            took
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let worst = times[ROUNDS - 1];
    row(
        "ps of 512 workers and a million jobs",
        &format!("{:.1} ms", median(times) * 1e3),
        &format!("worst {:.1} ms", worst * 1e3),
        &format!("{ROUNDS}x"),
        "median <= 20 ms",
    );
}

/// A run with its own runtime directory.
struct LiveRun {
    run: Child,
    directory: PathBuf,
}

impl LiveRun {
    fn new(directory: &Path) -> Self {
        let mut command = Command::new(SUPERVISOR);
        command.args(["run", "--workers", WORKERS, "--output", "none", "-a", "-", "--"]);
        command.arg(example("work")).env("SUPERVISOR_RUNTIME_DIR", directory);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { run: command.spawn().unwrap(), directory: directory.into() }
    }

    /// Writes all jobs to the run, and keeps the pipe open.
    fn feed(&mut self) {
        let mut lines = "0123456789abcdef\n".repeat(1000).into_bytes();
        let stdin = self.run.stdin.as_mut().unwrap();
        (1..JOBS / 1000).for_each(|_| stdin.write_all(&lines).unwrap());
        lines = b"fail no such thing\n".repeat(usize::try_from(FAILED).unwrap());
        stdin.write_all(&lines).unwrap();
    }

    fn ps(&self) -> String {
        let mut command = Command::new(SUPERVISOR);
        command.arg("ps").env("SUPERVISOR_RUNTIME_DIR", &self.directory);
        let output = command.stderr(Stdio::inherit()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for LiveRun {
    fn drop(&mut self) {
        signal(self.run.id().cast_signed(), libc::SIGTERM);
        let _ = self.run.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
