//! Reports how a run ended or why it could not begin: by the exit status, and by a message where
//! the run has printed none.

use std::{io, process::ExitCode};

use pool::{
    RunEnd,
    event::{ShutdownReason, Silence},
    exit::{ProtocolFault, StartFault},
    signal::Signal,
};
use process::{Program, signals::die_by, spawn::lookup};
use supervisor::{
    dry_run::DryRunError,
    run::{
        RunError,
        status::{OUR_FAILURE, OUTPUT_FAILED, exit_status},
    },
    settings::Settings,
};
use text::units::{show_duration, show_size};

use super::print::message;

pub(super) const EXIT_STATUS: &str = "\
Exit status: 0 every worker or job ended well, 1 some failed, 2 usage, 3 stopped early by \
--max-fail, --halt, drain or stop, 4 the program does not stay up, 5 the output or a journal could \
not be written, or a journal not read, 124 \
--deadline, 125 our own failure, or the input cannot be read, 126 the program cannot be executed, 127 it was not found. A \
signal that stopped the run ends it.";

/// Returns the exit status of a run. A signal that stopped the run also ends this process.
pub(super) fn with(end: RunEnd, settings: &Settings) -> ExitCode {
    match end {
        RunEnd::GaveUp => {
            message(
                "the program does not stay up: see above how it ended, or run it by itself once",
            );
        }
        RunEnd::Stopped(ShutdownReason::Signal(signal)) => die_by(signal),
        RunEnd::Stopped(ShutdownReason::OutputClosed) => die_by(Signal::PIPE),
        RunEnd::Stopped(ShutdownReason::OutputFailed(errno)) => {
            let reason = io::Error::from_raw_os_error(errno);
            message(&format!("stdout cannot be written: {reason}; the run was stopped"));
        }
        RunEnd::Stopped(ShutdownReason::NotAWorker(mute)) => message(&not_a_worker(mute, settings)),
        RunEnd::Stopped(ShutdownReason::CannotStart(fault)) => {
            message(&lookup::cannot_start(fault, &settings.program));
        }
        // The run has printed everything itself.
        RunEnd::Well | RunEnd::Failed | RunEnd::Stopped(_) => {}
    }
    exit_status(end).into()
}

/// Describes a program that does not speak the protocol, and how to run it anyway.
fn not_a_worker(mute: Silence, settings: &Settings) -> String {
    let argv = &settings.program.argv;
    let line: Vec<_> = argv.iter().map(|argument| argument.to_string_lossy()).collect();
    let name = line.first().map_or("", |name| name);
    let each = format!("supervisor each {}", line.join(" "));
    let timeout = settings.jobs.as_ref().map(|jobs| jobs.rules.start_timeout);
    let timeout = show_duration(timeout.unwrap_or_default());
    let memory = settings
        .program
        .limits
        .memory()
        .map(|bytes| format!("; -m {} may be less than it needs to start", show_size(bytes)));
    let memory = memory.unwrap_or_default();
    let problem = match mute {
        Silence::Ended(status) => {
            let signal = status.signal_text().map(|signal| format!(", {signal}"));
            let (code, signal) = (status.shell_code(), signal.unwrap_or_default());
            let ended = "without speaking the worker protocol";
            let problem = format!("{name} ended (code {code}{signal}) {ended}");
            if !status.is_success() {
                return format!(
                    "{problem}, each time it was started within {timeout}: raise --start-timeout if \
                     what it needs comes up later{memory}; if it is no worker, run it once per job: \
                     {each}"
                );
            }
            problem
        }
        Silence::Fault(ProtocolFault::Version(_)) => {
            let Silence::Fault(fault) = mute else { return String::new() };
            return format!("{name} is a worker of another version: {fault}; update the older one");
        }
        Silence::Fault(ProtocolFault::Silence) => {
            return format!(
                "{name} said nothing for {timeout}: it does not speak the worker protocol, or takes \
                 longer to start: raise --start-timeout{memory}; if it is no worker, run it once per \
                 job: {each}"
            );
        }
        Silence::Fault(fault) => format!(
            "{name} does not speak the worker protocol: {fault}; to check it: supervisor \
             check-worker {}",
            line.join(" ")
        ),
    };
    format!("{problem}; to run it once per job: {each}")
}

/// Reports a dry run that could not print all commands.
pub(super) fn cannot_show(error: DryRunError) -> ExitCode {
    match error {
        DryRunError::Source(error) => cannot_run(&error.into()),
        DryRunError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            die_by(Signal::PIPE)
        }
        DryRunError::Output(_) => {
            message(&error.to_string());
            OUTPUT_FAILED.into()
        }
    }
}

/// Reports a program that cannot be started; this is checked before the run begins.
pub(super) fn cannot_start(fault: StartFault, program: &Program) -> ExitCode {
    message(&lookup::cannot_start(fault, program));
    fault.exit_status().into()
}

/// Reports a run that could not begin.
pub(super) fn cannot_run(error: &RunError) -> ExitCode {
    message(&error.to_string());
    match error {
        RunError::NoOutput => OUTPUT_FAILED.into(),
        RunError::Record(error) => error.exit_status().into(),
        _ => OUR_FAILURE.into(),
    }
}
