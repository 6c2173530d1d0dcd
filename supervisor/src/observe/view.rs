//! The hand-over of a run's state from the loop to other threads.
//!
//! The loop makes a [`View`], a cheap copy of the board. The first observer that asks turns it into a
//! [`Snapshot`] on its own thread, because that formats text and allocates.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    board::{Board, Live, SlotView, State, Vacancy},
    histogram::Histogram,
    settled::{Counts, Failed},
};
use crate::template::INPUT_SEPARATOR;
use pool::{
    event::{Ended, WorkerId},
    job::Outcome,
};
use records::{
    Attempt, Bucket, Count, CurrentJob, Failure, Jobs, LastWorker, RunInfo, SCHEMA, Sample,
    ServiceTime, Snapshot, Worker, WorkerRef, events::INPUT_BYTES_MAX, names, words,
};

/// Boundaries of the buckets of service times, as powers of two of nanoseconds: 1 us, 4 us, and so
/// on to 73 minutes.
const BOUNDARIES: [u32; 17] = [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42];

/// The state of a run at one moment, as the loop hands it out.
#[derive(Debug)]
pub struct View {
    /// Time since the run began.
    pub at: Duration,
    /// The facts about the run.
    pub info: Arc<RunInfo>,
    /// The fold of all events so far.
    pub board: Board,
    /// The jobs that workers run.
    pub running: Vec<RunningJob>,
    /// Number of all jobs, if it is known.
    pub total: Option<u64>,
    /// Bytes of output, of workers and of the supervisor, that were dropped because nothing read
    /// them.
    pub dropped_bytes: u64,
    /// Status of the run, once it has ended.
    pub end: Option<&'static str>,
    /// The snapshot, made for the first observer that asks.
    pub snapshot: OnceLock<Arc<Snapshot>>,
}

/// A job that a worker runs.
#[derive(Debug)]
pub struct RunningJob {
    /// The worker.
    pub worker: WorkerId,
    /// Number of the job.
    pub id: u64,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Beginning of the job's input.
    pub input: Vec<u8>,
    /// Start of the attempt, since the start of the run.
    pub since: Duration,
}

impl View {
    /// The snapshot of this view.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(self.snapshot.get_or_init(|| Arc::new(self.draw())))
    }

    /// The live workers.
    pub fn live(&self) -> impl Iterator<Item = &Live> {
        self.board.slots().iter().flat_map(|slot| &slot.live)
    }

    fn draw(&self) -> Snapshot {
        let (board, settled) = (&self.board, self.board.settled());
        let running: HashMap<_, _> = self.running.iter().map(|job| (job.worker, job)).collect();
        let count = |(cause, count): (&'static str, u64)| Count {
            status: None,
            cause: cause.into(),
            count,
        };
        let failed = settled.failed().iter().map(|((status, cause), number)| Count {
            status: Some(status.into()),
            ..count((cause, number))
        });
        Snapshot {
            schema: SCHEMA,
            run: (*self.info).clone(),
            at_ms: self.at.into(),
            state: self.state().into(),
            status: self.end.map(Into::into),
            why: board.stopping().map(words::shutdown),
            workers_wanted: board.workers(),
            workers: board.slots().iter().flat_map(|slot| rows(slot, &running, board)).collect(),
            jobs: Jobs {
                total: self.total,
                running: self.running.len() as u64,
                tally: board.jobs().into(),
            },
            failed: failed.collect(),
            attempts: settled.attempts().map(count).collect(),
            restarts: restarts(board).into_iter().map(count).collect(),
            service: service(settled.service()),
            failures: settled.failures().iter().map(|failed| failed_job(failed)).collect(),
            history: history(board),
            dropped_bytes: self.dropped_bytes,
        }
    }

    /// One of [`names::RUN_STATES`].
    fn state(&self) -> &'static str {
        let is_up = |live: &Live| live.state == State::Ready;
        let [starting, running, paused, stopping, ended] = names::RUN_STATES;
        match self.board.stopping() {
            _ if self.end.is_some() => ended,
            Some(_) => stopping,
            None if self.live().any(is_up) || self.board.jobs().settled() > 0 => {
                if self.board.is_paused() { paused } else { running }
            }
            None => starting,
        }
    }
}

