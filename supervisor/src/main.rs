//! The program `supervisor`: runs work in worker processes, restarts those that end, and reports
//! exactly how each one ended.

mod cli;

use std::process::ExitCode;

/// Notes whether stdout is closed. The C library calls each function in this section before `main`,
/// and before the standard library replaces a closed standard stream by `/dev/null`. Only the
/// binary contains this, so that programs that link the library run no code before their `main`.
// SAFETY: the section consists of pointers to functions of this kind. The function only makes a
// system call and stores the result in an atomic, which needs nothing that `main` sets up.
#[expect(unsafe_code, reason = "a function pointer in a section that the C library reads")]
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE_IF_STDOUT_IS_CLOSED: extern "C" fn() = process::stdout::note_if_closed;

fn main() -> ExitCode {
    process::spawn::exec_helper::run_if_called(Some(supervisor::launcher::start));
    #[cfg(feature = "compare")]
    compare::run_if_called();
    cli::main()
}
