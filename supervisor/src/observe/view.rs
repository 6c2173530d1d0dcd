//! What does the loop hand out of a run? A [`View`], which is quickly taken; the snapshot is made of
//! it by whoever looks, on another thread.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    board::{Board, Live, SlotView, State},
    histogram::Histogram,
    settled::{Counts, Failed},
    snapshot::{Attempt, Count, Current, Failure, Jobs, Last, Sample, Service, Snapshot, Worker},
};
use crate::{
    model::{RunInfo, SCHEMA},
    template::INPUT_SEPARATOR,
    words::{attempt_cause, cause_name, describe, failure, outcome_name, shutdown},
};
use pool::{
    event::{Ended, WorkerId},
    job::{AttemptEnd, JobEnd, Outcome},
};

/// The boundaries of the service time's buckets, as powers of two of nanoseconds: 1 us, 4 us, and
/// so on to 73 minutes.
const BOUNDARIES: [u32; 17] = [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42];
/// Of a job's input, so many bytes are told.
const INPUT_BYTES_MAX: usize = 256;

/// What the loop hands out.
#[derive(Debug)]
pub struct View {
    /// When, since the run began.
    pub at: Duration,
    /// What it is.
    pub about: Arc<RunInfo>,
    /// What has happened.
    pub board: Board,
    /// What is being done.
    pub running: Vec<RunningJob>,
    /// How many jobs there are in all, where that is known.
    pub total: Option<u64>,
    /// Bytes of workers' output and of ours that nobody took.
    pub dropped_bytes: u64,
    /// How it ended, once it has.
    pub end: Option<&'static str>,
    /// It is made once, whoever asks first.
    pub snapshot: OnceLock<Arc<Snapshot>>,
}

/// A job in the hands of a worker.
#[derive(Debug)]
pub struct RunningJob {
    /// Whose.
    pub worker: WorkerId,
    /// Its number.
    pub id: u64,
    /// Which try.
    pub attempt: u32,
    /// The beginning of what is to be done.
    pub input: Vec<u8>,
    /// Since when.
    pub since: Duration,
}

impl View {
    /// The snapshot of it.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(self.snapshot.get_or_init(|| Arc::new(self.draw())))
    }

    /// The workers that live.
    pub fn live(&self) -> impl Iterator<Item = &Live> {
        self.board.slots().iter().flat_map(|slot| &slot.live)
    }

    fn draw(&self) -> Snapshot {
        let (board, settled) = (&self.board, self.board.settled());
        let running: HashMap<_, _> = self.running.iter().map(|job| (job.worker, job)).collect();
        let count =
            |outcome, cause: &'static str, count| Count { outcome, cause: cause.into(), count };
        let failed = settled.failed().iter();
        Snapshot {
            schema: SCHEMA,
            run: (*self.about).clone(),
            at_ms: milliseconds(self.at),
            state: self.state().into(),
            why: self.end.map(String::from).or_else(|| board.stopping().map(shutdown)),
            workers: board.slots().iter().flat_map(|slot| rows(slot, &running)).collect(),
            jobs: self.jobs(),
            failed: failed.map(|((how, why), n)| count(Some(how.into()), why, n)).collect(),
            attempts: settled.attempts().map(|(cause, n)| count(None, cause, n)).collect(),
            restarts: restarts(board).into_iter().map(|(cause, n)| count(None, cause, n)).collect(),
            service: service(settled.service()),
            failures: settled.failures().iter().map(|failed| failed_job(failed)).collect(),
            history: history(board),
            dropped_bytes: self.dropped_bytes,
        }
    }

    fn state(&self) -> &'static str {
        let is_up = |live: &Live| live.state == State::Ready;
        match self.board.stopping() {
            _ if self.end.is_some() => "ended",
            Some(_) => "stopping",
            None if self.live().any(is_up) || self.board.jobs().settled() > 0 => "running",
            None => "starting",
        }
    }

    fn jobs(&self) -> Jobs {
        let jobs = self.board.jobs();
        Jobs {
            total: self.total,
            accepted: jobs.accepted,
            ok: jobs.ok,
            failed: jobs.failed,
            crashed: jobs.crashed,
            not_run: jobs.not_run,
            queued: jobs.queued,
            in_flight: jobs.in_flight,
            running: self.running.len() as u64,
            tried_again: jobs.tried_again,
        }
    }
}

