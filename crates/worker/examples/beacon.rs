//! `beacon SOCKET`: as its first action, sends its process id and the monotonic time in nanoseconds
//! to a Unix datagram socket, then sleeps.
//!
//! It runs without the Rust runtime, so that it starts as fast as a C program.

#![no_main]
#![expect(unsafe_code, reason = "an entry point without the runtime, and calls into the C library")]

use std::{ffi::CStr, ffi::c_char, os::unix::net::UnixDatagram, slice};

/// The entry point that the C library calls.
#[unsafe(no_mangle)]
extern "C" fn main(count: i32, arguments: *const *const c_char) -> i32 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime writes to the timespec that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    // SAFETY: the C library passes `count` arguments.
    let arguments =
        unsafe { slice::from_raw_parts(arguments, usize::try_from(count).unwrap_or(0)) };
    let Some(path) = arguments.get(1) else { return 2 };
    // SAFETY: each argument is a C string that lives as long as the process.
    let path = unsafe { CStr::from_ptr(*path) };
    let nanoseconds = now.tv_sec * 1_000_000_000 + now.tv_nsec;
    let message = format!("{} {nanoseconds}", std::process::id());
    let sent = UnixDatagram::unbound()
        .and_then(|socket| socket.send_to(message.as_bytes(), path.to_string_lossy().as_ref()));
    if sent.is_err() {
        return 1;
    }
    loop {
        // SAFETY: pause takes nothing and touches nothing.
        unsafe { libc::pause() };
    }
}
