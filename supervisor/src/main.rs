//! Runs work in worker processes, restarts what shall be restarted, and says exactly how each
//! one ended.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    process::stub::run_if_called(Some(supervisor::launcher::start));
    #[cfg(feature = "compare")]
    compare::run_if_called();
    cli::main()
}