impl RunningJob {
    /// Of a job with this input, of which the beginning is kept.
    #[must_use]
    pub fn new(worker: WorkerId, id: u64, attempt: u32, input: &[u8], since: Duration) -> Self {
        Self { worker, id, attempt, input: beginning(input).to_vec(), since }
    }
}

fn rows(slot: &SlotView, running: &HashMap<WorkerId, &RunningJob>) -> Vec<Worker> {
    let restarts = slot.restarts.iter().map(|(_, count)| count).sum();
    let last = slot.last.as_ref().map(last);
    let row = |live: &Live| Worker {
        worker: slot.slot,
        life: live.worker.life,
        pid: Some(live.pid),
        state: state(live.state).into(),
        since_ms: Some(milliseconds(live.since)),
        memory_bytes: live.memory_bytes,
        job: running.get(&live.worker).map(|job| Current {
            id: job.id,
            attempt: job.attempt,
            input: text(&job.input),
            since_ms: milliseconds(job.since.max(live.since)),
        }),
        restarts,
        last: last.clone(),
    };
    if !slot.live.is_empty() {
        return slot.live.iter().map(row).collect();
    }
    let life = last.as_ref().map_or(0, |last| last.life);
    let state = "empty".into();
    let (worker, pid, since_ms, memory_bytes, job) = (slot.slot, None, None, None, None);
    vec![Worker { worker, life, pid, state, since_ms, memory_bytes, job, restarts, last }]
}

fn state(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Ready => "ready",
        State::Stopping => "stopping",
        State::Undead => "undead",
    }
}

fn last(ended: &Ended) -> Last {
    Last {
        life: ended.worker.life,
        pid: ended.pid,
        cause: cause_name(ended.cause).into(),
        why: describe(ended.cause, ended.evidence.as_ref()),
    }
}

fn restarts(board: &Board) -> Vec<(&'static str, u64)> {
    let mut all = Counts::default();
    for (cause, count) in board.slots().iter().flat_map(|slot| slot.restarts.iter()) {
        all.add_many(cause, count);
    }
    all.iter().collect()
}

fn service(times: &Histogram) -> Service {
    let ms = |permille| times.quantile(permille).map(|took| took.as_secs_f64() * 1e3);
    let boundary = |power: &u32| {
        let ns = 1u64 << power;
        (Duration::from_nanos(ns).as_secs_f64(), times.below(ns))
    };
    Service {
        count: times.count(),
        sum_s: times.sum().as_secs_f64(),
        p50_ms: ms(500),
        p99_ms: ms(990),
        below_s: BOUNDARIES.iter().map(boundary).collect(),
    }
}

fn failed_job(failed: &Failed) -> Failure {
    let Outcome { id, position, payload, end, last, .. } = &failed.outcome;
    let why = match (end, last) {
        (JobEnd::TooLong { bytes, cap }, _) => {
            format!("it has {bytes} bytes, and a job may have {cap}")
        }
        (_, Some(last)) => failure(last),
        (_, None) => String::new(),
    };
    Failure {
        number: failed.number,
        at_ms: milliseconds(failed.at),
        id: *id,
        position: *position,
        input: text(beginning(payload.as_bytes())),
        outcome: outcome_name(end).into(),
        cause: last.as_ref().map_or("too long", |last| attempt_cause(&last.end)).into(),
        why,
        attempts: failed.outcome.attempts().map(attempt).collect(),
    }
}

