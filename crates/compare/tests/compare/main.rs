//! Tests of `supervisor compare`: what each way costs and loses, and whether the figures can be
//! computed again from the records before them.

#![expect(clippy::unwrap_used, reason = "a failure fails the test")]

mod figures;
mod support;

use std::{
    fs,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use self::{
    figures::assert_consistent,
    support::{Terminal, records, restore_signals, supervisor, until, with_environment},
};

const WAYS: [(&str, &str); 6] = [
    ("serial", "one after another"),
    ("tasks", "tasks on one thread"),
    ("runtime", "tasks on many threads"),
    ("threads", "threads"),
    ("workers", "worker processes"),
    ("each", "a process per job"),
];

/// The output of a comparison that has ended and left no process behind.
struct Compared {
    output: Output,
    stderr: String,
    records: Vec<Value>,
}

/// Returns the command, and the environment variable that marks its processes.
fn command(options: &str) -> (Command, String) {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    restore_signals();
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let value = format!("{}-{number}", std::process::id());
    let mut command = Command::new(supervisor());
    command.arg("compare").args(options.split_whitespace()).env("COMPARE_TEST", &value);
    command.stdin(Stdio::null());
    (command, format!("COMPARE_TEST={value}"))
}

fn compare(options: &str) -> Compared {
    let (mut command, mark) = command(options);
    let output = command.args(["--format", "jsonl"]).output().unwrap();
    until("the end of all its processes", || with_environment(&mark).is_empty());
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    let records = records(str::from_utf8(&output.stdout).unwrap());
    assert!(output.status.code().is_some_and(|code| code < 2), "{stderr}");
    Compared { output, stderr, records }
}

impl Compared {
    /// Returns the records of one type.
    fn of_type(&self, kind: &str) -> Vec<&Value> {
        self.records.iter().filter(|record| record["type"] == kind).collect()
    }

    fn row(&self, fault: &str, way: &str) -> &Value {
        let rows = self.of_type("row");
        let found = rows.into_iter().find(|row| row["fault"] == fault && row["way"] == way);
        found.unwrap_or_else(|| panic!("no row for {fault} and {way}: {}", self.stderr))
    }

    /// Returns the number of jobs without a right answer, as the median of all rounds.
    fn not_ok(&self, fault: &str, way: &str) -> f64 {
        self.row(fault, way)["not_ok"]["median"].as_f64().unwrap()
    }

    /// Returns the wall time of the fastest round in milliseconds: the one that other load on the
    /// machine disturbed least.
    fn wall(&self, way: &str) -> f64 {
        self.row("none", way)["wall_ms"]["min"].as_f64().unwrap()
    }
}

/// Repeats a comparison until `is_seen` holds, since other load on the machine may hide an effect.
/// On a machine with more load than processors the check is skipped.
fn until_seen(options: &str, is_seen: impl Fn(&Compared) -> bool) -> Compared {
    const ATTEMPTS: usize = 6;
    let mut compared = compare(options);
    for _ in 1..ATTEMPTS {
        if is_seen(&compared) {
            break;
        }
        compared = compare(options);
    }
    let is_shown = is_seen(&compared);
    assert!(is_shown || is_busy(), "{}", compared.stderr);
    if !is_shown {
        eprintln!("SKIPPED, for this machine is busy: the times of {options}");
    }
    assert_consistent(&compared);
    compared
}

/// Whether the machine has more load than processors.
fn is_busy() -> bool {
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    let load: f64 = load.split(' ').next().unwrap().parse().unwrap();
    let cpus = u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    load > f64::from(cpus)
}

#[test]
fn four_concurrent_requests_take_the_time_of_one_in_every_way() {
    let compared = until_seen("--work http --delay 125ms --warm-up 0", |compared| {
        let joined = ["tasks", "runtime", "threads", "workers", "each"];
        let joined = joined.map(|way| compared.wall(way));
        let fastest = joined.into_iter().fold(f64::MAX, f64::min);
        assert!(compared.wall("serial") >= 500.0 && fastest >= 125.0);
        let is_as_fast = joined.iter().all(|wall| *wall < 2.0 * fastest);
        is_as_fast && compared.wall("serial") > 3.0 * fastest
    });
    assert_eq!(compared.output.status.code(), Some(0), "{}", compared.stderr);
    assert!(compared.stderr.contains("These jobs wait"), "{}", compared.stderr);
}

#[test]
fn computing_is_faster_only_with_more_processors() {
    let options = "--work fib --fib 34 --ways serial,tasks,threads,workers --warm-up 0";
    let compared = until_seen(options, |compared| {
        let gain = |way| compared.wall("serial") / compared.wall(way);
        let has_several = std::thread::available_parallelism().unwrap().get() > 1;
        !has_several || (gain("threads") > 1.2 && gain("workers") > gain("tasks"))
    });
    // One thread uses at most one processor, whatever else the machine does.
    for run in compared.of_type("run").into_iter().filter(|run| run["way"] == "tasks") {
        let [cpu, wall] = ["cpu_ms", "wall_ms"].map(|name| run[name].as_f64().unwrap());
        assert!(cpu < 1.1 * wall, "{run}");
    }
}

#[test]
fn a_busy_task_starves_its_neighbours_and_a_busy_process_does_not() {
    let options = "--work mixed --delay 1s --ways serial,tasks,threads,workers --jobs";
    until_seen(&format!("{options} 2"), |joined| {
        assert!(joined.wall("serial") >= 1200.0);
        ["tasks", "threads", "workers"].iter().all(|way| joined.wall(way) < 1190.0)
    });
    let starved = until_seen(&format!("{options} 4"), |starved| {
        let short = |way| starved.row("none", way)["short_ms"]["median"].as_f64().unwrap();
        assert!(short("tasks") >= 200.0, "{}", starved.stderr);
        short("threads") < 100.0 && short("workers") < 100.0 && short("tasks") < 600.0
    });
    let stderr = &starved.stderr;
    assert!(stderr.contains("busy job"), "{stderr}");
}

/// Asserts that this fault in job 50 costs no other job where jobs run in processes.
fn assert_processes_lose_only_the_faulty_job(compared: &Compared, fault: &str) {
    let ways = ["workers", "each"];
    for way in ways {
        let not_ok = compared.not_ok(fault, way);
        assert!((not_ok - 1.0).abs() < 0.1, "{fault} {way}: {}", compared.stderr);
    }
    let lost = compared.of_type("job").into_iter().filter(|job| {
        job["fault"] == fault && job["end"] != "ok" && ways.contains(&job["way"].as_str().unwrap())
    });
    assert!(lost.clone().count() == 2 && lost.clone().all(|job| job["id"] == 50));
}

#[test]
fn a_fault_costs_processes_one_job_and_other_ways_more() {
    let options = "--work sleep --delay 5ms --fault all --timeout 800ms";
    let compared = compare(options);
    assert_eq!(compared.output.status.code(), Some(0), "{}", compared.stderr);
    assert_consistent(&compared);
    let not_ok = |fault, way| compared.not_ok(fault, way);
    let died = |fault, way| compared.row(fault, way)["died"].to_string();
    for fault in ["panic", "abort", "segv", "leak", "hang", "spin", "exit", "deadlock"] {
        assert_processes_lose_only_the_faulty_job(&compared, fault);
        // Of serial jobs, those before the faulty one succeed and those after it are lost.
        assert!((not_ok(fault, "serial") - 51.0).abs() < 0.1, "{fault}: {}", compared.stderr);
    }
    for fault in ["abort", "segv", "exit"] {
        for way in ["tasks", "runtime", "threads"] {
            assert!(not_ok(fault, way) > 30.0, "{fault} {way}: {}", compared.stderr);
            assert!(died(fault, way).contains("process"), "{}", compared.stderr);
        }
    }
    for fault in ["hang", "spin", "deadlock"] {
        assert!(not_ok(fault, "tasks") >= 51.0, "{}", compared.stderr);
        assert_eq!(compared.row(fault, "threads")["is_crippled"], true);
    }
    for (fault, way, lost) in
        [("panic", "tasks", 1.0), ("panic", "threads", 1.0), ("hang", "threads", 1.0)]
    {
        assert!((not_ok(fault, way) - lost).abs() < 0.1, "{fault} {way}: {}", compared.stderr);
    }
    assert!(not_ok("deadlock", "threads") > 30.0, "{}", compared.stderr);
    for (fault, way, words) in [
        ("segv", "threads", "SIGSEGV"),
        ("segv", "workers", "SIGSEGV"),
        ("abort", "each", "SIGABRT"),
        ("panic", "threads", "panic"),
        ("exit", "tasks", "code 0"),
        ("exit", "workers", "code 0"),
        ("spin", "workers", "timeout"),
        ("deadlock", "runtime", "stuck"),
    ] {
        assert!(died(fault, way).contains(words), "{fault} {way}: {}", died(fault, way));
    }
    assert!(compared.stderr.contains("abort, segv"), "{}", compared.stderr);
    // A hung worker is detected at its timeout, and its place is then free again.
    for way in ["workers", "each"] {
        let recovery = compared.row("hang", way)["recovery_ms"]["median"].as_f64().unwrap();
        assert!((800.0..10_000.0).contains(&recovery), "{recovery}");
    }
}

#[test]
fn a_leak_ends_at_its_limit() {
    // Sooner than the timeout, also on a busy machine.
    let options = "--work sleep --delay 5ms --fault leak --timeout 10s --ways threads,workers";
    let compared = compare(options);
    assert_consistent(&compared);
    for (way, words) in [("threads", "SIGABRT"), ("workers", "memory")] {
        let died = compared.row("leak", way)["died"].to_string();
        assert!(died.contains(words), "{way}: {died}");
    }
}

#[test]
fn several_faulty_jobs_cost_processes_no_others() {
    let options = "--work echo --jobs 60 --fault segv --faulty 5 --ways workers,each --repeat 2";
    let compared = compare(options);
    assert_consistent(&compared);
    for way in ["workers", "each"] {
        assert_eq!(compared.row("segv", way)["not_ok"]["max"], 5.0, "{}", compared.stderr);
    }
}

#[test]
fn a_payload_crosses_whole_and_is_paid_for_where_it_crosses() {
    let options = "--work echo --jobs 40 --payload 64k --ways threads,workers,each --repeat 1";
    let compared = compare(options);
    assert_consistent(&compared);
    for way in ["threads", "workers", "each"] {
        let row = compared.row("none", way);
        assert_eq!(row["jobs"]["ok"]["min"], 40.0, "{}", compared.stderr);
        assert_eq!(row["crossing_ms"].is_null(), way == "threads");
    }
}

#[test]
fn an_interrupted_comparison_reports_the_finished_runs() {
    let options = "--work sleep --delay 100ms --repeat 1000 --ways threads,workers --warm-up 0";
    let terminal = Terminal::open();
    let (mut command, mark) = command(options);
    command.stdout(Stdio::piped()).stderr(terminal.line());
    let child = command.spawn().unwrap();
    drop(command);
    terminal.until_shown("9/2000");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    until("the end of all its processes", || with_environment(&mark).is_empty());
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(2));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("worker processes") && text.contains("median of 4"), "{text}");
}

