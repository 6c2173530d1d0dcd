//! What is told of a run at one moment, in a form that goes to other threads and programs? Plain
//! data, written and read by serde; [`super::view`] makes it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::about::About;

/// A run at one moment.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Snapshot {
    /// The version: see [`crate::about::SCHEMA`].
    pub schema: u32,
    /// What it is.
    pub run: About,
    /// When, in milliseconds since the run began.
    pub at_ms: u64,
    /// `starting`, `running`, `stopping` or `ended`.
    pub state: Cow<'static, str>,
    /// Why it stops, or how it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Live workers, and slots without one, in order.
    pub workers: Vec<Worker>,
    /// How the jobs stand.
    pub jobs: Jobs,
    /// Jobs that did not end well.
    pub failed: Vec<Count>,
    /// Attempts of jobs that have ended.
    pub attempts: Vec<Count>,
    /// Workers that were replaced.
    pub restarts: Vec<Count>,
    /// How long attempts took.
    pub service: Service,
    /// The last jobs that did not end well, oldest first.
    pub failures: Vec<Failure>,
    /// How it went so far, oldest first.
    pub history: Vec<Sample>,
    /// Bytes of output that nobody took.
    pub dropped_bytes: u64,
}

/// A live worker, or a slot without one.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Worker {
    /// The slot.
    pub worker: u32,
    /// The life; 0 where the slot never had one.
    pub life: u32,
    /// Its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// `running` or `ready`, `stopping`, `undead`; `empty` without a worker.
    pub state: Cow<'static, str>,
    /// When its program was executed, in milliseconds since the run began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// What it and its children hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Current>,
    /// How often the slot's worker was replaced.
    pub restarts: u64,
    /// How the slot's last worker ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Last>,
}

/// The job that a worker runs.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Current {
    /// Its number.
    pub id: u64,
    /// Which try.
    pub attempt: u32,
    /// The beginning of what is to be done.
    pub input: String,
    /// Since when, in milliseconds since the run began.
    pub since_ms: u64,
}

/// How a worker ended.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Last {
    /// Which life.
    pub life: u32,
    /// Its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// By its name in records.
    pub cause: Cow<'static, str>,
    /// In words.
    pub why: String,
}

/// How the jobs stand.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub struct Jobs {
    /// How many there are in all, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Accepted so far.
    pub accepted: u64,
    /// Done.
    pub ok: u64,
    /// Failed for good.
    pub failed: u64,
    /// Parked, since their worker died of them.
    pub crashed: u64,
    /// Left over when the run ended.
    pub not_run: u64,
    /// Waiting to be sent.
    pub queued: u64,
    /// Sent to a worker.
    pub in_flight: u64,
    /// Of those, running.
    pub running: u64,
    /// Attempts that were followed by another.
    pub tried_again: u64,
}

/// How often something was so.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Count {
    /// How a job ended; of jobs only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Cow<'static, str>>,
    /// Why.
    pub cause: Cow<'static, str>,
    /// How often.
    pub count: u64,
}

/// How long attempts took.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Service {
    /// How many.
    pub count: u64,
    /// All together, in seconds.
    pub sum_s: f64,
    /// Half of them took no longer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// Nor 99 of 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// How many took less than so many seconds.
    pub below_s: Vec<(f64, u64)>,
}

/// A job that did not end well.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Failure {
    /// The how-many-th such job, from 1.
    pub number: u64,
    /// When it ended, in milliseconds since the run began.
    pub at_ms: u64,
    /// Its number.
    pub id: u64,
    /// Where it stood in its input.
    pub position: u64,
    /// The beginning of what was to be done.
    pub input: String,
    /// `failed`, `crashed` or `too_long`.
    pub outcome: Cow<'static, str>,
    /// Why, by the cause's name in records.
    pub cause: Cow<'static, str>,
    /// In words.
    pub why: String,
    /// The last of its attempts, in order.
    pub attempts: Vec<Attempt>,
}

