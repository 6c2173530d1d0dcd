//! `deaf block|ignore|both PROGRAM ARGS…`: blocks or ignores all signals that it can, then executes
//! the program, which inherits that state. It stands for a careless parent process.

#![expect(unsafe_code, reason = "the standard library resets the signal mask before exec")]

use std::{env, ffi::CString, io, mem::MaybeUninit, os::unix::ffi::OsStringExt, ptr};

fn main() {
    let mut args = env::args_os().skip(1);
    let what = args.next().unwrap_or_default();
    let (block, ignore) = (what != "ignore", what != "block");
    for signal in (1..=64).filter(|_| ignore) {
        // SAFETY: SIG_IGN runs no code, and the kernel refuses signals that cannot be ignored.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    if block {
        let mut all = MaybeUninit::uninit();
        // SAFETY: sigfillset initialises the set that sigprocmask then reads.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::sigprocmask(libc::SIG_BLOCK, all.as_ptr(), ptr::null_mut());
        }
    }
    let argv: Vec<CString> = args.filter_map(|arg| CString::new(arg.into_vec()).ok()).collect();
    let pointers: Vec<_> = argv.iter().map(|arg| arg.as_ptr()).chain([ptr::null()]).collect();
    // SAFETY: the array holds pointers to live C strings and ends with null.
    unsafe { libc::execvp(pointers[0], pointers.as_ptr()) };
    eprintln!("deaf: {}", io::Error::last_os_error());
    std::process::exit(127);
}
