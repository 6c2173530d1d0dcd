//! Which of its three trades does this process follow: worker of a pool, backend of a client
//! that was already accepted, or client of some server?

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
    // First, since it is meant for this very process; the signs of a backend are inherited.
    if worker::is_worker() {
        let served = pool::serve(&runtime, &cli::read_for_worker());
        // As below.
        runtime.shutdown_background();
        served?;
        return Ok(ExitCode::SUCCESS);
    }
    // Early, so that a backend never pays for the command line or TLS.
    if let Some(socket) = session::accepted_client() {
        runtime.block_on(session::serve(socket))?;
        return Ok(ExitCode::SUCCESS);
    }
    let ended = runtime.block_on(client::run(cli::read()));
    // A look-up of a name that outlived its time limit must not hold up the exit.
    runtime.shutdown_background();
    match ended {
        Ok(0) => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::FAILURE),
        Err(Fault::Stdout(error)) if error.kind() == ErrorKind::BrokenPipe => sys::end_by_sigpipe(),
        Err(fault) => Err(fault.into()),
    }
}
