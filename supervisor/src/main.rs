//! The program `supervisor`: runs work in worker processes, restarts those that end, and reports
//! exactly how each one ended.

mod cli;
mod early_stdout;

use std::process::ExitCode;

fn main() -> ExitCode {
    process::spawn::exec_helper::run_if_called(Some(supervisor::launcher::start));
    #[cfg(feature = "compare")]
    compare::run_if_called();
    cli::main()
}
