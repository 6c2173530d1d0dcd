//! Checks whether a program is a worker: plays the cases of the worker protocol against it, and says
//! which of the rules in PROTOCOL.md it breaks.
//!
//! Every case is stricter than the supervisor is in a run: there, a worker that breaks a rule costs a
//! job and is replaced.

mod cases;
mod peer;

use std::time::Duration;

use pool::exit::StartFault;
use process::Program;

/// The result of one case.
#[derive(Debug)]
pub struct Finding {
    /// What was checked.
    pub case: &'static str,
    /// The section of PROTOCOL.md that has the rule.
    pub section: &'static str,
    /// What the worker did, or how it broke the rule.
    pub result: Result<String, String>,
}

/// Plays all cases against the program, and passes each result to `report`. A wait for the program
/// ends after `limit`; `payload` is the payload of ordinary jobs. Must be called in a runtime, on the
/// first thread.
///
/// # Errors
/// The program cannot be started.
pub async fn check(
    program: &Program,
    payload: &[u8],
    limit: Duration,
    mut report: impl FnMut(Finding),
) -> Result<(), StartFault> {
    let stage = cases::Stage { program, payload, limit, report: &mut report };
    stage.play().await
}
