//! Sentences for people about how a process, an attempt, a job or a run ended.
//!
//! Programs read the names of [`names`] instead.

use pool::{
    event::{Ended, Ending, ShutdownReason},
    exit::{Cause, Evidence, Sender, StopReason, StopRequest},
    job::{Attempt, AttemptEnd, FailureKind, JobEnd, Outcome},
};
use text::{escape::visible, units::show_duration};

use crate::names;

/// Describes a cause briefly: `memory (sure)`, `could not start: execute: No such file or
/// directory`.
#[must_use]
pub fn cause(cause: Cause) -> String {
    match cause {
        Cause::Exit => "exit".into(),
        Cause::Signal(Sender::Itself) => "signal".into(),
        Cause::Signal(Sender::Outside) => "outside".into(),
        Cause::Memory(certainty) => format!("memory ({})", names::certainty(certainty)),
        Cause::CpuLimit => "cpu limit".into(),
        Cause::CouldNotStart(fault) => format!("could not start: {fault}"),
        Cause::Timeout => "timeout".into(),
        Cause::Unobserved => "unobserved".into(),
        Cause::Protocol(fault) => format!("protocol error: {fault}"),
        Cause::AskedToStop(StopRequest { why: StopReason::Killed, .. }) => {
            "killed by a user".into()
        }
        Cause::AskedToStop(StopRequest { killed: true, .. }) => "asked to stop: killed".into(),
        Cause::AskedToStop(StopRequest { why, killed: false }) => match why {
            StopReason::Roll => "asked to stop: rolled",
            StopReason::Recycle => "asked to stop: recycled",
            StopReason::Failing => "asked to stop: failed job after job",
            StopReason::IsolatedRetry => "asked to stop: for a fresh one",
            StopReason::Cancelled => "cancelled",
            StopReason::Scale => "asked to stop: scaled down",
            StopReason::Finished => "finished",
            StopReason::Shutdown
            | StopReason::Killed
            | StopReason::Timeout
            | StopReason::Memory
            | StopReason::Protocol(_) => "asked to stop",
        }
        .into(),
    }
}

/// Describes the end of a worker for a table in which the code has a column of its own:
/// `SIGKILL, outside`.
#[must_use]
pub fn why(ended: &Ended) -> String {
    let details = details(ended.cause, ended.evidence.as_ref());
    if details.is_empty() { cause(ended.cause) } else { details }
}

/// Describes the end of a process in full: `code 137 (SIGKILL, outside)`.
#[must_use]
pub fn describe(why: Cause, evidence: Option<&Evidence>) -> String {
    let Some(evidence) = evidence else { return cause(why) };
    let code = evidence.status.shell_code();
    match details(why, Some(evidence)).as_str() {
        "" => format!("code {code}"),
        details => format!("code {code} ({details})"),
    }
}

/// Describes the processes that a worker or command left behind: `left 2 processes: sleep, node`; `None`
/// if there are none.
#[must_use]
pub fn left(evidence: Option<&Evidence>) -> Option<String> {
    let names = &evidence.filter(|evidence| !evidence.left.is_empty())?.left;
    let many = if names.len() == 1 { "process" } else { "processes" };
    let count = names.len();
    Some(format!("left {count} {many}: {}", visible(names.join(", ").as_bytes())))
}

/// Describes why an attempt did not succeed: `no such host (src/main.rs:7:5)`, `code 139 (SIGSEGV)`.
#[must_use]
pub fn failure(attempt: &Attempt) -> String {
    match &attempt.end {
        AttemptEnd::Ok => "done".into(),
        AttemptEnd::Error(failure) => {
            let kind = match failure.kind {
                FailureKind::Error => "",
                FailureKind::Panic => "panicked: ",
            };
            let place = failure.place.as_ref().map(|place| format!(" ({place})"));
            format!("{kind}{}{}", failure.message, place.unwrap_or_default())
        }
        AttemptEnd::Ran(ran) if is_cancelled(ran.cause) => "cancelled".into(),
        AttemptEnd::Ran(ran) if ran.cause == Cause::Timeout => timeout(attempt),
        AttemptEnd::Ran(ran) => describe(ran.cause, ran.evidence.as_ref()),
        AttemptEnd::Timeout(_) => timeout(attempt),
        AttemptEnd::Crashed(death) => {
            format!("its worker died: {}", describe(death.cause, death.evidence.as_ref()))
        }
        AttemptEnd::Requeued(death) if is_cancelled(death.cause) => "cancelled".into(),
        AttemptEnd::Requeued(death) => {
            let how = describe(death.cause, death.evidence.as_ref());
            format!("its worker ended through no fault of the job: {how}")
        }
        AttemptEnd::Lost => "the supervisor died while it ran".into(),
    }
}

