//! Writes the command line's own output: messages to stderr, texts to stdout.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use pool::signal::Signal;
use process::{signals::die_by, terminal};
use supervisor::run::status::OUTPUT_FAILED;

/// Prints a message to stderr.
pub(super) fn message(text: &str) {
    // Errors are ignored: there is no other place for them.
    let _ = writeln!(io::stderr(), "supervisor: {text}");
}

/// The width to which a text on stdout is cut; `None` if stdout is no terminal.
pub(super) fn width() -> Option<usize> {
    terminal::columns(io::stdout()).map(usize::from)
}

/// Writes a text to stdout and returns the exit status. If the reader has closed stdout, SIGPIPE
/// ends the process.
pub(super) fn text(text: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => die_by(Signal::PIPE),
        Err(error) => unwritable(&error),
    }
}

/// Reports that stdout cannot be written, and returns the exit status.
pub(super) fn unwritable(error: &io::Error) -> ExitCode {
    message(&format!("stdout cannot be written: {error}"));
    OUTPUT_FAILED.into()
}
