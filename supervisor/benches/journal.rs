//! Measures the cost of a journal beside a plain file that receives the same bytes and the same
//! number of syncs.
//!
//! The output is one table, in which each rate stands beside a reference that is measured in
//! alternation with it. `cargo bench -p supervisor --bench journal` runs the benchmark; with
//! `--check`, a missed goal is an error. The benchmark writes to the temporary directory, whose disk
//! determines the cost of a sync.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed benchmark stops")]

#[allow(dead_code, reason = "this benchmark uses a part of the table")]
#[path = "limits/table.rs"]
mod table;

use std::{
    env,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use journal::{
    Ending, Header, Journal, OnLost, Opened, Record, Recorded, Settled, Store, Sync,
    identity::Digest,
    resume::{Decision, Resume},
};
use pool::{
    event::WorkerId,
    job::{Attempt, AttemptEnd, Payload},
};

use crate::table::{Goal, ROUNDS, Table, Turns, rate};

/// Jobs per round, each of 16 bytes and with a reply of 16 bytes.
const JOBS: u64 = 400_000;
const MILLION: u64 = 1_000_000;
const ENDING: Ending = Ending { at: Duration::from_secs(2), status: 0 };

fn main() -> ExitCode {
    let words: Vec<_> = env::args().skip(1).collect();
    let is_given = |option: &str| words.iter().any(|word| word == option);
    // `cargo test --benches` does not pass `--bench`, and must end at once.
    if !is_given("--bench") {
        return ExitCode::SUCCESS;
    }
    let mut table = Table::new();
    commits(&mut table);
    threaded(&mut table);
    opening(&mut table);
    let is_wrong = is_given("--check") && !table.is_met();
    if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A temporary directory for the journal, removed when dropped.
struct Workspace(PathBuf);

impl Workspace {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("supervisor-bench-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    fn clear(&self) {
        for entry in fs::read_dir(&self.0).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path, sync: Sync) -> (Store, Recorded) {
    let opened = Opened::new(path, sync).unwrap();
    opened.begin(Header::default(), Duration::from_secs(1), OnLost::Rerun).unwrap()
}

fn payload(job: u64) -> Payload {
    Payload::copy(format!("{job:016}").as_bytes())
}

/// The three records of a job: the job itself, its start and its end.
fn records(job: u64) -> [Record; 3] {
    let (payload, worker) = (payload(job), WorkerId { slot: 2, generation: 1 });
    let (began, took) = (Duration::from_nanos(job * 1000), Duration::from_nanos(1234));
    let (number, pid, peak_bytes) = (1, 4123, None);
    let digest = Digest::of(payload.as_bytes());
    let settles = Some(Settled::Ok(payload.clone()));
    let attempt =
        Attempt { number, worker, pid, began, took, peak_bytes, hang: None, end: AttemptEnd::Ok };
    [
        Record::Job { job, digest, position: job, payload },
        Record::Started { job, number, worker, pid, began },
        Record::Ended { job, attempt, settles },
    ]
}

/// Returns the records written per second. A job has three records, of which two rows remain. Each
/// commit holds `at_once` jobs; with `apart`, starts and ends are committed separately.
fn journal(workspace: &Workspace, sync: Sync, at_once: u64, apart: bool) -> f64 {
    workspace.clear();
    let (mut store, _) = open(&workspace.journal(), sync);
    let mut time = Duration::ZERO;
    for first in (1..=JOBS).step_by(usize::try_from(at_once).unwrap()) {
        let jobs = (first..first + at_once).map(records);
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        for [job, started, end] in jobs {
            begun.extend([job, started]);
            ended.push(end);
        }
        ended.push(Record::Sent { first, last: first + at_once - 1 });
        let start = Instant::now();
        if apart {
            store.append(&begun).unwrap();
            store.append(&ended).unwrap();
        } else {
            store.append(begun.iter().chain(&ended)).unwrap();
        }
        time += start.elapsed();
    }
    drop(store);
    3.0 * JOBS as f64 / time.as_secs_f64()
}

/// Returns the records per second when the same bytes are appended to a plain file.
fn plain(workspace: &Workspace, at_once: u64, apart: bool) -> f64 {
    const ROW: usize = 60;
    workspace.clear();
    let mut file = File::create(workspace.journal()).unwrap();
    let (commits, rows) = if apart { (2, 1) } else { (1, 2) };
    let batch = vec![7; ROW * rows * usize::try_from(at_once).unwrap()];
    let start = Instant::now();
    for _ in 0..JOBS / at_once * commits {
        file.write_all(&batch).unwrap();
        file.sync_data().unwrap();
    }
    3.0 * JOBS as f64 / start.elapsed().as_secs_f64()
}

fn commits(table: &mut Table) {
    let workspace = Workspace::new();
    let of = "of a plain file";
    for (name, sync, at_once, apart, least) in [
        ("64 records per commit, full sync", Sync::Batch, 20, false, 0.7),
        ("1000 records per commit, full sync", Sync::Batch, 320, false, 0.2),
        ("  starts and ends in two commits", Sync::Batch, 320, true, 0.2),
    ] {
        let mut turns = Turns::default();
        for _ in 0..ROUNDS {
            let measured = journal(&workspace, sync, at_once, apart);
            turns.push(measured, plain(&workspace, at_once, apart));
        }
        table.row(name, &turns, rate, &Goal::AtLeast(least, of));
    }
    let mut turns = Turns::default();
    for _ in 0..ROUNDS {
        turns.push(journal(&workspace, Sync::Off, 20, false), 800e3);
    }
    let goal = Goal::AtLeast(1.0, "of 800 k/s");
    table.row("64 records per commit, no sync", &turns, rate, &goal);
}

/// Measures jobs that pass through the writer thread, in batches as the run loop submits them.
fn threaded(table: &mut Table) {
    const AT_ONCE: u64 = 100;
    let workspace = Workspace::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut turns = Turns::default();
    for _ in 0..ROUNDS {
        workspace.clear();
        let journal = Journal::new(open(&workspace.journal(), Sync::Batch).0).unwrap();
        let start = Instant::now();
        for first in (1..=JOBS).step_by(usize::try_from(AT_ONCE).unwrap()) {
            runtime.block_on(journal.room()).unwrap();
            let all: Vec<_> = (first..first + AT_ONCE).flat_map(records).collect();
            journal.submit(all);
            journal.submit(vec![Record::Sent { first, last: first + AT_ONCE - 1 }]);
        }
        runtime.block_on(journal.close(ENDING)).unwrap();
        turns.push(JOBS as f64 / start.elapsed().as_secs_f64(), 250e3);
    }
    let goal = Goal::AtLeast(1.0, "of 250 k/s");
    table.row("jobs through the writer thread, full sync", &turns, rate, &goal);
}

/// Measures the size of a journal of a million jobs, and the time to open it and match it with the
/// input.
fn opening(table: &mut Table) {
    const SECONDS_MAX: f64 = 2.0;
    const BYTES_MAX: f64 = 200.0;
    let workspace = Workspace::new();
    let (mut store, _) = open(&workspace.journal(), Sync::Off);
    for first in (1..=MILLION).step_by(1000) {
        let all: Vec<_> = (first..first + 1000).flat_map(records).collect();
        store.append(&all).unwrap();
    }
    store.append(&[Record::Sent { first: 1, last: MILLION }]).unwrap();
    store.close(ENDING).unwrap();
    let bytes = fs::metadata(workspace.journal()).unwrap().len() as f64;
    let mut size = Turns::default();
    size.push(bytes / MILLION as f64 - 32.0, BYTES_MAX);
    let show = |bytes: f64| format!("{bytes:.0} B");
    table.row(
        "size per job, besides payload and reply",
        &size,
        show,
        &Goal::AtMost(1.0, "of 200 B"),
    );

    let mut times = Turns::default();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let (store, recorded) = open(&workspace.journal(), Sync::Batch);
        let mut resume = Resume::new(recorded, false);
        for job in 1..=MILLION {
            let turn = resume.next(&Digest::of(payload(job).as_bytes()));
            assert!(matches!(turn, Decision::Settled { unsent: false, .. }));
        }
        assert_eq!(resume.counts().done, MILLION);
        times.push(start.elapsed().as_secs_f64(), SECONDS_MAX);
        drop(store);
    }
    let show = |seconds: f64| format!("{seconds:.2} s");
    let name = "1 M jobs: opened, and matched with the input";
    table.row(name, &times, show, &Goal::AtMost(1.0, "of 2 s"));
}
