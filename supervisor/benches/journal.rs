//! What does recording cost, beside appending the same bytes to a plain file and syncing that as
//! often? One table; each rate stands beside a reference measured in turns with it.
//!
//! `cargo bench -p supervisor --bench journal`; with `--check`, a goal that is missed is an error.
//! It writes to the temporary directory, whose disk says how much a sync costs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that fails shall stop")]

#[allow(dead_code, reason = "other benchmarks have more to show")]
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

/// Jobs of a round, each of 16 bytes and with a reply of as many.
const JOBS: u64 = 400_000;
const MILLION: u64 = 1_000_000;
const ENDING: Ending = Ending { at: Duration::from_secs(2), status: 0 };

fn main() -> ExitCode {
    let words: Vec<_> = env::args().skip(1).collect();
    let is_given = |option: &str| words.iter().any(|word| word == option);
    // `cargo test --benches` shall not wait.
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

/// A file of ours that is gone in the end.
struct Place(PathBuf);

impl Place {
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

impl Drop for Place {
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

/// What a job is: its row, its start and its end.
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

/// Records per second: a job is three, of which two rows remain. Each commit holds so many jobs.
fn journal(place: &Place, sync: Sync, at_once: u64, apart: bool) -> f64 {
    place.clear();
    let (mut store, _) = open(&place.journal(), sync);
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

/// The same number of records of the same size, appended.
fn plain(place: &Place, at_once: u64, apart: bool) -> f64 {
    const ROW: usize = 60;
    place.clear();
    let mut file = File::create(place.journal()).unwrap();
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
    let place = Place::new();
    let of = "of a plain file";
    for (name, sync, at_once, apart, least) in [
        ("64 records a commit, full sync", Sync::Batch, 20, false, 0.7),
        ("1000 records a commit, full sync", Sync::Batch, 320, false, 0.2),
        ("  starts and ends in two commits", Sync::Batch, 320, true, 0.2),
    ] {
        let mut turns = Turns::default();
        for _ in 0..ROUNDS {
            let ours = journal(&place, sync, at_once, apart);
            turns.push(ours, plain(&place, at_once, apart));
        }
        table.row(name, &turns, rate, &Goal::AtLeast(least, of));
    }
    let mut turns = Turns::default();
    for _ in 0..ROUNDS {
        turns.push(journal(&place, Sync::Off, 20, false), 800e3);
    }
    let goal = Goal::AtLeast(1.0, "of 800 k/s");
    table.row("64 records a commit, no sync", &turns, rate, &goal);
}

/// Jobs through the thread, as the loop hands them over.
fn threaded(table: &mut Table) {
    const AT_ONCE: u64 = 100;
    let place = Place::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut turns = Turns::default();
    for _ in 0..ROUNDS {
        place.clear();
        let journal = Journal::new(open(&place.journal(), Sync::Batch).0).unwrap();
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
    table.row("jobs through the thread, full sync", &turns, rate, &goal);
}

/// A million jobs: how large, and how long until it is known what is left.
fn opening(table: &mut Table) {
    const SECONDS_MAX: f64 = 2.0;
    const BYTES_MAX: f64 = 200.0;
    let place = Place::new();
    let (mut store, _) = open(&place.journal(), Sync::Off);
    for first in (1..=MILLION).step_by(1000) {
        let all: Vec<_> = (first..first + 1000).flat_map(records).collect();
        store.append(&all).unwrap();
    }
    store.append(&[Record::Sent { first: 1, last: MILLION }]).unwrap();
    store.close(ENDING).unwrap();
    let bytes = fs::metadata(place.journal()).unwrap().len() as f64;
    let mut size = Turns::default();
    size.push(bytes / MILLION as f64 - 32.0, BYTES_MAX);
    let show = |bytes: f64| format!("{bytes:.0} B");
    table.row(
        "size per job, beside payload and reply",
        &size,
        show,
        &Goal::AtMost(1.0, "of 200 B"),
    );

    let mut times = Turns::default();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let (store, recorded) = open(&place.journal(), Sync::Batch);
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
