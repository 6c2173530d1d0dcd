//! The program `server_bin`: runs one connection, or one process per client that it accepts.

use std::process::ExitCode;

fn main() -> ExitCode {
    process::spawn::exec_helper::run_if_called(None);
    server::cli::main()
}