#[test]
fn a_killed_comparison_leaves_no_process_behind() {
    for way in ["threads", "workers", "each"] {
        let (mut command, mark) = command(&format!("--work sleep --delay 1h --ways {way}"));
        let mut child = command.spawn().unwrap();
        // The program, the child that runs the way, and the processes of that child.
        let at_least = if way == "threads" { 2 } else { 6 };
        until("its processes", || with_environment(&mark).len() >= at_least);
        child.kill().unwrap();
        child.wait().unwrap();
        until("the end of all its processes", || with_environment(&mark).is_empty());
    }
}

#[test]
fn the_page_is_self_contained() {
    let path = std::env::temp_dir().join(format!("compare-{}.html", std::process::id()));
    let options = "--work echo --jobs 20 --fault none,segv --repeat 1 --html";
    let compared = compare(&format!("{options} {}", path.display()));
    let page = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    for absent in ["http://", "https://", "src=", "url(", "<script", "@import", "NaN"] {
        assert!(!page.contains(absent), "{absent}");
    }
    for (_, title) in WAYS {
        assert!(page.matches(title).count() > 3, "{title}");
    }
    assert!(
        page.matches("<svg").count() >= 5
            && page.matches("<svg").count() == page.matches("</svg").count()
    );
    // Six ways, each of which marks its one faulty job.
    assert_eq!(page.matches("class=\"ring\"").count(), 6);
    for verdict in compared.of_type("verdict") {
        assert!(page.contains(verdict["text"].as_str().unwrap()));
    }
    let (mut command, _) =
        command("--work echo --jobs 1 --repeat 1 --ways serial --html /nowhere/x");
    let refused = command.output().unwrap();
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("/nowhere/x"));
}

