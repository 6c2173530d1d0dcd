//! A recorded run that dies at any moment, or whose disk is full, is gone on with: no job is lost,
//! none is told without a mark twice, and none that must not be is done twice.

#![cfg(feature = "journal")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{Read, pipe},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use journal::{Reader, State};
use support::{
    Run, Running, SUPERVISOR, Signal, Value, files::Scratch, journals::scratch, send, tap, until,
};

struct Place(Scratch);

impl Place {
    fn new(name: &str) -> Self {
        let place = Self(scratch(&format!("lost-{name}")));
        place.0.file("witness", "", 0o644);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn journal(&self) -> PathBuf {
        self.path("journal")
    }

    /// How often each job was begun, by its own word.
    fn begun(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in fs::read_to_string(self.path("witness")).unwrap().lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        counts
    }

    /// A command for each of these lines: it says that it began, and those named in upper case
    /// wait to be let go.
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

    /// Where each job stands; nothing while there is no journal.
    fn states(&self) -> Vec<State> {
        let read = || Reader::open(&self.journal())?.read();
        read().map(|(_, recorded)| recorded.states).unwrap_or_default()
    }

    /// Waits until so many jobs have begun and so many are recorded as begun, or as done.
    fn until(&self, begun: usize, running: usize, ok: usize) {
        until("what is to be recorded", || {
            let states = self.states();
            let count = |state| states.iter().filter(|it| **it == state).count();
            let is_so = (count(State::Running), count(State::Ok)) == (running, ok);
            is_so && self.begun().len() == begun
        });
    }
}

/// The supervisor dies, and its warden sweeps up.
fn killed(run: Running) -> support::Finished {
    send(run.supervisor(), Signal::SIGKILL);
    let run = run.finish();
    assert_eq!(run.signal(), Some(Signal::SIGKILL), "{}", run.stderr);
    run
}

/// `A ok`, and whether it was told before.
fn told(jobs: &[Value]) -> Vec<(String, bool)> {
    let one = |job: &Value| {
        let (input, status) = (job["input"].as_str().unwrap(), job["status"].as_str().unwrap());
        (format!("{input} {status}"), job["redelivered"] == true)
    };
    jobs.iter().map(one).collect()
}

#[test]
fn what_ran_when_the_supervisor_died_is_run_again() {
    let place = Place::new("rerun");
    let run = place.each("a\nB\nC\nD\nE\n").with("-w 2").start();
    // What was sent ahead behind these two came back.
    place.until(3, 2, 1);
    killed(run);
    place.let_go();
    let run = place.each("a\nB\nC\nD\nE\n").with("-w 2").finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let said = "supervisor: 2 may have been running when the supervisor died: run again\n";
    assert!(run.stderr.starts_with(said), "{}", run.stderr);
    assert!(run.stderr.contains("journal: 1 done, 4 to run again, 0 new, 0 gone\n"));
    let begun = place.begun();
    let twice = begun.values().filter(|count| **count == 2).count();
    assert_eq!((begun["a"], twice, begun.values().sum()), (1, 2, 7), "{begun:?}");
    let mut told = told(&run.records("job"));
    told.sort();
    let fresh = ["B ok", "C ok", "D ok", "E ok"].map(|it| (it.to_owned(), false));
    let is_fresh = |it: &&(String, bool)| it.0 != "a ok";
    assert!(told.iter().filter(is_fresh).eq(&fresh), "{told:?}");
}

#[test]
fn what_must_not_be_done_twice_has_failed() {
    let place = Place::new("fail");
    let run = place.each("a\nB\n").with("-w 2 --on-lost fail").start();
    place.until(2, 1, 1);
    killed(run);
    place.let_go();
    let run = place.each("a\nB\nc\n").with("-w 2 --on-lost fail").finish();
    assert_eq!(run.code(), Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("died: failed, as --on-lost fail has it\n"), "{}", run.stderr);
    assert_eq!((place.begun()["B"], place.begun()["c"]), (1, 1));
    let told = told(&run.records("job"));
    assert!(told.contains(&("B failed".into(), true)), "{told:?}");
    // Which is told once.
    let run = place.each("a\nB\nc\n").with("-w 2 --on-lost fail").finish();
    assert_eq!((run.code(), run.records("job").len()), (Some(1), 0));
    let run = place.each("a\nB\nc\n").with("-w 2 --on-lost fail --retry-failed").finish();
    assert_eq!((run.code(), place.begun()["B"]), (Some(0), 2), "{}", run.stderr);
}

#[test]
fn with_on_lost_fail_a_job_is_recorded_before_it_begins_and_without_fault_where_it_did_not() {
    let place = Place::new("before");
    // Each looks for itself in the journal.
    let look = format!(
        "{SUPERVISOR} journal ls --state running --format jsonl {} | grep -q '\"{{}}\"' && echo x",
        place.journal().display()
    );
    let run = Run::each_sh(&look).with("-w 2 --on-lost fail").jsonl();
    let lines: String = (1..=40).map(|n| format!("job-{n}-\n")).collect();
    let run = run.fed(lines).recorded(&place.journal()).finish();
    assert_eq!((run.code(), run.records("job").len()), (Some(0), 40), "{}", run.stderr);
    // What was sent ahead and came back was not begun.
    let place = Place::new("back");
    let run = place.each("A\nb\n").with("-w 1 --on-lost fail").start();
    place.until(1, 1, 0);
    until("what comes back", || place.states() == [State::Running, State::Waiting]);
    killed(run);
    let run = place.each("A\nb\n").with("-w 1 --on-lost fail").finish();
    let (jobs, begun) = (run.records("job"), place.begun());
    assert_eq!((run.code(), begun["A"], begun["b"]), (Some(1), 1, 1), "{}", run.stderr);
    assert!(told(&jobs).contains(&("b ok".into(), false)), "{jobs:?}");
}

#[test]
fn a_job_is_not_tried_again_before_the_attempt_before_is_recorded() {
    let place = Place::new("again");
    // Each looks in the journal for what became of its first attempt.
    let look = format!(
        "[ $SUPERVISOR_ATTEMPT = 2 ] || exit 3; \
         {SUPERVISOR} journal show {} $SUPERVISOR_JOB --format jsonl | grep -q '\"code\":3' && echo x",
        place.journal().display()
    );
    let run = Run::each_sh(&look).with("-w 2 --retries 1 --retry-delay 1ms").jsonl();
    let lines: String = (1..=40).map(|n| format!("job-{n}-\n")).collect();
    let run = run.fed(lines).recorded(&place.journal()).finish();
    assert_eq!((run.code(), run.records("job").len()), (Some(0), 40), "{}", run.stderr);
}

#[test]
fn outcomes_that_wait_for_their_turn_wait_in_the_journal() {
    let place = Place::new("order");
    let lines = "a\nB\nc\nd\ne\n";
    let run = place.each(lines).with("-w 3 -k").start();
    place.until(5, 1, 4);
    run.stdout.until("an outcome", |text| text.contains(r#""type":"job""#).then_some(()));
    let run = killed(run);
    assert_eq!(told(&run.records("job")), [("a ok".into(), false)]);
    place.let_go();
    let run = place.each(lines).with("-w 3 -k").finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let mut told = told(&run.records("job"));
    // Whether that was told was perhaps not recorded any more.
    told.retain(|it| *it != ("a ok".into(), true));
    let expected = [("B ok", false), ("c ok", true), ("d ok", true), ("e ok", true)];
    assert_eq!(told, expected.map(|(it, again)| (it.to_owned(), again)));
    assert!(place.begun().iter().all(|(input, count)| *count == 1 + usize::from(input == "B")));
    let run = place.each(lines).with("-w 3 -k").finish();
    assert_eq!((run.code(), run.records("job").len()), (Some(0), 0));
}

#[test]
fn what_nobody_read_is_told_again() {
    let place = Place::new("unread");
    let lines: String = (1..=500).map(|n| format!("{n:0>300}\n")).collect();
    let (mut read, write) = pipe().unwrap();
    let run = place.each(&lines).with("-w 2 --retries 1").stdout(write).start();
    let mut some = vec![0; 1000];
    read.read_exact(&mut some).unwrap();
    drop(read);
    assert_eq!(run.finish().signal(), Some(Signal::SIGPIPE));
    let run = place.each(&lines).with("-w 2 --retries 1").finish();
    let told: BTreeSet<_> = told(&run.records("job")).into_iter().map(|(it, _)| it).collect();
    // Of the first chunk, which was written, nobody knows whether it was read.
    let begun = place.begun();
    // And what ran when nobody read was cut short.
    let twice = begun.values().filter(|count| **count == 2).count();
    assert!(begun.len() == 500 && twice <= 2 && begun.values().all(|count| *count <= 2));
    assert!(told.len() > 300, "{} of 500 told again", told.len());
}

#[test]
fn a_full_disk_ends_the_run_and_nothing_that_was_told_is_done_again() {
    let place = Place::new("full");
    let (list, disk) = (place.path("list"), place.path("disk"));
    fs::create_dir(&disk).unwrap();
    fs::write(&list, (1..=3000).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    let script = "mount -t tmpfs -o size=256k none \"$1\" || exit 77; \
                  run() { \"$0\" each -w 2 --format jsonl --journal \"$1/journal\" -a \"$2\" echo; }; \
                  run \"$1\" \"$2\" > \"$3.out\" 2> \"$3.err\"; echo $? > \"$3\"; \
                  mount -o remount,size=64m \"$1\" && run \"$1\" \"$2\" > \"$3.out2\"; echo $? >> \"$3\"";
    let report = place.path("report");
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
fn a_file_that_may_not_grow_ends_the_run_as_a_full_disk_does() {
    let lines: String = (1..=3000).map(|n| format!("{n}\n")).collect();
    // In blocks of 512 bytes: nothing may be written, or a journal not be made, begun, or filled.
    for limit in [0, 20, 60, 100] {
        let place = Place::new(&format!("limit-{limit}"));
        let run = || Run::worker("echo").with("-w 2").jsonl().fed(&lines);
        let limited =
            run().recorded(&place.journal()).after(&format!("ulimit -f {limit}")).finish();
        assert_eq!(limited.code(), Some(5), "{limit}: {}", limited.stderr);
        let said = format!("supervisor: the journal {} cannot be ", place.journal().display());
        let mut said = limited.stderr.lines().filter(|line| line.starts_with(&said));
        let is_named = said.next().is_some_and(|line| line.contains(": File too large (errno 27"));
        assert!(is_named && said.next().is_none(), "{limit}: {}", limited.stderr);
        let whole = run().recorded(&place.journal()).finish();
        assert_eq!(whole.code(), Some(0), "{limit}: {}", whole.stderr);
        assert_eq!(place.states(), [State::Ok; 3000], "{limit}");
    }
    // Whoever is started by us is ended by it, as ever.
    let run = Run::sh("exec head -c 9999 /dev/zero > file").after("ulimit -f 1").jsonl();
    run.scratch.file("file", "", 0o644);
    let run = run.finish();
    assert_eq!(run.records("ended")[0]["signal"], "SIGXFSZ", "{}", run.stderr);
}

/// So many times a run is killed, unless more are wanted.
const CYCLES: usize = 12;

#[test]
fn killed_again_and_again_it_ends_with_each_job_accounted_for() {
    let cycles = env::var("KILL_CYCLES").ok().and_then(|it| it.parse().ok()).unwrap_or(CYCLES);
    let (place, mut random) = (Place::new("cycles"), 0x2545_f491_4f6c_dd1d_u64);
    let (mut kills, mut round, mut again, mut starts) = (0, 0, 0, 0);
    while kills < cycles {
        round += 1;
        let lines: String = (1..=400).map(|n| format!("{round}-{n}\n")).collect();
        let mut fresh = BTreeSet::new();
        let mut kills_here = 0;
        loop {
            let mut run = place.each(&lines).with("-w 2").start();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (begun, life) = (Instant::now(), Duration::from_micros(random % 400_000));
            while begun.elapsed() < life && !run.has_ended() {
                // The pace of the killer: nothing is waited for.
                thread::sleep(Duration::from_millis(1));
            }
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
                    assert!(fresh.insert(input), "told twice, and not marked: {record}");
                }
            }
            if run.code() == Some(0) {
                break;
            }
        }
        let begun = place.begun();
        let here: Vec<_> =
            begun.iter().filter(|(it, _)| it.starts_with(&format!("{round}-"))).collect();
        assert_eq!(here.len(), 400, "jobs that were begun");
        assert!(here.iter().all(|(_, count)| **count <= 1 + kills_here), "{here:?}");
        starts += here.iter().map(|(_, count)| **count).sum::<usize>();
        let states = place.states();
        assert_eq!(states.len(), 400 * round);
        assert!(states.iter().all(|state| *state == State::Ok), "a job is not accounted for");
    }
    assert_eq!(Reader::open(&place.journal()).unwrap().verify().unwrap().len(), 0);
    println!("{kills} kills, {} jobs, {starts} starts, {again} told again", 400 * round);
}

fn killed_if_there(mut run: Running) -> support::Finished {
    if let Some(supervisor) = support::procfs::children(run.pid()).first()
        && !run.has_ended()
    {
        send(supervisor.pid, Signal::SIGKILL);
    }
    run.finish()
}
