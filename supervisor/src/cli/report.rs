//! How is a run's end reported? By the exit status, and one message where it could not begin.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use pool::{
    RunEnd,
    event::{Mute, ShutdownReason},
    exit::{ProtocolFault, StartFault},
    signal::Signal,
};
use process::{Program, signals::die_by, spawn::lookup};
use supervisor::{
    dry_run::DryRunError,
    run::{
        RunError,
        status::{OUR_FAILURE, OUTPUT_FAILED, USAGE, exit_status},
    },
    settings::Settings,
};
use text::units::show_duration;

pub(super) const EXIT_STATUS: &str = "\
Exit status: 0 every worker or job ended well, 1 some failed, 2 usage, 3 stopped early by \
--max-fail, --halt, drain or stop, 4 the program does not stay up, 5 the output or a journal could \
not be written, or a journal not read, 124 \
--deadline, 125 our own failure, or the input cannot be read, 126 the program cannot be executed, 127 it was not found. A \
signal that stopped the run ends it.";

/// The exit status of a run that ended.
pub(super) fn end(end: RunEnd, settings: &Settings) -> ExitCode {
    match end {
        RunEnd::GaveUp => {
            say("the program does not stay up: see above how it ended, or run it by itself once");
        }
        RunEnd::Stopped(ShutdownReason::Signal(signal)) => die_by(signal),
        RunEnd::Stopped(ShutdownReason::OutputClosed) => die_by(Signal::PIPE),
        RunEnd::Stopped(ShutdownReason::OutputFailed(errno)) => {
            let reason = io::Error::from_raw_os_error(errno);
            say(&format!("stdout cannot be written: {reason}; the run was stopped"));
        }
        RunEnd::Stopped(ShutdownReason::NotAWorker(mute)) => say(&not_a_worker(mute, settings)),
        RunEnd::Stopped(ShutdownReason::CannotStart(fault)) => {
            say(&lookup::cannot_start(fault, &settings.program));
        }
        // Nothing is to be said, or was said.
        RunEnd::Well | RunEnd::Failed | RunEnd::Stopped(_) => {}
    }
    exit_status(end).into()
}

/// What is said of a program that does not speak the protocol, and how to run it all the same.
fn not_a_worker(mute: Mute, settings: &Settings) -> String {
    let argv = &settings.program.argv;
    let line: Vec<_> = argv.iter().map(|argument| argument.to_string_lossy()).collect();
    let name = line.first().map_or("", |name| name);
    let once = format!("to run it once per job: supervisor each {}", line.join(" "));
    let silence = |patience| {
        format!("{name} said nothing for {}: it does not speak the worker protocol", patience)
    };
    let said = match mute {
        Mute::Ended(status) => {
            let signal = status.signal_text().map(|signal| format!(", {signal}"));
            let is_cut_short = signal.is_some() || settings.program.limits.iter().count() > 0;
            let (code, signal) = (status.shell_code(), signal.unwrap_or_default());
            let ended = "without speaking the worker protocol";
            // It may be a worker that a signal or a limit keeps from speaking.
            let doubt = if is_cut_short { "; if it is no worker" } else { "" };
            format!("{name} ended (code {code}{signal}) {ended}{doubt}")
        }
        Mute::Fault(ProtocolFault::Version(_)) => {
            let Mute::Fault(fault) = mute else { return String::new() };
            return format!("{name} is a worker of another version: {fault}; update the older one");
        }
        Mute::Fault(ProtocolFault::Silence) => {
            let jobs = settings.jobs.as_ref();
            silence(show_duration(jobs.map(|jobs| jobs.rules.start_timeout).unwrap_or_default()))
        }
        Mute::Fault(fault) => format!("{name} does not speak the worker protocol: {fault}"),
    };
    format!("{said}; {once}")
}

/// Commands that could not all be shown.
pub(super) fn cannot_show(error: DryRunError) -> ExitCode {
    match error {
        DryRunError::Source(error) => cannot_run(&error.into()),
        DryRunError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            die_by(Signal::PIPE)
        }
        DryRunError::Output(_) => {
            say(&error.to_string());
            OUTPUT_FAILED.into()
        }
    }
}

/// A program that cannot be started, as it was found before anything was.
pub(super) fn cannot_start(fault: StartFault, program: &Program) -> ExitCode {
    say(&lookup::cannot_start(fault, program));
    fault.exit_status().into()
}

/// A run that could not begin.
pub(super) fn cannot_run(error: &RunError) -> ExitCode {
    // Whatever is behind it is told in its own words.
    say(&error.to_string());
    match error {
        RunError::NoOutput => OUTPUT_FAILED.into(),
        RunError::Record(error) => error.exit_status().into(),
        _ => OUR_FAILURE.into(),
    }
}

/// Puts a text on stdout, whose reader may have had enough.
pub(super) fn put(text: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => die_by(Signal::PIPE),
        Err(error) => {
            say(&format!("stdout cannot be written: {error}"));
            OUTPUT_FAILED.into()
        }
    }
}

/// Arguments that mean nothing.
pub(super) fn usage(text: &str) -> ExitCode {
    say(text);
    USAGE.into()
}

pub(super) fn say(text: &str) {
    // With stderr gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "supervisor: {text}");
}
