//! The message for a program that cannot be started.

use nix::libc;
use pool::exit::{StartFault, StartStep};
use process::{Program, spawn::lookup};

use crate::settings::is_connection;

/// Explains why the program did not run. For `connection_bin` the remedy is the script that builds
/// it.
pub(crate) fn cannot_start(fault: StartFault, program: &Program) -> String {
    let mut text = lookup::cannot_start(fault, program);
    let not_there = StartFault { step: StartStep::Exec, errno: libc::ENOENT };
    if fault == not_there && is_connection(program) {
        text += "; `sh scripts/prep.sh` puts connection_bin into the directory where it is run";
    }
    text
}
