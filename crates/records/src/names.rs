//! The names by which programs know causes, reasons, states and statuses.
//!
//! Each enum has exactly one function here, and every view uses it: records, events, snapshots,
//! metrics, the joblog. All names are `snake_case`. Sentences for people are in
//! [`words`](crate::words).

use pool::{
    RunEnd,
    event::{Again, Ending, Next, ShutdownReason},
    exit::{Cause, Certainty, Sender, StopReason, StopRequest},
    hang::Kind,
    job::{AttemptEnd, FailureKind, JobEnd},
};

/// States of a run, in the order in which it passes through them; it may be paused and resumed.
pub const RUN_STATES: [&str; 5] = ["starting", "running", "paused", "stopping", "ended"];

/// States of a worker. The last three are those of a slot without one: `waiting` for its next start,
/// `given_up` because its workers crashed too often, `empty` for any other reason.
pub const WORKER_STATES: [&str; 7] =
    ["running", "ready", "stopping", UNKILLABLE, "waiting", GIVEN_UP, "empty"];

/// State of a slot whose workers crashed too often.
pub const GIVEN_UP: &str = "given_up";

/// State of a worker that was killed and that the kernel still holds.
pub const UNKILLABLE: &str = "unkillable";

/// Cause of an attempt that succeeded, and status of a job and of a run that did.
pub const OK: &str = "ok";

/// Status of a job that is longer than a frame may be, and the cause where one is counted.
pub const TOO_LONG: &str = "too_long";

/// Status of a job that is not tried again because its workers died.
pub const QUARANTINED: &str = "quarantined";

/// Status of a job that was begun, and cut off by the end of the run.
pub const INTERRUPTED: &str = "interrupted";

/// Status of a job that was never begun when the run ended.
pub const NOT_RUN: &str = "not_run";

/// Why a process ended.
#[must_use]
pub fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Exit => "exit",
        Cause::Signal(_) => "signal",
        Cause::Memory(_) => "memory",
        Cause::CpuLimit => "cpu_limit",
        Cause::CouldNotStart(_) => "could_not_start",
        Cause::Timeout => "timeout",
        Cause::Protocol(_) => "protocol",
        Cause::Unobserved => "unobserved",
        Cause::AskedToStop(StopRequest { why, .. }) => stop_reason(why),
    }
}

/// Why a worker is stopped.
#[must_use]
pub fn stop_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Shutdown => "shutdown",
        StopReason::Roll => "rolled",
        StopReason::Recycle => "recycled",
        StopReason::Failing => "failing",
        StopReason::IsolatedRetry => "isolated_retry",
        StopReason::Cancelled => "cancelled",
        StopReason::Killed => "killed",
        StopReason::Scale => "scaled_down",
        StopReason::Finished => "finished",
        StopReason::Timeout => "timeout",
        StopReason::Memory => "memory",
        StopReason::Protocol(_) => "protocol",
    }
}

/// How an attempt ended: `ok`, or why not.
#[must_use]
pub fn attempt(end: &AttemptEnd) -> &'static str {
    match end {
        AttemptEnd::Ok => OK,
        AttemptEnd::Lost => "lost",
        AttemptEnd::Ran(ran) if ran.is_ok() => OK,
        AttemptEnd::Ran(ran) => cause(ran.cause),
        AttemptEnd::Error(failure) => match failure.kind {
            FailureKind::Error => "error",
            FailureKind::Panic => "panic",
        },
        // The job's time limit is the cause, in whatever way the worker then ended.
        AttemptEnd::Timeout(_) => "timeout",
        AttemptEnd::Crashed(death) | AttemptEnd::Requeued(death) => cause(death.cause),
    }
}

/// How a job ended.
#[must_use]
pub fn status(end: &JobEnd) -> &'static str {
    match end {
        JobEnd::Ok(_) => OK,
        JobEnd::Failed => "failed",
        JobEnd::Crashed => QUARANTINED,
        JobEnd::TooLong { .. } => TOO_LONG,
        JobEnd::Interrupted => INTERRUPTED,
        JobEnd::NotRun => NOT_RUN,
    }
}

