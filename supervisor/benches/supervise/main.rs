//! Measures the cost of supervision beside the minimum that the system allows.
//!
//! Each figure stands beside a reference that is measured in the same run, because machines differ,
//! and one machine differs from hour to hour. `sh scripts/bench.sh` builds the programs that the
//! benchmark needs and runs it.

#![expect(unsafe_code, reason = "the reference spawns processes as a C program would")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed benchmark stops")]

use std::{
    env, fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    ptr, thread,
    time::{Duration, Instant},
};

use ::process::proc;

mod looks;
mod orphans;

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervisor");
const KILLS: usize = 11;
/// A worker counts as ready after a second, and only a ready worker is replaced at once.
const UNTIL_READY: Duration = Duration::from_millis(1200);

fn main() {
    // `cargo bench` passes `--bench`. `cargo test --benches` does not, and must end at once.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let seconds = env::var("IDLE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    println!("{:<44} {:>10} {:>12} {:>8}  goal", "", "supervisor", "reference", "ratio");
    let wanted: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    if is_wanted("recover") {
        recover();
    }
    if is_wanted("start") {
        start();
    }
    if is_wanted("idle") {
        idle(100, seconds, 3.0);
        idle(512, seconds, 8.0);
    }
    if is_wanted("orphans") {
        orphans::kills();
    }
    if is_wanted("watch") {
        orphans::watch(seconds);
    }
    if is_wanted("ps") {
        looks::ps();
    }
}

fn row(name: &str, measured: &str, reference: &str, ratio: &str, goal: &str) {
    println!("{name:<44} {measured:>10} {reference:>12} {ratio:>8}  {goal}");
}

/// Measures the time from the kill of a worker to the first instruction of its replacement, beside
/// the kill of a child followed by a `vfork` and `exec` of the same program.
fn recover() {
    let beacons = Beacons::new();
    let mut run = Run::new(&[
        "--workers",
        "1",
        "--restart",
        "always",
        "--",
        beacons.program(),
        beacons.path(),
    ]);
    let mut pid = beacons.next(0).0;
    let (mut measured, mut reference) = (Vec::new(), Vec::new());
    for _ in 0..KILLS {
        thread::sleep(UNTIL_READY);
        measured.push(timed_kill(pid, &beacons, || {}));
        pid = beacons.last_pid();
        // The reference rests as long as the worker: after a second of sleep, the processors and
        // their caches are cold, and the same spawn takes five times as long as in a loop.
        let child = spawn(beacons.program(), beacons.path());
        beacons.next(0);
        thread::sleep(UNTIL_READY);
        let mut next = 0;
        reference.push(timed_kill(child, &beacons, || next = reap_and_spawn(child, &beacons)));
        end(next);
    }
    run.stop();
    let (measured, reference) = (median(measured), median(reference));
    row(
        "kill -9 to first instruction of replacement",
        &format!("{:.0} us", measured * 1e6),
        &format!("{:.0} us", reference * 1e6),
        &format!("{:.2}", measured / reference),
        "<= 3 of vfork+exec",
    );
}

/// Measures 512 workers that start, print a line and end, beside 512 spawns one after another.
fn start() {
    const WORKERS: usize = 512;
    let began = Instant::now();
    let output = Command::new(SUPERVISOR)
        .args(["run", "--workers", "512", "--", "echo", "here"])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let measured = began.elapsed().as_secs_f64();
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let here = lines.filter(|line| line.ends_with(b"] here")).count();
    assert_eq!(here, WORKERS, "every worker prints its line");
    let began = Instant::now();
    for _ in 0..WORKERS {
        let output = Command::new("echo").arg("here").output().unwrap();
        assert!(output.status.success());
    }
    let reference = began.elapsed().as_secs_f64();
    row(
        "512 workers start, print a line and end",
        &format!("{measured:.2} s"),
        &format!("{reference:.2} s"),
        &format!("{:.2}", measured / reference),
        "< 5 s; beside std's spawn, one at a time",
    );
}

/// Measures the wake-ups and the private memory of the supervisor and its warden while their workers
/// sleep.
fn idle(workers: usize, seconds: u64, goal_mib: f64) {
    let count = workers.to_string();
    let mut run = Run::new(&["--workers", &count, "--", "sleep", "1000"]);
    until(|| children(run.supervisor()).len() == workers);
    thread::sleep(UNTIL_READY);
    let (warden, supervisor) = (run.pid(), run.supervisor());
    let both = || wakeups(warden) + wakeups(supervisor);
    let before = both();
    thread::sleep(Duration::from_secs(seconds));
    let wakeups = both() - before;
    let private = private_mib(warden) + private_mib(supervisor);
    run.stop();
    row(
        &format!("{workers} sleeping workers, wake-ups in {seconds} s"),
        &wakeups.to_string(),
        "0",
        "-",
        "0",
    );
    row(
        &format!("{workers} sleeping workers, private memory"),
        &format!("{private:.1} MiB"),
        &format!("{goal_mib:.0} MiB"),
        &format!("{:.2}", private / goal_mib),
        "<= 1",
    );
}