impl RunningJob {
    /// Describes a running job and copies the beginning of its input.
    #[must_use]
    pub fn new(worker: WorkerId, id: u64, attempt: u32, input: &[u8], since: Duration) -> Self {
        Self { worker, id, attempt, input: shown_part(input).to_vec(), since }
    }
}

/// The live workers of a slot, or the empty slot.
fn rows(slot: &SlotView, running: &HashMap<WorkerId, &RunningJob>, board: &Board) -> Vec<Worker> {
    let restarts = slot.restarts.iter().map(|(_, count)| count).sum();
    let last = slot.last.as_ref().map(last);
    let row = |live: &Live| Worker {
        id: WorkerRef::new(live.worker, Some(live.pid)),
        state: state(live.state).into(),
        started_ms: Some(live.since.into()),
        memory_bytes: live.memory_bytes,
        job: running.get(&live.worker).map(|job| CurrentJob {
            id: job.id,
            attempt: job.attempt,
            input: text(&job.input),
            began_ms: job.since.max(live.since).into(),
            progress: board.progress(job.worker, job.id, job.attempt).map(Into::into),
        }),
        restarts,
        last: last.clone(),
    };
    if !slot.live.is_empty() {
        return slot.live.iter().map(row).collect();
    }
    let generation = last.as_ref().map_or(0, |last| last.generation);
    let id = WorkerRef { worker: slot.slot, generation, pid: None };
    let (started_ms, memory_bytes, job) = (None, None, None);
    let state = vacancy(slot.vacancy()).into();
    vec![Worker { id, state, started_ms, memory_bytes, job, restarts, last }]
}

/// One of [`names::WORKER_STATES`].
fn state(state: State) -> &'static str {
    let [running, ready, stopping, unkillable, ..] = names::WORKER_STATES;
    match state {
        State::Running => running,
        State::Ready => ready,
        State::Stopping => stopping,
        State::Unkillable => unkillable,
    }
}

/// One of [`names::WORKER_STATES`].
fn vacancy(vacancy: Vacancy) -> &'static str {
    let [.., waiting, given_up, empty] = names::WORKER_STATES;
    match vacancy {
        Vacancy::Waiting => waiting,
        Vacancy::GivenUp => given_up,
        Vacancy::None | Vacancy::Empty => empty,
    }
}

fn last(ended: &Ended) -> LastWorker {
    LastWorker {
        generation: ended.worker.generation,
        pid: ended.pid,
        cause: names::cause(ended.cause).into(),
        why: words::describe(ended.cause, ended.evidence.as_ref()),
    }
}

fn restarts(board: &Board) -> Vec<(&'static str, u64)> {
    let mut all = Counts::default();
    for (cause, count) in board.slots().iter().flat_map(|slot| slot.restarts.iter()) {
        all.add_many(cause, count);
    }
    all.iter().collect()
}

fn service(times: &Histogram) -> ServiceTime {
    let quantile = |permille| times.quantile(permille).map(Into::into);
    let bucket = |power: &u32| {
        let below_ns = 1u64 << power;
        Bucket { below_ns, count: times.below(below_ns) }
    };
    ServiceTime {
        count: times.count(),
        sum_ms: times.sum().into(),
        p50_ms: quantile(500),
        p99_ms: quantile(990),
        buckets: BOUNDARIES.iter().map(bucket).collect(),
    }
}

fn failed_job(failed: &Failed) -> Failure {
    let Outcome { id, position, payload, end, last, .. } = &failed.outcome;
    Failure {
        number: failed.number,
        at_ms: failed.at.into(),
        id: *id,
        position: *position,
        input: text(shown_part(payload.as_bytes())),
        status: names::status(end).into(),
        cause: last.as_ref().map_or(names::TOO_LONG, |last| names::attempt(&last.end)).into(),
        why: words::outcome(&failed.outcome),
        attempts: failed.outcome.attempts().map(attempt).collect(),
    }
}

fn attempt(attempt: &pool::job::Attempt) -> Attempt<'static> {
    Attempt::brief(attempt)
}

fn history(board: &Board) -> Vec<Sample> {
    let sample = |sample: super::history::Sample| Sample {
        at_ms: sample.at.into(),
        settled: sample.settled,
        failed: sample.failed,
        memory_bytes: sample.memory_bytes,
    };
    board.history().samples().map(sample).collect()
}

