//! A recorded run resumes after a crash at any moment, or after a full disk: no job is lost, an
//! outcome reported twice is marked, and with `--on-lost fail` no job runs twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{Read, pipe},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{
    Run, Running, SUPERVISOR, Signal, Value, files::Scratch, load, send, tap, until,
};
use journal::{Reader, State};

struct Workspace(Scratch);

impl Workspace {
    fn new() -> Self {
        let dir = Self(Scratch::new());
        dir.0.file("witness", "", 0o644);
        dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn journal(&self) -> PathBuf {
        self.path("journal")
    }

    /// How often each job started, by the log that the jobs write.
    fn begun(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in fs::read_to_string(self.path("witness")).unwrap().lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        counts
    }

    /// A run with a command per line. Each command logs its start; those with an upper-case name wait
    /// for the file `go`.
    fn each(&self, lines: &str) -> Run {
        let script = "echo \"$2\" >> \"$1/witness\"; \
                      case $2 in [A-Z]*) until test -e \"$1/go\"; do sleep 0.01; done;; esac; \
                      echo \"did $2\"";
        let run = Run::each(["sh", "-c", script, "sh", self.0.path().to_str().unwrap(), "{}"]);
        run.fed(lines).jsonl().recorded(&self.journal())
    }

    fn let_go(&self) {
        fs::write(self.path("go"), "").unwrap();
    }

    /// The recorded state of each job; empty while there is no journal.
    fn states(&self) -> Vec<State> {
        let read = || Reader::open(&self.journal())?.read();
        read().map(|(_, recorded)| recorded.states).unwrap_or_default()
    }

    /// Waits until this many jobs have started, and are recorded as running and as done.
    fn until(&self, begun: usize, running: usize, ok: usize) {
        until("what is to be recorded", || {
            let states = self.states();
            let count = |state| states.iter().filter(|it| **it == state).count();
            let is_so = (count(State::Running), count(State::Ok)) == (running, ok);
            is_so && self.begun().len() == begun
        });
    }
}

/// Kills the supervisor and waits for the warden to clean up.
fn killed(run: Running) -> crate::support::Finished {
    send(run.supervisor(), Signal::SIGKILL);
    let run = run.finish();
    assert_eq!(run.signal(), Some(Signal::SIGKILL), "{}", run.stderr);
    run
}

/// Input and status, such as `A ok`, and whether the record is marked as repeated.
fn reported(jobs: &[Value]) -> Vec<(String, bool)> {
    let one = |job: &Value| {
        let (input, status) = (job["input"].as_str().unwrap(), job["status"].as_str().unwrap());
        (format!("{input} {status}"), job["redelivered"] == true)
    };
    jobs.iter().map(one).collect()
}

#[test]
fn jobs_running_when_the_supervisor_died_are_run_again() {
    let dir = Workspace::new();
    let run = dir.each("a\nB\nC\nD\nE\n").with("-w 2").start();
    // The jobs prefetched behind these two were retracted.
    dir.until(3, 2, 1);
    killed(run);
    dir.let_go();
    let run = dir.each("a\nB\nC\nD\nE\n").with("-w 2").finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let printed = "supervisor: 2 may have been running when the supervisor died: run again\n";
    assert!(run.stderr.starts_with(printed), "{}", run.stderr);
    assert!(run.stderr.contains("journal: 1 done, 4 to run again, 0 new, 0 gone\n"));
    let begun = dir.begun();
    let twice = begun.values().filter(|count| **count == 2).count();
    assert_eq!((begun["a"], twice, begun.values().sum()), (1, 2, 7), "{begun:?}");
    let mut reported = reported(&run.records("job"));
    reported.sort();
    let fresh = ["B ok", "C ok", "D ok", "E ok"].map(|it| (it.to_owned(), false));
    let is_fresh = |it: &&(String, bool)| it.0 != "a ok";
    assert!(reported.iter().filter(is_fresh).eq(&fresh), "{reported:?}");
}

#[test]
fn with_on_lost_fail_a_lost_job_fails_and_is_not_repeated() {
    let dir = Workspace::new();
    let run = dir.each("a\nB\n").with("-w 2 --on-lost fail").start();
    dir.until(2, 1, 1);
    killed(run);
    dir.let_go();
    let run = dir.each("a\nB\nc\n").with("-w 2 --on-lost fail").finish();
    assert_eq!(run.code(), Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("died: failed, as --on-lost fail has it\n"), "{}", run.stderr);
    assert_eq!((dir.begun()["B"], dir.begun()["c"]), (1, 1));
    let reported = reported(&run.records("job"));
    assert!(reported.contains(&("B failed".into(), true)), "{reported:?}");
    // The failure is reported once.
    let run = dir.each("a\nB\nc\n").with("-w 2 --on-lost fail").finish();
    assert_eq!((run.code(), run.records("job").len()), (Some(1), 0));
    let run = dir.each("a\nB\nc\n").with("-w 2 --on-lost fail --retry-failed").finish();
    assert_eq!((run.code(), dir.begun()["B"]), (Some(0), 2), "{}", run.stderr);
}

#[test]
fn with_on_lost_fail_a_job_is_recorded_before_it_starts() {
    let dir = Workspace::new();
    // Each job looks itself up in the journal.
    let look = format!(
        "{SUPERVISOR} journal ls --state running --format jsonl {} | grep -q '\"'{{}}'\"' && echo x",
        dir.journal().display()
    );
    let run = Run::each_sh(&look).with("-w 2 --on-lost fail").jsonl();
    let lines: String = (1..=40).map(|n| format!("job-{n}-\n")).collect();
    let run = run.fed(lines).recorded(&dir.journal()).finish();
    assert_eq!((run.code(), run.records("job").len()), (Some(0), 40), "{}", run.stderr);
    // A prefetched job that was retracted did not start.
    let dir = Workspace::new();
    let run = dir.each("A\nb\n").with("-w 1 --on-lost fail").start();
    dir.until(1, 1, 0);
    until("what comes back", || dir.states() == [State::Running, State::Waiting]);
    killed(run);
    let run = dir.each("A\nb\n").with("-w 1 --on-lost fail").finish();
    let (jobs, begun) = (run.records("job"), dir.begun());
    assert_eq!((run.code(), begun["A"], begun["b"]), (Some(1), 1, 1), "{}", run.stderr);
    assert!(reported(&jobs).contains(&("b ok".into(), false)), "{jobs:?}");
}

#[test]
fn a_retry_starts_only_after_the_previous_attempt_is_recorded() {
    let dir = Workspace::new();
    // Each job looks up its first attempt in the journal.
    let look = format!(
        "[ $SUPERVISOR_ATTEMPT = 2 ] || exit 3; \
         {SUPERVISOR} journal show {} $SUPERVISOR_JOB --format jsonl | grep -q '\"code\":3' && echo x",
        dir.journal().display()
    );
    let run = Run::each_sh(&look).with("-w 2 --retries 1 --retry-delay 1ms").jsonl();
    let lines: String = (1..=40).map(|n| format!("job-{n}-\n")).collect();
    let run = run.fed(lines).recorded(&dir.journal()).finish();
    assert_eq!((run.code(), run.records("job").len()), (Some(0), 40), "{}", run.stderr);
}

#[test]
fn ordered_outcomes_wait_in_the_journal() {
    let dir = Workspace::new();
    let lines = "a\nB\nc\nd\ne\n";
    let run = dir.each(lines).with("-w 3 -k").start();
    dir.until(5, 1, 4);
    run.stdout.until("an outcome", |text| text.contains(r#""type":"job""#).then_some(()));
    let run = killed(run);
    assert_eq!(reported(&run.records("job")), [("a ok".into(), false)]);
    dir.let_go();
    let run = dir.each(lines).with("-w 3 -k").finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let mut reported = reported(&run.records("job"));
    // The supervisor may have died before it recorded that this was written.
    reported.retain(|it| *it != ("a ok".into(), true));
    let expected = [("B ok", false), ("c ok", true), ("d ok", true), ("e ok", true)];
    assert_eq!(reported, expected.map(|(it, again)| (it.to_owned(), again)));
    assert!(dir.begun().iter().all(|(input, count)| *count == 1 + usize::from(input == "B")));
    let run = dir.each(lines).with("-w 3 -k").finish();
    assert_eq!((run.code(), run.records("job").len()), (Some(0), 0));
}

#[test]
fn outcomes_that_nobody_read_are_written_again() {
    let dir = Workspace::new();
    let lines: String = (1..=500).map(|n| format!("{n:0>300}\n")).collect();
    let (mut read, write) = pipe().unwrap();
    let run = dir.each(&lines).with("-w 2 --retries 1").stdout(write).start();
    let mut some = vec![0; 1000];
    read.read_exact(&mut some).unwrap();
    drop(read);
    assert_eq!(run.finish().signal(), Some(Signal::SIGPIPE));
    let run = dir.each(&lines).with("-w 2 --retries 1").finish();
    let reported: BTreeSet<_> =
        reported(&run.records("job")).into_iter().map(|(it, _)| it).collect();
    // The first chunk was written; whether it was read is unknown.
    let begun = dir.begun();
    // Jobs that ran when the reader left were stopped.
    let twice = begun.values().filter(|count| **count == 2).count();
    assert!(begun.len() == 500 && twice <= 2 && begun.values().all(|count| *count <= 2));
    assert!(reported.len() > 300, "{} of 500 reported again", reported.len());
}

#[test]
fn a_full_disk_ends_the_run_and_reported_jobs_are_not_repeated() {
    let dir = Workspace::new();
    let (list, disk) = (dir.path("list"), dir.path("disk"));
    fs::create_dir(&disk).unwrap();
    fs::write(&list, (1..=3000).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    let script = "mount -t tmpfs -o size=256k none \"$1\" || exit 77; \
                  run() { \"$0\" each -w 2 --format jsonl --journal \"$1/journal\" -a \"$2\" echo; }; \
                  run \"$1\" \"$2\" > \"$3.out\" 2> \"$3.err\"; echo $? > \"$3\"; \
                  mount -o remount,size=64m \"$1\" && run \"$1\" \"$2\" > \"$3.out2\"; echo $? >> \"$3\"";
    let report = dir.path("report");
    let words = ["-m", "sh", "-c", script, SUPERVISOR];
    let ran = Command::new("unshare").args(words).args([&disk, &list, &report]).output();
    if !ran.as_ref().is_ok_and(|ran| ran.status.code() != Some(77) && report.is_file()) {
        return println!("SKIPPED: no small disk can be mounted here: {ran:?}");
    }
    let text = |suffix: &str| {
        let path = format!("{}{suffix}", report.display());
        fs::read_to_string(Path::new(&path)).unwrap()
    };
    assert_eq!(text(""), "5\n0\n", "{}", text(".err"));
    assert!(text(".err").contains("No space left on device"), "{}", text(".err"));
    assert!(text(".err").contains("what was committed is kept"), "{}", text(".err"));
    let jobs = |suffix: &str| -> BTreeMap<u64, bool> {
        let records = tap::records(&text(suffix));
        let jobs = records.iter().filter(|it| it["type"] == "job" && it["status"] == "ok");
        jobs.map(|it| (it["id"].as_u64().unwrap(), it["redelivered"] == true)).collect()
    };
    let (first, second) = (jobs(".out"), jobs(".out2"));
    assert!(!first.is_empty() && first.len() < 3000, "{} before", first.len());
    assert!(first.keys().all(|id| second.get(id).is_none_or(|again| *again)));
    assert!((1..=3000).all(|id| first.contains_key(&id) || second.contains_key(&id)));
}

#[test]
fn a_file_size_limit_ends_the_run_like_a_full_disk() {
    let lines: String = (1..=3000).map(|n| format!("{n}\n")).collect();
    // In blocks of 512 bytes: too small for any write, to create the journal, to begin, to fill it.
    for limit in [0, 20, 60, 100] {
        let dir = Workspace::new();
        let run = || Run::worker("echo").with("-w 2").jsonl().fed(&lines);
        let limited = run().recorded(&dir.journal()).after(&format!("ulimit -f {limit}")).finish();
        assert_eq!(limited.code(), Some(5), "{limit}: {}", limited.stderr);
        let printed = format!("supervisor: the journal {} cannot be ", dir.journal().display());
        let mut printed = limited.stderr.lines().filter(|line| line.starts_with(&printed));
        let is_named =
            printed.next().is_some_and(|line| line.contains(": File too large (errno 27"));
        assert!(is_named && printed.next().is_none(), "{limit}: {}", limited.stderr);
        let whole = run().recorded(&dir.journal()).finish();
        assert_eq!(whole.code(), Some(0), "{limit}: {}", whole.stderr);
        assert_eq!(dir.states(), [State::Ok; 3000], "{limit}");
    }
    // A worker still dies by SIGXFSZ.
    let run = Run::sh("exec head -c 9999 /dev/zero > file").after("ulimit -f 1").jsonl();
    run.scratch.file("file", "", 0o644);
    let run = run.finish();
    assert_eq!(run.records("ended")[0]["signal"], "SIGXFSZ", "{}", run.stderr);
}

/// Number of kills, unless `KILL_CYCLES` says otherwise.
const CYCLES: usize = 12;

#[test]
fn every_job_is_accounted_for_after_repeated_kills() {
    let _busy = load::busy();
    let cycles = env::var("KILL_CYCLES").ok().and_then(|it| it.parse().ok()).unwrap_or(CYCLES);
    let (dir, mut random) = (Workspace::new(), 0x2545_f491_4f6c_dd1d_u64);
    let (mut kills, mut round, mut again, mut starts) = (0, 0, 0, 0);
    while kills < cycles {
        round += 1;
        let lines: String = (1..=400).map(|n| format!("{round}-{n}\n")).collect();
        let mut fresh = BTreeSet::new();
        let mut kills_here = 0;
        loop {
            let mut run = dir.each(&lines).with("-w 2").start();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (begun, lifetime) = (Instant::now(), Duration::from_micros(random % 400_000));
            until("the moment of the kill", || begun.elapsed() >= lifetime || run.has_ended());
            let is_over = run.has_ended() || kills >= cycles;
            let run = if is_over { run.finish() } else { killed_if_there(run) };
            kills_here += usize::from(run.code().is_none());
            kills += usize::from(run.code().is_none());
            for record in run.records("job") {
                let input = record["input"].as_str().unwrap().to_owned();
                assert_eq!(record["status"], "ok", "{record}");
                if record["redelivered"] == true {
                    again += 1;
                } else {
                    assert!(fresh.insert(input), "reported twice, and not marked: {record}");
                }
            }
            if run.code() == Some(0) {
                break;
            }
        }
        let begun = dir.begun();
        let here: Vec<_> =
            begun.iter().filter(|(it, _)| it.starts_with(&format!("{round}-"))).collect();
        assert_eq!(here.len(), 400, "jobs that were begun");
        assert!(here.iter().all(|(_, count)| **count <= 1 + kills_here), "{here:?}");
        starts += here.iter().map(|(_, count)| **count).sum::<usize>();
        let states = dir.states();
        assert_eq!(states.len(), 400 * round);
        assert!(states.iter().all(|state| *state == State::Ok), "a job is not accounted for");
    }
    assert_eq!(Reader::open(&dir.journal()).unwrap().verify().unwrap().len(), 0);
    println!("{kills} kills, {} jobs, {starts} starts, {again} reported again", 400 * round);
}

fn killed_if_there(mut run: Running) -> crate::support::Finished {
    if let Some(supervisor) = crate::support::procfs::children(run.pid()).first()
        && !run.has_ended()
    {
        send(supervisor.pid, Signal::SIGKILL);
    }
    run.finish()
}