/// A supervisor, stopped when dropped.
struct Run(Child);

impl Run {
    fn new(arguments: &[&str]) -> Self {
        let mut command = Command::new(SUPERVISOR);
        command.arg("run").args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    /// Returns the PID of the supervisor itself, which is a child of the started process, the warden.
    fn supervisor(&self) -> i32 {
        until(|| !named(self.pid(), "supervisor").is_empty());
        named(self.pid(), "supervisor")[0]
    }

    fn stop(&mut self) {
        signal(self.pid(), libc::SIGTERM);
        self.0.wait().unwrap();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The socket on which beacons announce themselves: each sends its PID and the time of its start.
struct Beacons {
    socket: UnixDatagram,
    path: PathBuf,
    program: PathBuf,
    last: std::cell::Cell<i32>,
}

impl Beacons {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("beacons-{}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let program = example("beacon").into();
        Self { socket, path, program, last: std::cell::Cell::new(0) }
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn program(&self) -> &str {
        self.program.to_str().unwrap()
    }

    /// Waits for a beacon that started after `after`; returns its PID and the time of its start.
    fn next(&self, after: i64) -> (i32, i64) {
        loop {
            let mut buffer = [0; 64];
            let length = self.socket.recv(&mut buffer).expect("a beacon in 20 s");
            let text = str::from_utf8(&buffer[..length]).unwrap();
            let (pid, born) = text.split_once(' ').unwrap();
            let (pid, born) = (pid.parse().unwrap(), born.parse().unwrap());
            if born > after {
                self.last.set(pid);
                return (pid, born);
            }
        }
    }

    fn last_pid(&self) -> i32 {
        self.last.get()
    }
}

impl Drop for Beacons {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns the path of a program of `crates/worker/examples/`.
fn example(name: &str) -> String {
    let program = Path::new(SUPERVISOR).with_file_name("examples").join(name);
    assert!(program.exists(), "{} is not built: run scripts/bench.sh", program.display());
    program.to_str().unwrap().into()
}

/// Returns the seconds from the kill of `pid` to the start of its replacement.
fn timed_kill(pid: i32, beacons: &Beacons, replace: impl FnOnce()) -> f64 {
    let killed = monotonic_ns();
    signal(pid, libc::SIGKILL);
    replace();
    let (_, born) = beacons.next(killed);
    Duration::from_nanos(u64::try_from(born - killed).unwrap()).as_secs_f64()
}

fn reap_and_spawn(pid: i32, beacons: &Beacons) -> i32 {
    // SAFETY: waitpid accepts a null pointer for the status.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
    spawn(beacons.program(), beacons.path())
}

fn end(pid: i32) {
    signal(pid, libc::SIGKILL);
    // SAFETY: as above.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
}

/// Starts a program with posix_spawn, which calls vfork and exec.
fn spawn(program: &str, argument: &str) -> i32 {
    let strings = [program, argument].map(|text| std::ffi::CString::new(text).unwrap());
    let argv = [strings[0].as_ptr().cast_mut(), strings[1].as_ptr().cast_mut(), ptr::null_mut()];
    let envp = [ptr::null_mut()];
    let mut pid = 0;
    // SAFETY: the pointers lead to C strings, and to arrays of such pointers that end with null.
    let result = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            argv[0],
            ptr::null(),
            ptr::null(),
            argv.as_ptr(),
            envp.as_ptr(),
        )
    };
    assert_eq!(result, 0, "the reference spawns");
    pid
}

fn signal(pid: i32, number: i32) {
    // SAFETY: kill takes two integers.
    assert_eq!(unsafe { libc::kill(pid, number) }, 0, "process {pid} exists");
}

fn monotonic_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime fills in the timespec it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn until(holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "the condition does not hold within 30 s"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// Returns the children of a process that already run `sleep`.
fn children(pid: i32) -> Vec<i32> {
    named(pid, "sleep")
}

/// Returns the children of a process that run the program `name`.
fn named(parent: i32, name: &str) -> Vec<i32> {
    let all = proc::pids().filter_map(proc::Stat::read);
    all.filter(|it| it.name == name && it.is_child_of(parent)).map(|it| it.pid).collect()
}

/// Returns the voluntary context switches of all threads of a process.
fn wakeups(pid: i32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of_thread = |path: PathBuf| {
        let status = proc::Fields::read(path.join("status")).unwrap();
        status.number("voluntary_ctxt_switches").unwrap()
    };
    threads.map(|thread| of_thread(thread.unwrap().path())).sum()
}

fn private_mib(pid: i32) -> f64 {
    let rollup = proc::Fields::smaps_rollup(pid).unwrap();
    let private = ["Private_Clean", "Private_Dirty", "Private_Hugetlb"];
    let bytes: u64 = private.into_iter().filter_map(|name| rollup.bytes(name)).sum();
    bytes as f64 / f64::from(1 << 20)
}