/// The part of an input that a snapshot shows.
fn shown_part(input: &[u8]) -> &[u8] {
    &input[..input.len().min(INPUT_BYTES_MAX)]
}

/// An input as text, in which a partial character at the end is replaced.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::from(INPUT_SEPARATOR), " ")
}
#[cfg(test)]
mod tests {
    use super::*;
    use pool::{
        event::{Event, Next, Tally},
        exit::{Cause, StartFault, StartStep},
        job::{JobEnd, Payload},
    };
    use records::Millis;

    const WORKER: WorkerId = WorkerId { slot: 2, generation: 1 };

    fn board() -> Board {
        let mut board = Board::new(3);
        let at = Duration::from_millis;
        let jobs = Tally { accepted: 2, failed: 1, in_flight: 1, ..Tally::default() };
        let fault = StartFault { step: StartStep::Exec, errno: libc::ENOENT };
        let (cause, evidence, next) = (Cause::CouldNotStart(fault), None, Next::Done);
        let worker = WorkerId { slot: 1, generation: 4 };
        for event in [
            Event::Started { worker: WORKER, pid: 7 },
            Event::Ready { worker: WORKER },
            Event::Ended(Ended { worker, pid: None, cause, evidence, next }),
            Event::Jobs(jobs),
        ] {
            board.apply(at(40), &event);
        }
        let (payload, earlier) = (Payload::copy(b"x"), Vec::new());
        let end = JobEnd::TooLong { bytes: 9, cap: 8 };
        let long = Outcome {
            id: 1,
            place: 1,
            position: 1,
            payload,
            end,
            last: None,
            earlier,
            again: false,
        };
        board.settle(at(50), &[long]);
        board.measured(WORKER, 4096);
        board.sample(at(1000));
        board
    }

    fn view() -> View {
        let input = b"a\0b\xff".repeat(200);
        View {
            at: Duration::from_millis(1200),
            info: Arc::new(RunInfo {
                id: "k3f9".into(),
                name: None,
                pid: 1,
                version: "1".into(),
                title: "x".into(),
                began_unix_ms: Millis::default(),
                workers: 3,
                has_jobs: true,
                total: None,
            }),
            board: board(),
            running: vec![RunningJob::new(WORKER, 2, 3, &input, Duration::from_millis(45))],
            total: Some(10),
            dropped_bytes: 6,
            end: None,
            snapshot: OnceLock::new(),
        }
    }

    #[test]
    fn a_snapshot_shows_live_workers_and_slots_without_one() {
        let view = view();
        let shot = view.snapshot();
        assert!(Arc::ptr_eq(&shot, &view.snapshot()), "the snapshot is made once");
        let states: Vec<_> =
            shot.workers.iter().map(|w| (w.id.worker, w.id.generation, &*w.state)).collect();
        assert_eq!(states, [(1, 4, "empty"), (2, 1, "ready"), (3, 0, "empty")]);
        assert_eq!(shot.workers[0].last.as_ref().unwrap().cause, "could_not_start");
        let busy = &shot.workers[1];
        let ms = |millis| Duration::from_millis(millis).into();
        assert_eq!((busy.id.pid, busy.started_ms), (Some(7), Some(ms(40))));
        assert_eq!(busy.memory_bytes, Some(4096));
        let job = busy.job.as_ref().unwrap();
        assert_eq!((job.id, job.attempt, job.began_ms), (2, 3, ms(45)));
        assert!(job.input.starts_with("a b\u{fffd}a b") && job.input.chars().count() == 256);
        assert_eq!((&*shot.state, shot.jobs.running, shot.jobs.tally.failed), ("running", 1, 1));
        let failure = &shot.failures[0];
        assert_eq!((&*failure.status, &*failure.cause), ("too_long", "too_long"));
        assert_eq!(failure.why, "it has 9 bytes, and a job may have 8");
        assert_eq!(shot.history[0].memory_bytes, Some(4096));
    }

    #[test]
    fn a_snapshot_can_be_read_back() {
        let shot = view().snapshot();
        let text = serde_json::to_string(&*shot).unwrap();
        let read: Snapshot = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!(read.schema, SCHEMA);
    }
}
