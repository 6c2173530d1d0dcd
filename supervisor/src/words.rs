//! How is an end put in words?

use text::units::show_duration;

use pool::{
    event::{Ended, Ending, ShutdownReason},
    exit::{Asked, Cause, Evidence, Sender, StopReason},
    job::{Attempt, AttemptEnd, FailureKind, JobEnd},
};
use text::escape::visible;

/// The signal, if one ended it, and the cause where that says more: `SIGKILL, outside`.
#[must_use]
pub fn why(ended: &Ended) -> String {
    let details = details(ended.cause, ended.evidence.as_ref());
    if details.is_empty() { ended.cause.to_string() } else { details }
}

/// An end in full: `code 137 (SIGKILL, outside)`.
#[must_use]
pub fn describe(cause: Cause, evidence: Option<&Evidence>) -> String {
    let Some(evidence) = evidence else { return cause.to_string() };
    let code = evidence.status.shell_code();
    match details(cause, Some(evidence)).as_str() {
        "" => format!("code {code}"),
        details => format!("code {code} ({details})"),
    }
}

/// What it left behind: `left 2 processes: sleep, node`; `None` where that is nothing.
#[must_use]
pub fn left(evidence: Option<&Evidence>) -> Option<String> {
    let names = &evidence.filter(|evidence| !evidence.left.is_empty())?.left;
    let many = if names.len() == 1 { "process" } else { "processes" };
    let count = names.len();
    Some(format!("left {count} {many}: {}", visible(names.join(", ").as_bytes())))
}

/// Why an attempt came to nothing: `no such host (src/main.rs:7:5)`, `code 139 (SIGSEGV)`.
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
        AttemptEnd::Returned(death) if is_cancelled(death.cause) => "cancelled".into(),
        AttemptEnd::Returned(death) => {
            let how = describe(death.cause, death.evidence.as_ref());
            format!("its worker ended through no fault of the job: {how}")
        }
        AttemptEnd::Lost => "the supervisor died while it ran".into(),
    }
}

fn is_cancelled(cause: Cause) -> bool {
    matches!(cause, Cause::AskedToStop(Asked { why: StopReason::Cancelled, .. }))
}

fn timeout(attempt: &Attempt) -> String {
    let hang = attempt.hang.as_ref().map(|hang| format!("; {hang}")).unwrap_or_default();
    format!("timeout after {}{hang}", show_duration(attempt.took))
}

/// What records call a cause.
#[must_use]
pub fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Exit => "exit",
        Cause::Signal(_) => "signal",
        Cause::Memory(_) => "memory",
        Cause::CpuLimit => "cpu limit",
        Cause::CouldNotStart(_) => "could not start",
        Cause::Timeout => "timeout",
        Cause::Protocol(_) => "protocol",
        Cause::AskedToStop(Asked { why, .. }) => stop(why),
    }
}

/// What records call the reason a worker is asked to stop.
#[must_use]
pub fn stop(why: StopReason) -> &'static str {
    match why {
        StopReason::Shutdown => "asked to stop",
        StopReason::Roll => "rolled",
        StopReason::Recycle => "recycled",
        StopReason::SecondOpinion => "second opinion",
        StopReason::Cancelled => "cancelled",
        StopReason::Scale => "scaled down",
        StopReason::Finished => "finished",
        StopReason::Timeout => "timeout",
        StopReason::Memory => "memory",
        StopReason::Protocol(_) => "protocol",
    }
}

/// What records call the way an attempt ended: `ok`, or its cause.
#[must_use]
pub fn attempt_cause(end: &AttemptEnd) -> &'static str {
    match end {
        AttemptEnd::Ok => "ok",
        AttemptEnd::Lost => "lost",
        AttemptEnd::Ran(ran) if ran.is_ok() => "ok",
        AttemptEnd::Ran(ran) => cause_name(ran.cause),
        AttemptEnd::Error(failure) => match failure.kind {
            FailureKind::Error => "error",
            FailureKind::Panic => "panic",
        },
        // However its worker then ended.
        AttemptEnd::Timeout(_) => "timeout",
        AttemptEnd::Crashed(death) | AttemptEnd::Returned(death) => cause_name(death.cause),
    }
}

/// What records call the way a job ended.
#[must_use]
pub fn outcome_name(end: &JobEnd) -> &'static str {
    match end {
        JobEnd::Ok(_) => "ok",
        JobEnd::Failed => "failed",
        JobEnd::Crashed => "crashed",
        JobEnd::TooLong { .. } => "too_long",
        JobEnd::NotRun => "not_run",
    }
}

/// Why a run stops.
#[must_use]
pub fn shutdown(reason: ShutdownReason) -> String {
    match reason {
        ShutdownReason::Asked(Ending::Drain) => "asked to drain".into(),
        ShutdownReason::Asked(Ending::Stop | Ending::Now) => "asked to stop".into(),
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

/// What there is to say beside the code.
fn details(cause: Cause, evidence: Option<&Evidence>) -> String {
    let signal = evidence.and_then(|evidence| evidence.status.signal_text());
    let cause = match cause {
        Cause::Exit | Cause::Signal(Sender::Itself) => None,
        cause => Some(cause.to_string()),
    };
    signal.into_iter().chain(cause).collect::<Vec<_>>().join(", ")
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
                peak,
                says_out_of_memory,
                kernel_oom,
                left: Vec::new(),
            };
            assert_eq!(describe(cause, Some(&evidence)), words);
        }
    }
}