fn attempt(attempt: &pool::job::Attempt) -> Attempt {
    let output = match &attempt.end {
        AttemptEnd::Ran(ran) if ran.output.stderr().is_empty() => ran.output.stdout(),
        AttemptEnd::Ran(ran) => ran.output.stderr(),
        AttemptEnd::Timeout(death) | AttemptEnd::Crashed(death) | AttemptEnd::Returned(death) => {
            &death.last_output
        }
        AttemptEnd::Ok | AttemptEnd::Error(_) | AttemptEnd::Lost => &[],
    };
    Attempt {
        attempt: attempt.number,
        worker: attempt.worker.slot,
        life: attempt.worker.life,
        pid: attempt.pid,
        began_ms: milliseconds(attempt.began),
        ms: attempt.took.as_secs_f64() * 1e3,
        cause: attempt_cause(&attempt.end).into(),
        why: failure(attempt),
        output: text(output),
    }
}

fn history(board: &Board) -> Vec<Sample> {
    let sample = |sample: super::history::Sample| Sample {
        at_ms: milliseconds(sample.at),
        settled: sample.settled,
        failed: sample.failed,
        memory_bytes: sample.memory_bytes,
    };
    board.history().samples().map(sample).collect()
}

/// What is told of an input.
fn beginning(input: &[u8]) -> &[u8] {
    &input[..input.len().min(INPUT_BYTES_MAX)]
}

/// Cut at its end where that is in the midst of a character.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::from(INPUT_SEPARATOR), " ")
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool::{
        event::{Event, Next, Tally},
        exit::{Cause, StartFault, StartStep},
        job::Payload,
    };

    const WORKER: WorkerId = WorkerId { slot: 2, life: 1 };

    fn board() -> Board {
        let mut board = Board::new(3);
        let at = Duration::from_millis;
        let jobs = Tally { accepted: 2, failed: 1, in_flight: 1, ..Tally::default() };
        let fault = StartFault { step: StartStep::Exec, errno: libc::ENOENT };
        let (cause, evidence, next) = (Cause::CouldNotStart(fault), None, Next::Done);
        let worker = WorkerId { slot: 1, life: 4 };
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
            about: Arc::new(RunInfo {
                id: "k3f9".into(),
                name: None,
                pid: 1,
                version: "1".into(),
                title: "x".into(),
                began_unix_ms: 5,
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
    fn a_snapshot_tells_of_live_workers_and_of_slots_without_one() {
        let view = view();
        let shot = view.snapshot();
        assert!(Arc::ptr_eq(&shot, &view.snapshot()), "it is made once");
        let states: Vec<_> = shot.workers.iter().map(|w| (w.worker, w.life, &*w.state)).collect();
        assert_eq!(states, [(1, 4, "empty"), (2, 1, "ready"), (3, 0, "empty")]);
        assert_eq!(shot.workers[0].last.as_ref().unwrap().cause, "could not start");
        let busy = &shot.workers[1];
        assert_eq!((busy.pid, busy.since_ms, busy.memory_bytes), (Some(7), Some(40), Some(4096)));
        let job = busy.job.as_ref().unwrap();
        assert_eq!((job.id, job.attempt, job.since_ms), (2, 3, 45));
        assert!(job.input.starts_with("a b\u{fffd}a b") && job.input.chars().count() == 256);
        assert_eq!((&*shot.state, shot.jobs.running, shot.jobs.failed), ("running", 1, 1));
        let failure = &shot.failures[0];
        assert_eq!((&*failure.outcome, &*failure.cause), ("too_long", "too long"));
        assert_eq!(failure.why, "it has 9 bytes, and a job may have 8");
        assert_eq!(shot.history[0].memory_bytes, Some(4096));
    }

    #[test]
    fn another_program_reads_what_was_written() {
        let shot = view().snapshot();
        let text = serde_json::to_string(&*shot).unwrap();
        let read: Snapshot = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert_eq!(read.schema, SCHEMA);
    }
}
