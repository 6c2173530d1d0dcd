//! Which ends of a process need the system's own calls? Those by a signal.
#![expect(unsafe_code, reason = "no safe call sets a signal's action or faults on purpose")]

/// Ends this process by a true SIGSEGV.
pub fn crash() -> ! {
    // Rust's runtime has an action for SIGSEGV, to report stack overflows.
    //
    // SAFETY: the default action runs no code of ours, and nothing here relies on another.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    // The first page is never mapped. Not null, which a debug build checks for.
    let nowhere = std::ptr::without_provenance::<u64>(8);
    // SAFETY: none is claimed: the fault is the purpose. Volatile, so that it takes place.
    unsafe { nowhere.read_volatile() };
    std::process::abort()
}

/// Ends this process as a write to a closed pipe ends any program that lets it.
///
/// Done at the end rather than by a default action from the start, since a server that
/// closes its socket early must not end us so.
pub fn end_by_sigpipe() -> ! {
    // SAFETY: `signals` is initialised by `sigemptyset` before it is read, the pointers are
    // to locals or null, and the default action runs no code of ours.
    unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        libc::sigaddset(&raw mut signals, libc::SIGPIPE);
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const signals, std::ptr::null_mut());
        libc::raise(libc::SIGPIPE);
    }
    // The first process of a container survives it: the same, told by the status.
    std::process::exit(128 + libc::SIGPIPE)
}
