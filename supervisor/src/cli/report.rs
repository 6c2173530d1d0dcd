//! How is a run's end reported? By the exit status, and one message where it could not begin.

use std::{
    error::Error,
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

use supervisor::{
    event::ShutdownReason,
    os::{lookup, signals::die_by},
    pool::RunEnd,
    settings::Settings,
    signal::Signal,
};

pub(super) const EXIT_STATUS: &str = "\
Exit status: 0 every worker ended well, 1 some worker failed, 2 usage, 4 the program does not \
stay up, 5 the output could not be written, 125 our own failure, 126 the program cannot be \
executed, 127 it was not found. A signal that stopped the run ends it.";

const FAILED: u8 = 1;
pub(super) const USAGE: u8 = 2;
const DOES_NOT_STAY_UP: u8 = 4;
const OUTPUT_FAILED: u8 = 5;
const OUR_FAILURE: u8 = 125;

/// The exit status of a run that ended.
pub(super) fn end(end: RunEnd, settings: &Settings) -> ExitCode {
    match end {
        RunEnd::Well => ExitCode::SUCCESS,
        RunEnd::Failed => FAILED.into(),
        RunEnd::GaveUp => {
            say("the program does not stay up: see above how it ended, or run it by itself once");
            DOES_NOT_STAY_UP.into()
        }
        RunEnd::Stopped(ShutdownReason::Signal(signal)) => die_by(signal),
        RunEnd::Stopped(ShutdownReason::OutputClosed) => die_by(Signal::PIPE),
        RunEnd::Stopped(ShutdownReason::OutputFailed(errno)) => {
            let reason = io::Error::from_raw_os_error(errno);
            say(&format!("stdout cannot be written: {reason}; the run was stopped"));
            OUTPUT_FAILED.into()
        }
        RunEnd::Stopped(ShutdownReason::CannotStart(fault)) => {
            say(&lookup::cannot_start(fault, &settings.program));
            fault.exit_status().into()
        }
    }
}

/// A run that could not begin.
pub(super) fn failure(error: &dyn Error) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    say(&text);
    OUR_FAILURE.into()
}

/// Arguments that mean nothing.
pub(super) fn usage(text: &str) -> ExitCode {
    say(text);
    USAGE.into()
}

fn say(text: &str) {
    // With stderr gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "supervisor: {text}");
}
