//! Says when it was born, then sleeps: `beacon SOCKET` sends its process id and the monotonic
//! time to a Unix datagram socket as its first act.
//!
//! Without the Rust runtime, so that its own start costs what a C program's does.

#![no_main]
#![expect(unsafe_code, reason = "an entry point without the runtime, and the C library's calls")]

use std::{ffi::CStr, ffi::c_char, os::unix::net::UnixDatagram, slice};

/// The entry point that the C library calls.
#[unsafe(no_mangle)]
extern "C" fn main(count: i32, arguments: *const *const c_char) -> i32 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime fills in the timespec it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    // SAFETY: the C library hands over as many arguments as it says.
    let arguments =
        unsafe { slice::from_raw_parts(arguments, usize::try_from(count).unwrap_or(0)) };
    let Some(path) = arguments.get(1) else { return 2 };
    // SAFETY: each argument is a C string that lives as long as the process.
    let path = unsafe { CStr::from_ptr(*path) };
    let nanoseconds = now.tv_sec * 1_000_000_000 + now.tv_nsec;
    let word = format!("{} {nanoseconds}", std::process::id());
    let told = UnixDatagram::unbound()
        .and_then(|socket| socket.send_to(word.as_bytes(), path.to_string_lossy().as_ref()));
    if told.is_err() {
        return 1;
    }
    loop {
        // SAFETY: pause takes nothing and touches nothing.
        unsafe { libc::pause() };
    }
}
