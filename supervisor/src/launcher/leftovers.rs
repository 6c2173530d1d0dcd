//! What did a command leave behind? Its orphans are the launcher's foster children, whatever they
//! called (setsid, a double fork, `env -i`): they are found, named, killed and reaped.

use nix::sys::signalfd::SignalFd;
use worker::ServeError;

use process::sweep;

/// More are not named.
const NAMES_MAX: usize = 16;

/// Ends them all; their names.
pub(super) fn end(children: &SignalFd) -> Result<Vec<String>, ServeError> {
    let found = sweep::sweep(children)?;
    Ok(found.into_iter().take(NAMES_MAX).map(|process| process.name).collect())
}
