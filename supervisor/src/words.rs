//! How is an end put in words?

use text::units::show_duration;

use pool::{
    event::{Ended, Ending, ShutdownReason},
    exit::{Asked, Cause, Evidence, StopReason},
    job::{Attempt, AttemptEnd, FailureKind, JobEnd},
};
pub use process::end::describe;
use process::end::details;
use text::escape::visible;

/// The signal, if one ended it, and the cause where that says more: `SIGKILL, outside`.
#[must_use]
pub fn why(ended: &Ended) -> String {
    let details = details(ended.cause, ended.evidence.as_ref());
    if details.is_empty() { ended.cause.to_string() } else { details }
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

/// The same in the fewest words: `ok`, `exit`, `memory (sure)`.
#[must_use]
pub fn cause(end: &AttemptEnd) -> String {
    match end {
        AttemptEnd::Ok => "ok".into(),
        AttemptEnd::Ran(ran) if ran.is_ok() => "ok".into(),
        AttemptEnd::Ran(ran) => ran.cause.to_string(),
        AttemptEnd::Error(failure) => match failure.kind {
            FailureKind::Error => "error".into(),
            FailureKind::Panic => "panic".into(),
        },
        AttemptEnd::Timeout(_) => "timeout".into(),
        AttemptEnd::Lost => "lost".into(),
        AttemptEnd::Crashed(death) | AttemptEnd::Returned(death) => death.cause.to_string(),
    }
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
        Cause::Unobserved => "unobserved",
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
        StopReason::Killed => "killed",
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
