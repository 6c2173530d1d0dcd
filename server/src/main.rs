//! Launches a connection: one per run, or one per client that it accepts.

use std::process::ExitCode;

fn main() -> ExitCode {
    supervisor::os::stub::run_if_called(None);
    server::cli::main()
}