fn is_cancelled(cause: Cause) -> bool {
    matches!(cause, Cause::AskedToStop(StopRequest { why: StopReason::Cancelled, .. }))
}

fn timeout(attempt: &Attempt) -> String {
    let hang = attempt.hang.as_ref().map(|hang| format!("; {hang}")).unwrap_or_default();
    format!("timeout after {}{hang}", show_duration(attempt.took))
}

/// Describes why a job did not succeed; empty for a job that was not tried, unless it is too long.
#[must_use]
pub fn outcome(outcome: &Outcome) -> String {
    match (&outcome.end, &outcome.last) {
        (JobEnd::TooLong { bytes, cap }, _) => {
            format!("it has {bytes} bytes, and a job may have {cap}")
        }
        (_, Some(last)) => failure(last),
        (_, None) => String::new(),
    }
}

/// Describes why a run is stopping.
#[must_use]
pub fn shutdown(reason: ShutdownReason) -> String {
    match reason {
        ShutdownReason::ByUser(Ending::Drain) => "asked to drain".into(),
        ShutdownReason::ByUser(Ending::Stop | Ending::Now) => "asked to stop".into(),
        ShutdownReason::Signal(signal) => signal.to_string(),
        ShutdownReason::OutputClosed => "nobody reads the output".into(),
        ShutdownReason::OutputFailed(_) => "the output cannot be written".into(),
        ShutdownReason::ReportFailed => "a report cannot be written".into(),
        ShutdownReason::JournalFailed => "the journal cannot be written".into(),
        ShutdownReason::CannotStart(_) => "the program cannot be started".into(),
        ShutdownReason::NotAWorker(_) => "the program does not speak the worker protocol".into(),
        ShutdownReason::Deadline => "the time for the whole run is over".into(),
        ShutdownReason::Halted { .. } => "enough jobs have ended".into(),
        ShutdownReason::SourceFailed => "the input cannot be read".into(),
    }
}

/// The signal, if one ended the process, and the cause where it says more than the code.
fn details(why: Cause, evidence: Option<&Evidence>) -> String {
    let signal = evidence.and_then(|evidence| evidence.status.signal_text());
    let why = match why {
        Cause::Exit | Cause::Signal(Sender::Itself) => None,
        why => Some(cause(why)),
    };
    signal.into_iter().chain(why).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use pool::{
        exit::{Certainty, Peak, Status},
        signal::Signal,
    };

    #[test]
    fn an_end_reads_as_its_code_and_what_is_known_of_it() {
        let killed = Status::Signal { signal: Signal::KILL, core: false };
        let segv = Status::Signal { signal: Signal::SEGV, core: true };
        for (status, cause, words) in [
            (Status::Code(3), Cause::Exit, "code 3"),
            (killed, Cause::Signal(Sender::Outside), "code 137 (SIGKILL, outside)"),
            (segv, Cause::Signal(Sender::Itself), "code 139 (SIGSEGV, core dumped)"),
            (Status::Code(1), Cause::Memory(Certainty::Sure), "code 1 (memory (sure))"),
        ] {
            let peak = Peak { bytes: 0, exact: true };
            let (wall, cpu, own_cpu) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
            let (says_out_of_memory, kernel_oom) = (false, false);
            let evidence = Evidence {
                status,
                wall,
                cpu,
                own_cpu,
                cpu_limit: None,
                peak,
                says_out_of_memory,
                kernel_oom,
                left: Vec::new(),
            };
            assert_eq!(describe(cause, Some(&evidence)), words);
        }
    }
}
