//! What is said to arguments that mean nothing here?

use std::process::ExitCode;

use supervisor::run::status;

/// Prints help, or the refusal, and gives the exit status for it.
pub(super) fn exit(error: &clap::Error) -> ExitCode {
    // A closed stdout is no news to somebody who asked for help.
    let _ = error.print();
    if error.use_stderr() { status::USAGE.into() } else { ExitCode::SUCCESS }
}