/// Why a run stops before its workers end by themselves.
#[must_use]
pub fn shutdown_reason(reason: ShutdownReason) -> &'static str {
    match reason {
        ShutdownReason::ByUser(Ending::Drain) => "drain",
        ShutdownReason::ByUser(Ending::Stop | Ending::Now) => "stop",
        ShutdownReason::Signal(_) => "signal",
        ShutdownReason::OutputClosed => "output_closed",
        ShutdownReason::OutputFailed(_) => "output_failed",
        ShutdownReason::ReportFailed => "report_failed",
        ShutdownReason::JournalFailed => "journal_failed",
        ShutdownReason::CannotStart(_) => "could_not_start",
        ShutdownReason::NotAWorker(_) => "not_a_worker",
        ShutdownReason::Deadline => "deadline",
        ShutdownReason::Halted { .. } => "halted",
        ShutdownReason::SourceFailed => "source_failed",
    }
}

/// How a run ended.
#[must_use]
pub fn run_status(end: RunEnd) -> &'static str {
    match end {
        RunEnd::Well => OK,
        RunEnd::Failed => "failed",
        RunEnd::GaveUp => "gave_up",
        RunEnd::Stopped(_) => "stopped",
    }
}

/// What becomes of a slot whose worker has ended.
#[must_use]
pub fn next(next: Next) -> &'static str {
    match next {
        Next::Restart(_) => "restart",
        Next::Replaced => "replaced",
        Next::NotNeeded => "not_needed",
        Next::Done => "done",
        Next::GaveUp => "gave_up",
    }
}

/// How a job is retried: `delayed` after a failure, `isolated` in a fresh worker that
/// has no other job, `requeued` if the job was not to blame.
#[must_use]
pub fn retry(again: Again) -> &'static str {
    match again {
        Again::After(_) => "delayed",
        Again::Alone => "isolated",
        Again::Next => "requeued",
    }
}

/// How well the evidence supports a cause.
#[must_use]
pub fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Sure => "sure",
        Certainty::Likely => "likely",
    }
}

/// Where a signal came from.
#[must_use]
pub fn sender(sender: Sender) -> &'static str {
    match sender {
        Sender::Itself => "itself",
        Sender::Outside => "outside",
    }
}

