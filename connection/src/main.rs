//! `connection_bin`: selects one of three modes: worker of a pool, backend of an accepted client, or
//! HTTP client.

mod cli;

use std::error::Error;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use connection::client::{self, Fault};
use connection::{pool, session, sys};
use tokio::runtime::Builder;

fn main() -> ExitCode {
    work().unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "connection_bin: {error}");
        ExitCode::FAILURE
    })
}

fn work() -> Result<ExitCode, Box<dyn Error>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // This comes first because the variable names this very process, whereas the environment of a
    // backend is inherited.
    if worker::is_worker() {
        let served = pool::serve(&runtime, &cli::read_for_worker());
        // A name look-up that outlived its time limit must not delay the exit.
        runtime.shutdown_background();
        served?;
        return Ok(ExitCode::SUCCESS);
    }
    // Before the command line and TLS, which a backend does not need.
    if let Some(socket) = session::accepted_client() {
        runtime.block_on(session::serve(socket))?;
        return Ok(ExitCode::SUCCESS);
    }
    let ended = runtime.block_on(client::run(cli::read()));
    // A name look-up that outlived its time limit must not delay the exit.
    runtime.shutdown_background();
    match ended {
        Ok(0) => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::FAILURE),
        Err(Fault::Stdout(error)) if error.kind() == ErrorKind::BrokenPipe => sys::end_by_sigpipe(),
        Err(fault) => Err(fault.into()),
    }
}