#[test]
fn a_way_that_cannot_run_is_reported_with_the_reason() {
    let options = "--work echo --jobs 5 --repeat 1 --workers 4 --ways threads,workers";
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 16; exec \"$0\" \"$@\""])
        .arg(supervisor())
        .arg("compare")
        .args(options.split_whitespace())
        .output()
        .unwrap();
    let (stdout, stderr) = (output.stdout, String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let reason = "supervisor: worker processes came to nothing: 4 workers need";
    assert!(stderr.contains(reason), "{stderr}");
    assert!(String::from_utf8(stdout).unwrap().contains("threads"));
}

#[test]
fn meaningless_options_are_refused() {
    for (options, words) in [
        ("--fib 3", "--work fib"),
        ("--work fib --delay 1s", "--work http, sleep or mixed"),
        ("--faulty 2", "--fault"),
        ("--fault segv --memory 1G", "--fault leak"),
        ("--fault segv --jobs 2 --faulty 3", "there are 2 jobs"),
        ("--fault meteor", "`meteor` is no fault; write one of none, panic"),
        ("--ways fork", "`fork` is no way of running jobs"),
        ("--work echo --jobs 1000000 --payload 1M", "lie in memory"),
    ] {
        let (mut command, _) = command(options);
        let refused = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{options}: {stderr}");
        assert!(stderr.contains(words), "{options}: {stderr}");
    }
}
