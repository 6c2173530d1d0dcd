//! The joblog: GNU parallel's nine columns, then the attempt, the name of its cause, and the peak
//! memory in KiB. A line for each attempt.
//!
//! A killed job has 128 + the signal as its Exitval, where GNU parallel has 0.

use std::{
    io::Write,
    time::{Duration, SystemTime},
};

use crate::template::Template;
use pool::{
    exit::Cause,
    job::{Attempt, AttemptEnd, Outcome},
    signal::Signal,
};
use records::{attempt::evidence, names};

#[derive(Debug)]
pub(in crate::sink) struct Joblog {
    template: Option<Template>,
    /// Start of the run, by the wall clock.
    began: SystemTime,
}

impl Joblog {
    /// The joblog of a run that began at this time. Without a template it has inputs in place of
    /// commands.
    pub(in crate::sink) fn new(template: Option<Template>, began: SystemTime) -> Self {
        Self { template, began }
    }

    pub(in crate::sink) fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\t\
              Attempt\tCause\tMaxRSS\n",
        );
    }

    pub(in crate::sink) fn outcome(&self, outcome: &Outcome, out: &mut Vec<u8>) {
        outcome.attempts().for_each(|attempt| self.attempt(outcome, attempt, out));
    }

    fn attempt(&self, outcome: &Outcome, attempt: &Attempt, out: &mut Vec<u8>) {
        let evidence = evidence(&attempt.end);
        let began = self.began + attempt.began;
        let began = began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let took = evidence.map_or(attempt.took, |evidence| evidence.wall);
        let received = match &attempt.end {
            AttemptEnd::Ran(ran) => ran.output.bytes()[0] + ran.output.gaps()[0].bytes,
            _ => 0,
        };
        let (code, signal) = match evidence.map(|evidence| evidence.status) {
            // A command may end well and fail all the same, for instance after its time was over.
            Some(status) if status.is_success() => (failed_code(attempt), 0),
            Some(status) => (status.shell_code(), status.signal().map_or(0, Signal::number)),
            None if matches!(attempt.end, AttemptEnd::Ok) => (0, 0),
            None => (not_run_code(attempt), 0),
        };
        let (began, took) = (seconds(began), seconds(took));
        let _ = write!(out, "{}\t:\t{began:>10}\t{took:>10}\t0\t{received}\t", outcome.id);
        let _ = write!(out, "{code}\t{signal}\t");
        let start = out.len();
        super::command(outcome, attempt.worker.slot, self.template.as_ref(), out);
        // Bytes that would break the line or the column are escaped as in a shell.
        let is_plain = |byte: &u8| !matches!(byte, b'\n' | b'\t' | b'\r' | 0);
        if !out[start..].iter().all(is_plain) {
            let shown = out.split_off(start);
            shown.iter().for_each(|byte| out.extend(byte.escape_ascii()));
        }
        let peak = evidence.map_or(0, |evidence| evidence.peak.bytes / 1024);
        let _ = writeln!(out, "\t{}\t{}\t{peak}", attempt.number, names::attempt(&attempt.end));
    }
}

/// The exit code of an attempt whose process ended with 0: another one unless it succeeded. That of a
/// timeout is the one of timeout(1).
fn failed_code(attempt: &Attempt) -> i32 {
    match &attempt.end {
        AttemptEnd::Ran(ran) if ran.is_ok() => 0,
        AttemptEnd::Ran(ran) if ran.cause == Cause::Timeout => 124,
        AttemptEnd::Ok => 0,
        _ => 1,
    }
}

/// The exit code that a shell has for a program that it cannot start.
fn not_run_code(attempt: &Attempt) -> i32 {
    match &attempt.end {
        AttemptEnd::Ran(ran) => match ran.cause {
            Cause::CouldNotStart(fault) => i32::from(fault.exit_status()),
            _ => 1,
        },
        _ => 1,
    }
}

/// Seconds with three decimals, as GNU parallel writes them.
fn seconds(duration: Duration) -> String {
    format!("{}.{:03}", duration.as_secs(), duration.subsec_millis())
}