/// One try of it.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Attempt {
    /// Which.
    pub attempt: u32,
    /// By whom.
    pub worker: u32,
    /// In which life.
    pub life: u32,
    /// In which process.
    pub pid: i32,
    /// When it began, in milliseconds since the run did.
    pub began_ms: u64,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// How it ended: `ok`, or why not.
    pub cause: Cow<'static, str>,
    /// In words.
    pub why: String,
    /// The last of what it wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
}

/// The counters at one moment.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub struct Sample {
    /// When, in milliseconds since the run began.
    pub at_ms: u64,
    /// Jobs that had ended.
    pub settled: u64,
    /// Those of them that failed or crashed.
    pub failed: u64,
    /// What all workers held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_read_as_nothing() {
        let attempt = Attempt {
            attempt: 1,
            worker: 2,
            life: 3,
            pid: 4,
            began_ms: 5,
            ms: 6.0,
            cause: "exit".into(),
            why: "code 3".into(),
            output: String::new(),
        };
        let text = serde_json::to_string(&attempt).unwrap();
        let read: Attempt = serde_json::from_str(&text).unwrap();
        assert_eq!(read.output, "");
    }

    fn worker() -> Worker {
        Worker {
            worker: 2,
            life: 3,
            pid: Some(4),
            state: "ready".into(),
            since_ms: Some(5),
            memory_bytes: Some(6),
            job: Some(Current { id: 7, attempt: 8, input: "input".into(), since_ms: 9 }),
            restarts: 10,
            last: Some(Last { life: 2, pid: Some(3), cause: "exit".into(), why: "code 3".into() }),
        }
    }

    fn failure() -> Failure {
        let attempt = Attempt {
            attempt: 1,
            worker: 2,
            life: 3,
            pid: 4,
            began_ms: 5,
            ms: 6.5,
            cause: "exit".into(),
            why: "code 3".into(),
            output: "out\n".into(),
        };
        Failure {
            number: 1,
            at_ms: 2,
            id: 3,
            position: 4,
            input: "input".into(),
            outcome: "failed".into(),
            cause: "exit".into(),
            why: "code 3".into(),
            attempts: vec![attempt],
        }
    }

    fn jobs() -> Jobs {
        Jobs {
            total: Some(1),
            accepted: 2,
            ok: 3,
            failed: 4,
            crashed: 5,
            not_run: 6,
            queued: 7,
            in_flight: 8,
            running: 9,
            tried_again: 10,
        }
    }

    fn run() -> About {
        About {
            id: "x7k2".into(),
            name: Some("name".into()),
            pid: 5,
            version: "0.1.0".into(),
            title: "./program".into(),
            began_unix_ms: 1_800_000_000_000,
            workers: 4,
            has_jobs: true,
            total: Some(3),
        }
    }

    #[test]
    fn the_json_of_a_snapshot_is_golden() {
        let count = |outcome: Option<&'static str>| Count {
            outcome: outcome.map(Cow::Borrowed),
            cause: "exit".into(),
            count: 1,
        };
        let snapshot = Snapshot {
            schema: crate::about::SCHEMA,
            run: run(),
            at_ms: 1,
            state: "stopping".into(),
            why: Some("SIGTERM".into()),
            workers: vec![worker()],
            jobs: jobs(),
            failed: vec![count(Some("failed"))],
            attempts: vec![count(None)],
            restarts: vec![count(None)],
            service: Service {
                count: 1,
                sum_s: 2.0,
                p50_ms: Some(3.0),
                p99_ms: Some(4.0),
                below_s: vec![(0.5, 1)],
            },
            failures: vec![failure()],
            history: vec![Sample { at_ms: 1, settled: 2, failed: 3, memory_bytes: Some(4) }],
            dropped_bytes: 5,
        };
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("snapshot", serde_json::to_string_pretty(&snapshot).unwrap());
        });
    }
}