/// What a job was doing when its time limit was reached.
#[must_use]
pub fn hang(kind: Kind) -> &'static str {
    match kind {
        Kind::Stopped => "stopped",
        Kind::Busy => "busy",
        Kind::Starved => "starved",
        Kind::Disk => "disk",
        Kind::Asleep => "asleep",
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use pool::{
        event::Silence,
        exit::{ProtocolFault, StartFault, StartStep},
        job::{Failure, Payload},
        signal::Signal,
    };

    use super::*;

    const STOPS: [StopReason; 11] = [
        StopReason::Shutdown,
        StopReason::Roll,
        StopReason::Recycle,
        StopReason::Failing,
        StopReason::IsolatedRetry,
        StopReason::Cancelled,
        StopReason::Scale,
        StopReason::Finished,
        StopReason::Timeout,
        StopReason::Memory,
        StopReason::Protocol(ProtocolFault::Garbage),
    ];
    const FAULT: StartFault = StartFault { step: StartStep::Exec, errno: 2 };

    fn causes() -> Vec<Cause> {
        let asked = STOPS.map(|why| Cause::AskedToStop(StopRequest { why, killed: true }));
        let others = [
            Cause::Exit,
            Cause::Signal(Sender::Itself),
            Cause::Memory(Certainty::Sure),
            Cause::CpuLimit,
            Cause::CouldNotStart(FAULT),
            Cause::Timeout,
            Cause::Protocol(ProtocolFault::Silence),
        ];
        others.into_iter().chain(asked).collect()
    }

    #[test]
    fn golden_names_of_causes_and_stop_reasons() {
        let names: Vec<_> = causes().into_iter().map(cause).collect();
        let golden = "exit signal memory cpu_limit could_not_start timeout protocol \
                      shutdown rolled recycled failing isolated_retry cancelled scaled_down finished \
                      timeout memory protocol";
        assert_eq!(names.join(" "), golden);
        let failure = |kind| {
            let failure = Failure { kind, message: String::new(), place: None };
            attempt(&AttemptEnd::Error(Box::new(failure)))
        };
        assert_eq!([failure(FailureKind::Error), failure(FailureKind::Panic)], ["error", "panic"]);
        assert_eq!([attempt(&AttemptEnd::Ok), attempt(&AttemptEnd::Lost)], ["ok", "lost"]);
    }

    #[test]
    fn golden_names_of_ends() {
        let reply = JobEnd::Ok(Payload::copy(b""));
        let long = JobEnd::TooLong { bytes: 9, cap: 8 };
        let cut_off = [JobEnd::Interrupted, JobEnd::NotRun];
        let ends = [reply, JobEnd::Failed, JobEnd::Crashed, long].into_iter().chain(cut_off);
        let names: Vec<_> = ends.map(|end| status(&end)).collect();
        let golden = ["ok", "failed", "quarantined", "too_long", "interrupted", "not_run"];
        assert_eq!(names, golden);
        let next = [
            Next::Restart(Duration::ZERO),
            Next::Replaced,
            Next::NotNeeded,
            Next::Done,
            Next::GaveUp,
        ];
        let golden = ["restart", "replaced", "not_needed", "done", "gave_up"];
        assert_eq!(next.map(super::next), golden);
        let runs = [
            RunEnd::Well,
            RunEnd::Failed,
            RunEnd::GaveUp,
            RunEnd::Stopped(ShutdownReason::Deadline),
        ];
        assert_eq!(runs.map(run_status), ["ok", "failed", "gave_up", "stopped"]);
        let again = [Again::After(Duration::ZERO), Again::Alone, Again::Next];
        assert_eq!(again.map(retry), ["delayed", "isolated", "requeued"]);
    }

    #[test]
    fn golden_names_of_shutdown_reasons() {
        let reasons = [
            ShutdownReason::ByUser(Ending::Drain),
            ShutdownReason::ByUser(Ending::Stop),
            ShutdownReason::Signal(Signal::TERM),
            ShutdownReason::OutputClosed,
            ShutdownReason::OutputFailed(5),
            ShutdownReason::ReportFailed,
            ShutdownReason::JournalFailed,
            ShutdownReason::CannotStart(FAULT),
            ShutdownReason::NotAWorker(Silence::Fault(ProtocolFault::Hello)),
            ShutdownReason::Deadline,
            ShutdownReason::Halted { now: true, is_goal: false },
            ShutdownReason::SourceFailed,
        ];
        let golden = "drain stop signal output_closed output_failed report_failed journal_failed \
                      could_not_start not_a_worker deadline halted source_failed";
        assert_eq!(reasons.map(shutdown_reason).join(" "), golden);
    }

    #[test]
    fn every_name_is_snake_case() {
        let hangs = [Kind::Stopped, Kind::Busy, Kind::Starved, Kind::Disk, Kind::Asleep];
        let names: BTreeSet<&str> = causes()
            .into_iter()
            .map(cause)
            .chain(RUN_STATES)
            .chain(WORKER_STATES)
            .chain(hangs.map(hang))
            .chain([Certainty::Sure, Certainty::Likely].map(certainty))
            .chain([Sender::Itself, Sender::Outside].map(sender))
            .collect();
        for name in names {
            let is_fine = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(!name.is_empty() && name.chars().all(is_fine), "{name}");
        }
    }
}
