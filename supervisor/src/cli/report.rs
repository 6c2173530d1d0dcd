//! How a run's end is reported: the exit status, and one message with the thing, the reason and
//! the remedy where the program could not be started.

use std::{
    error::Error,
    fmt::Write as _,
    io::{self, Write as _},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use supervisor::{
    event::ShutdownReason,
    exit::{StartFault, StartStep},
    os::signals::die_by,
    pool::RunEnd,
    settings::{Program, Settings},
    signal::Signal,
    sink::visible,
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
            let name = shown(&settings.program);
            say(&format!(
                "{name} does not stay up: see above how it ended, or run it by itself once"
            ));
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
            say(&cannot_start(fault, &settings.program));
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

fn shown(program: &Program) -> String {
    let name = program.argv.first().map_or(&b""[..], |name| name.as_bytes());
    visible(name)
}

/// The message for a program that never ran.
fn cannot_start(fault: StartFault, program: &Program) -> String {
    let name = shown(program);
    let why = match fault.step {
        StartStep::Exec => cannot_execute(fault.errno, program),
        StartStep::Limit(resource) => {
            let value = program.limits.get(resource).map_or("unlimited".into(), |v| v.to_string());
            format!(
                "the kernel refuses the limit {}={value} ({}); `ulimit -H -a` shows what it allows",
                resource.name(),
                reason(fault.errno)
            )
        }
        _ => format!("{fault}"),
    };
    format!("cannot start {name}: {why}")
}

fn cannot_execute(errno: i32, program: &Program) -> String {
    let name = shown(program);
    let path = Path::new(program.argv.first().map_or("".as_ref(), |name| name.as_os_str()));
    let place = program.directory.as_deref().unwrap_or(Path::new(""));
    let file = place.join(path);
    let has_slash = path.as_os_str().as_bytes().contains(&b'/');
    match errno {
        libc::ENOENT if !has_slash && file.is_file() => {
            format!("not found in PATH, but it is in this directory: write ./{name}")
        }
        libc::ENOENT if !has_slash => "not found in PATH: give its path, or correct PATH".into(),
        libc::ENOENT if file.exists() => {
            "the interpreter that its first line names, or its loader, is not there: install it, \
             or correct that line"
                .into()
        }
        libc::ENOENT | libc::ENOTDIR => {
            format!("no such file{}: check the path", seen_from(path, program.directory.as_ref()))
        }
        libc::EACCES if file.is_dir() => "it is a directory: name a program in it".into(),
        libc::EACCES => format!("it is not executable: `chmod +x {name}`"),
        libc::ENOEXEC => format!(
            "the kernel knows no such format: a script needs a first line such as #!/bin/sh, \
             or run it as `sh {name}`"
        ),
        libc::E2BIG => "its arguments and environment are too long: shorten them".into(),
        errno => reason(errno),
    }
}

/// Where a relative path was looked up, when that was not here.
fn seen_from(path: &Path, directory: Option<&PathBuf>) -> String {
    match directory {
        Some(directory) if path.is_relative() => format!(" in {}", directory.display()),
        _ => String::new(),
    }
}

fn reason(errno: i32) -> String {
    StartFault { step: StartStep::Exec, errno }.to_string().replacen("execute: ", "", 1)
}
