//! Exit statuses, and the names of a run's end.

use pool::{RunEnd, event::ShutdownReason, signal::Signal};

/// A worker or a job failed.
pub const FAILED: u8 = 1;
/// The command line is not valid.
pub const USAGE: u8 = 2;
const STOPPED_EARLY: u8 = 3;
const DOES_NOT_STAY_UP: u8 = 4;
/// The output, a report or the journal could not be written.
pub const OUTPUT_FAILED: u8 = 5;
const DEADLINE: u8 = 124;
/// The supervisor itself failed, or the input cannot be read.
pub const OUR_FAILURE: u8 = 125;

/// The exit status of a run. If a signal stopped it, this is the status that a shell reports.
#[must_use]
pub fn exit_status(end: RunEnd) -> u8 {
    let reason = match end {
        RunEnd::Well => return 0,
        RunEnd::Failed => return FAILED,
        RunEnd::GaveUp => return DOES_NOT_STAY_UP,
        RunEnd::Stopped(reason) => reason,
    };
    match reason {
        ShutdownReason::Signal(signal) => shell_status(signal),
        ShutdownReason::OutputClosed => shell_status(Signal::PIPE),
        ShutdownReason::OutputFailed(_)
        | ShutdownReason::ReportFailed
        | ShutdownReason::JournalFailed => OUTPUT_FAILED,
        ShutdownReason::Halted { is_goal: true, .. } => 0,
        ShutdownReason::Halted { .. } | ShutdownReason::ByUser(_) => STOPPED_EARLY,
        ShutdownReason::SourceFailed => OUR_FAILURE,
        ShutdownReason::Deadline => DEADLINE,
        ShutdownReason::NotAWorker(_) => USAGE,
        ShutdownReason::CannotStart(fault) => fault.exit_status(),
    }
}

/// The name of a run's end in records.
pub(super) fn end_name(end: RunEnd) -> &'static str {
    match end {
        RunEnd::Well => "ok",
        RunEnd::Failed => "failed",
        RunEnd::GaveUp => "gave up",
        RunEnd::Stopped(_) => "stopped",
    }
}

fn shell_status(signal: Signal) -> u8 {
    u8::try_from(128 + signal.number()).unwrap_or(u8::MAX)
}
