//! Statistics of jobs that have ended: counters by cause, durations, and the last failures.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::histogram::Histogram;
use pool::{
    command::Captured,
    job::{AttemptEnd, JobEnd, Outcome, Payload},
};
use records::names;
use text::utf8::from_character;

/// The number of failed jobs that are kept.
pub const KEPT_FAILURES: usize = 1000;
/// The number of bytes that are kept of the input of a failed job. Only a job with a shorter input
/// can be run again; most are shorter.
pub const KEPT_INPUT_BYTES: usize = 4 << 10;
/// The number of bytes that are kept of each output stream of the last attempt of a failed job.
const KEPT_OUTPUT_BYTES: usize = 2 << 10;
/// The number of attempts that are kept of a failed job.
const KEPT_ATTEMPTS: usize = 8;

/// Counters of the jobs that have ended, and the last failures.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    failed: Counts<(&'static str, &'static str)>,
    attempts_ok: u64,
    attempts: Counts<&'static str>,
    service: Histogram,
    failures: VecDeque<Arc<Failed>>,
    failures_seen: u64,
    /// The first jobs that the end of the run interrupted.
    interrupted: Vec<u64>,
    cut: u64,
}

/// The number of interrupted jobs whose numbers are kept.
const KEPT_INTERRUPTED: usize = 16;

/// A job that failed, without the parts that no view shows.
#[derive(Clone, Debug)]
pub struct Failed {
    /// Its index among the failures of the run, from 1.
    pub number: u64,
    /// When the job ended, since the run began.
    pub at: Duration,
    /// How the job ended.
    pub outcome: Outcome,
    /// The length of the job's input, in bytes; `outcome` may have only the beginning of it.
    pub input_bytes: usize,
}

impl Failed {
    /// The job's input, if all of it was kept.
    #[must_use]
    pub fn whole_input(&self) -> Option<&Payload> {
        let kept = &self.outcome.payload;
        (kept.len() == self.input_bytes).then_some(kept)
    }
}

/// Counters by key, for a few keys.
#[derive(Clone, Debug)]
pub struct Counts<K>(Vec<(K, u64)>);

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Copy + Eq> Counts<K> {
    /// Adds one to a counter.
    pub fn add(&mut self, key: K) {
        self.add_many(key, 1);
    }

    /// Adds a number to a counter.
    pub fn add_many(&mut self, key: K, times: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += times,
            None => self.0.push((key, times)),
        }
    }

    /// The keys and their counters, in order of first appearance.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        self.0.iter().copied()
    }
}

impl Settled {
    /// Takes in jobs that have ended.
    pub fn add(&mut self, now: Duration, outcomes: &[Outcome]) {
        for outcome in outcomes {
            self.count(outcome);
            self.cut += u64::from(is_cut(outcome));
            if is_failure(outcome) {
                self.keep(now, outcome);
            } else if outcome.end == JobEnd::Interrupted
                && self.interrupted.len() < KEPT_INTERRUPTED
            {
                self.interrupted.push(outcome.id);
            }
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        for attempt in outcome.attempts() {
            match &attempt.end {
                AttemptEnd::Ok => self.attempts_ok += 1,
                end => self.attempts.add(names::attempt(end)),
            }
            self.service.add(attempt.took);
        }
    }

    fn keep(&mut self, now: Duration, outcome: &Outcome) {
        let last = outcome.last.as_ref();
        let cause = last.map_or(names::TOO_LONG, |last| names::attempt(&last.end));
        self.failed.add((names::status(&outcome.end), cause));
        self.failures_seen += 1;
        if self.failures.len() == KEPT_FAILURES {
            self.failures.pop_front();
        }
        let (number, input_bytes) = (self.failures_seen, outcome.payload.len());
        let outcome = trimmed(outcome.clone());
        self.failures.push_back(Arc::new(Failed { number, at: now, outcome, input_bytes }));
    }

    /// The number of failed jobs, by outcome and cause.
    #[must_use]
    pub fn failed(&self) -> &Counts<(&'static str, &'static str)> {
        &self.failed
    }

    /// The number of attempts by cause, `ok` first.
    pub fn attempts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        // The outcome of a command is `ok` as well.
        let others = self.attempts.iter().filter(|(cause, _)| *cause != names::OK);
        let ok = self.attempts.iter().filter(|(cause, _)| *cause == names::OK);
        let ok = self.attempts_ok + ok.map(|(_, count)| count).sum::<u64>();
        [(names::OK, ok)].into_iter().chain(others)
    }

    /// The numbers of the first jobs that the end of the run interrupted.
    #[must_use]
    pub fn interrupted(&self) -> &[u64] {
        &self.interrupted
    }

    /// The durations of attempts.
    #[must_use]
    pub fn service(&self) -> &Histogram {
        &self.service
    }

    /// The number of jobs of whose output a part was left out.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// The last failed jobs, oldest first.
    #[must_use]
    pub fn failures(&self) -> &VecDeque<Arc<Failed>> {
        &self.failures
    }
}

/// Whether the job failed. A job that the run never started or did not end is no failure.
fn is_failure(outcome: &Outcome) -> bool {
    !matches!(outcome.end, JobEnd::Ok(_) | JobEnd::Interrupted | JobEnd::NotRun)
}

