//! A journal survives the death of its writer at any moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::{
    files::Scratch,
    journals::{ENDING, done, job, started},
};
use journal::{
    Header, Journal, OnLost, Opened, Reader, State, Sync,
    identity::Digest,
    resume::{Decision, Resume},
};

// The writer is another process: this test program, started for one of its tests.

const WRITE: &str = "SUPERVISOR_TEST_WRITES_JOURNAL";
const JOBS: u64 = 3000;

fn payload(number: u64) -> String {
    // Every third payload equals another one.
    format!("job {}", number - u64::from(number.is_multiple_of(3)))
}

/// The writer: runs the remaining jobs of a journal and reports on stdout which ran and which are
/// committed. Does nothing unless started by another test.
#[test]
fn writes_a_journal() {
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
    // With SIGXFSZ ignored a file size limit is an error and not a death.
    let script = format!("trap '' XFSZ; {limit} exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(env::current_exe().unwrap());
    // The harness names a test without the crate.
    let (_, module) = module_path!().split_once("::").unwrap();
    command.args(["--exact", &format!("{module}::writes_a_journal"), "--nocapture"]);
    command.env(WRITE, path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Passes each line of the writer to `goes_on`, and kills the writer when that returns false.
fn read_lines(child: &mut Child, mut goes_on: impl FnMut(&str, &str) -> bool) {
    let mut is_reading = true;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((word, rest)) =
            line.strip_prefix('!').map(|printed| printed.split_once(' ').unwrap_or((printed, "")))
        else {
            continue;
        };
        if !goes_on(word, rest) && is_reading {
            is_reading = false;
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
}

#[test]
fn committed_jobs_never_run_again_after_kills() {
    let scratch = Scratch::new();
    let path = scratch.path().join("journal");
    let (mut done, mut ran) = (BTreeSet::new(), BTreeMap::<u64, u32>::new());
    let mut rounds = 0u32;
    let mut is_closed = false;
    while !is_closed {
        rounds += 1;
        // Each round lasts a little longer, so that the journal is completed eventually.
        let mut left = 17 * i64::from(rounds);
        let mut child = writer(&path, "");
        read_lines(&mut child, |word, rest| {
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
    // Jobs that were committed but not reported are done, too.
    assert_eq!((ran.len() as u64, ran.keys().max()), (JOBS, Some(&JOBS)));
    let reader = Reader::open(&path).unwrap();
    assert!(reader.verify().unwrap().is_empty());
    let states = reader.read().unwrap().1.states;
    assert_eq!(states.iter().filter(|state| **state == State::Ok).count() as u64, JOBS);
}

#[test]
fn a_failed_write_ends_the_run_and_keeps_committed_jobs() {
    let scratch = Scratch::new();
    let path = scratch.path().join("journal");
    // In blocks of 512 bytes: the write-ahead log cannot grow beyond that.
    let mut child = writer(&path, "ulimit -f 400;");
    let (mut done, mut failure) = (BTreeSet::new(), String::new());
    read_lines(&mut child, |word, rest| {
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
