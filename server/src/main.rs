//! Launches a connection: one per run, or one per client that it accepts.

use std::process::ExitCode;

fn main() -> ExitCode {
    process::spawn::exec_helper::run_if_called(None);
    server::cli::main()
}
