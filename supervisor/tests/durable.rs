//! Does a journal survive the death of whoever writes it, at any moment?

#![cfg(feature = "journal")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use journal::{
    Header, Journal, OnLost, Opened, Reader, State, Sync,
    identity::Digest,
    resume::{Decision, Resume},
};
use support::journals::{ENDING, done, job, scratch, started};

// What follows is written by another process: this program, called anew for one of its tests.

const WRITE: &str = "SUPERVISOR_TEST_WRITES_JOURNAL";
const JOBS: u64 = 3000;

fn payload(number: u64) -> String {
    // Every third is as another.
    format!("job {}", number - u64::from(number.is_multiple_of(3)))
}

/// Runs the jobs of a journal that are left, and says on stdout what ran and what is certain.
#[test]
fn writes_a_journal_where_that_is_asked_for() {
    let Some(path) = env::var_os(WRITE) else { return };
    let mut out = std::io::stdout().lock();
    let opened = match Opened::new(Path::new(&path), Sync::Batch) {
        Ok(opened) => opened,
        Err(error) => return writeln!(out, "\n!refused {error}").unwrap(),
    };
    let began = Duration::from_secs(1);
    let (store, recorded) = opened.begin(Header::default(), began, OnLost::Rerun).unwrap();
    let (journal, mut resume) = (Journal::new(store).unwrap(), Resume::new(recorded, false));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    writeln!(out, "\n!begun").unwrap();
    for chunk in (1..=JOBS).collect::<Vec<_>>().chunks(7) {
        let (mut begun, mut ends, mut jobs) = (Vec::new(), Vec::new(), Vec::new());
        for number in chunk {
            let bytes = payload(*number).into_bytes();
            let number = match resume.next(&Digest::of(&bytes)) {
                Decision::Settled { .. } => continue,
                Decision::Again { job, .. } => job,
                Decision::New { job: number } => {
                    begun.push(job(number, &bytes));
                    number
                }
            };
            begun.push(started(number));
            ends.push(done(number));
            jobs.push(number);
            writeln!(out, "!ran {number}").unwrap();
        }
        journal.submit(begun);
        let sequence = journal.submit(ends);
        journal.flush();
        if let Err(failure) = runtime.block_on(journal.until(sequence)) {
            return writeln!(out, "!failed {failure}").unwrap();
        }
        jobs.iter().for_each(|job| writeln!(out, "!done {job}").unwrap());
    }
    runtime.block_on(journal.close(ENDING)).unwrap();
    writeln!(out, "!closed").unwrap();
}

fn writer(path: &Path, limit: &str) -> Child {
    // A file that may not grow is an error, and no death.
    let script = format!("trap '' XFSZ; {limit} exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(env::current_exe().unwrap());
    command.args(["--exact", "writes_a_journal_where_that_is_asked_for", "--nocapture"]);
    command.env(WRITE, path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// What it says, until it ends or was told to stop by the one who hears it.
fn hear(child: &mut Child, mut goes_on: impl FnMut(&str, &str) -> bool) {
    let mut hears = true;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((word, rest)) =
            line.strip_prefix('!').map(|said| said.split_once(' ').unwrap_or((said, "")))
        else {
            continue;
        };
        if !goes_on(word, rest) && hears {
            hears = false;
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
}

#[test]
fn no_job_that_was_done_for_certain_runs_again_however_often_its_writer_is_killed() {
    let scratch = scratch("kill");
    let path = scratch.path().join("journal");
    let (mut done, mut ran) = (BTreeSet::new(), BTreeMap::<u64, u32>::new());
    let mut rounds = 0u32;
    let mut is_closed = false;
    while !is_closed {
        rounds += 1;
        // Each round lives a little longer, so that it comes to its end.
        let mut left = 17 * i64::from(rounds);
        let mut child = writer(&path, "");
        hear(&mut child, |word, rest| {
            left -= 1;
            match word {
                "ran" => {
                    let job = rest.parse().unwrap();
                    assert!(!done.contains(&job), "job {job} ran again");
                    *ran.entry(job).or_default() += 1;
                }
                "done" => assert!(done.insert(rest.parse().unwrap()), "{rest} done twice"),
                "closed" => is_closed = true,
                "begun" => {}
                _ => panic!("{word} {rest}"),
            }
            left > 0
        });
        let reader = Reader::open(&path).unwrap();
        assert!(!reader.is_live());
        let (_, recorded) = reader.read().unwrap();
        let is_ok = |job: &u64| recorded.state(*job) == Some(State::Ok);
        assert!(done.iter().all(is_ok), "a job was forgotten");
    }
    assert!(rounds > 10 && ran.values().all(|runs| *runs <= rounds));
    // What was committed and not said any more is done all the same.
    assert_eq!((ran.len() as u64, ran.keys().max()), (JOBS, Some(&JOBS)));
    let reader = Reader::open(&path).unwrap();
    assert!(reader.verify().unwrap().is_empty());
    let states = reader.read().unwrap().1.states;
    assert_eq!(states.iter().filter(|state| **state == State::Ok).count() as u64, JOBS);
}

#[test]
fn a_write_that_fails_ends_the_run_with_its_reason_and_keeps_what_was_committed() {
    let scratch = scratch("full");
    let path = scratch.path().join("journal");
    // In blocks of 512 bytes: the log cannot grow beyond that.
    let mut child = writer(&path, "ulimit -f 400;");
    let (mut done, mut failure) = (BTreeSet::new(), String::new());
    hear(&mut child, |word, rest| {
        match word {
            "done" => drop(done.insert(rest.parse::<u64>().unwrap())),
            "failed" => failure = rest.into(),
            _ => {}
        }
        true
    });
    assert!(failure.contains("cannot be written: File too large (errno 27"), "{failure}");
    assert!(!done.is_empty());
    let (_, recorded) = Reader::open(&path).unwrap().read().unwrap();
    assert!(done.iter().all(|job| recorded.state(*job) == Some(State::Ok)));
}
