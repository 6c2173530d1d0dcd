//! Ends the process by a signal, which needs system calls that the standard library lacks.
#![expect(unsafe_code, reason = "no safe call sets a signal's action or faults on purpose")]

/// Ends this process by a true SIGSEGV.
pub fn crash() -> ! {
    // Rust's runtime handles SIGSEGV to report stack overflows.
    //
    // SAFETY: the default action runs no code of this program, and nothing here relies on another.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    // The first page is never mapped. The address is not null, which a debug build checks.
    let nowhere = std::ptr::without_provenance::<u64>(8);
    // SAFETY: none is claimed: the fault is the purpose. The read is volatile so that it takes place.
    unsafe { nowhere.read_volatile() };
    std::process::abort()
}

/// Ends this process by SIGPIPE, like a program with the default action that writes to a closed pipe.
///
/// The program does not set the default action at its start, because then a server that closes its
/// socket early would end it as well.
pub fn end_by_sigpipe() -> ! {
    // SAFETY: `signals` is initialised by `sigemptyset` before it is read, the pointers are
    // to locals or null, and the default action runs no code of this program.
    unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        libc::sigaddset(&raw mut signals, libc::SIGPIPE);
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const signals, std::ptr::null_mut());
        libc::raise(libc::SIGPIPE);
    }
    // The first process of a container survives the signal, so report it by the exit status.
    std::process::exit(128 + libc::SIGPIPE)
}
