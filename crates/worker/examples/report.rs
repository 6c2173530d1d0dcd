//! `report [stay] ARGS…`: prints the state that it inherited as one line of JSON. With `stay` it
//! then waits until it is killed.
//!
//! It runs without the Rust runtime, which would change that state: the runtime ignores SIGPIPE,
//! catches SIGSEGV, and opens `/dev/null` in place of a missing standard stream.

#![no_main]
#![expect(
    unsafe_code,
    reason = "an entry point without the runtime, and system calls that the standard library lacks"
)]

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write},
    mem::MaybeUninit,
};

use serde_json::{Value, json};

const RLIMITS: libc::__rlimit_resource_t = 16;

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    let argv: Vec<String> = env::args_os().map(|arg| arg.to_string_lossy().into()).collect();
    let environment: BTreeMap<String, String> = env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into(), value.to_string_lossy().into()))
        .collect();
    let mut death_signal = 0;
    // SAFETY: the calls take and return integers; PR_GET_PDEATHSIG stores one at the given address.
    let (pgid, sid) = unsafe {
        libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut death_signal);
        (libc::getpgrp(), libc::getsid(0))
    };
    let seen = json!({
        "pid": std::process::id(),
        "ppid": std::os::unix::process::parent_id(),
        "pgid": pgid,
        "sid": sid,
        "descriptors": descriptors(),
        "status": status(),
        "parent_death_signal": death_signal,
        "rlimits": (0..RLIMITS).map(rlimit).collect::<Vec<_>>(),
        "cwd": env::current_dir().unwrap_or_default(),
        "argv": argv,
        "env": environment,
    });
    // One write, so that the line is not split.
    let _ = io::stdout().write_all(format!("{seen}\n").as_bytes());
    if argv.get(1).is_some_and(|arg| arg == "stay") {
        // SAFETY: pause takes no arguments and touches no memory.
        unsafe { libc::pause() };
    }
    0
}

/// All open descriptors: the target of each, and whether it is non-blocking.
fn descriptors() -> BTreeMap<String, Value> {
    // The listing's own descriptor is closed before the links are read, so it is left out.
    let listing = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let paths: Vec<_> = listing.map(|entry| entry.path()).collect();
    let open = paths.iter().filter_map(|path| Some((path, fs::read_link(path).ok()?)));
    open.map(|(path, target)| {
        let number = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // SAFETY: fcntl takes integers, and refuses a number that is not a descriptor.
        let flags = unsafe { libc::fcntl(number.parse().unwrap_or(-1), libc::F_GETFL) };
        (number, json!({ "target": target, "nonblocking": flags & libc::O_NONBLOCK != 0 }))
    })
    .collect()
}

/// The state of signals and privileges, from `/proc/self/status`.
fn status() -> BTreeMap<String, String> {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let names = ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "NoNewPrivs"];
    text.lines()
        .filter_map(|line| line.split_once(":\t"))
        .filter(|(name, _)| names.contains(name))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// The soft and the hard limit of a resource.
fn rlimit(resource: libc::__rlimit_resource_t) -> [u64; 2] {
    let mut limit = MaybeUninit::<libc::rlimit>::zeroed();
    // SAFETY: getrlimit writes to the limit, for which all zeroes is a valid value as well.
    let limit = unsafe {
        libc::getrlimit(resource, limit.as_mut_ptr());
        limit.assume_init()
    };
    [limit.rlim_cur, limit.rlim_max]
}