/// Whether a part of the job's output was left out.
fn is_cut(outcome: &Outcome) -> bool {
    match outcome.last.as_ref().map(|last| &last.end) {
        Some(AttemptEnd::Ran(ran)) => ran.output.gaps().iter().any(|gap| gap.bytes > 0),
        _ => false,
    }
}

/// Cuts input, output and attempts to the amounts that are kept. (Long payloads are shared, so the
/// clone before this is cheap.)
fn trimmed(mut outcome: Outcome) -> Outcome {
    if outcome.payload.len() > KEPT_INPUT_BYTES {
        outcome.payload = Payload::copy(&outcome.payload.as_bytes()[..KEPT_INPUT_BYTES]);
    }
    let excess = outcome.earlier.len().saturating_sub(KEPT_ATTEMPTS - 1);
    outcome.earlier.drain(..excess);
    outcome.earlier.shrink_to_fit();
    for attempt in outcome.earlier.iter_mut().chain(&mut outcome.last) {
        match &mut attempt.end {
            AttemptEnd::Ran(ran) => {
                let [out, err] = [ran.output.stdout(), ran.output.stderr()].map(tail);
                let streams = [0..out.len(), out.len()..out.len() + err.len()];
                let kept = Payload::copy(&[out, err].concat());
                ran.output = Captured::new(kept, streams, ran.output.gaps());
            }
            AttemptEnd::Error(failure) if failure.message.len() > KEPT_OUTPUT_BYTES => {
                let cut = String::from_utf8_lossy(&failure.message.as_bytes()[..KEPT_OUTPUT_BYTES]);
                failure.message = cut.into_owned();
            }
            AttemptEnd::Timeout(death)
            | AttemptEnd::Crashed(death)
            | AttemptEnd::Requeued(death) => {
                death.last_output = tail(&death.last_output).to_vec();
            }
            AttemptEnd::Ok | AttemptEnd::Error(_) | AttemptEnd::Lost => {}
        }
    }
    outcome
}

fn tail(bytes: &[u8]) -> &[u8] {
    from_character(&bytes[bytes.len().saturating_sub(KEPT_OUTPUT_BYTES)..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool::{
        event::WorkerId,
        job::{Attempt, Failure, FailureKind},
    };

    fn attempt(number: u32, end: AttemptEnd) -> Attempt {
        let (worker, took) = (WorkerId { slot: 1, generation: 1 }, Duration::from_millis(1));
        Attempt {
            number,
            worker,
            pid: 7,
            began: Duration::ZERO,
            took,
            peak_bytes: None,
            hang: None,
            end,
        }
    }

    fn error(number: u32, length: usize) -> Attempt {
        let message = "é".repeat(length);
        let failure = Failure { kind: FailureKind::Error, message, place: None };
        attempt(number, AttemptEnd::Error(Box::new(failure)))
    }

    fn outcome(id: u64, end: JobEnd, last: Option<Attempt>) -> Outcome {
        let payload = Payload::copy(&[b'x'; 9000]);
        let (earlier, again) = (Vec::new(), false);
        Outcome { id, place: id, position: id, payload, end, last, earlier, again }
    }

    #[test]
    fn all_failures_are_counted_and_the_last_thousand_are_kept() {
        let mut settled = Settled::default();
        let failed = |id| outcome(id, JobEnd::Failed, Some(error(1, 1)));
        let mut ended: Vec<_> = (1..=1500).map(failed).collect();
        let ok = JobEnd::Ok(Payload::copy(b""));
        ended.push(outcome(1501, ok, Some(attempt(1, AttemptEnd::Ok))));
        ended.push(outcome(1502, JobEnd::TooLong { bytes: 9, cap: 8 }, None));
        ended.push(outcome(1503, JobEnd::NotRun, None));
        settled.add(Duration::ZERO, &ended);
        let kept: Vec<_> = settled.failures().iter().map(|f| (f.number, f.outcome.id)).collect();
        assert_eq!((kept.len(), kept[0], kept[999]), (1000, (502, 502), (1501, 1502)));
        let failed: Vec<_> = settled.failed().iter().collect();
        assert_eq!(failed, [(("failed", "error"), 1500), (("too_long", "too_long"), 1)]);
        assert_eq!(settled.attempts().collect::<Vec<_>>(), [("ok", 1), ("error", 1500)]);
        assert_eq!(settled.service().count(), 1501);
    }

    #[test]
    fn the_memory_of_a_kept_failure_is_bounded() {
        let mut settled = Settled::default();
        let mut long = outcome(1, JobEnd::Failed, Some(error(50, 5001)));
        long.earlier = (1..50).map(|number| error(number, 5001)).collect();
        settled.add(Duration::ZERO, &[long]);
        assert_eq!(settled.failures()[0].whole_input(), None);
        let kept = &settled.failures()[0].outcome;
        assert_eq!((kept.payload.len(), kept.attempts().count()), (KEPT_INPUT_BYTES, 8));
        assert_eq!(settled.service().count(), 50);
        for attempt in kept.attempts() {
            let AttemptEnd::Error(failure) = &attempt.end else { panic!("an error") };
            assert_eq!(failure.message.len(), 2048);
        }
    }
}
