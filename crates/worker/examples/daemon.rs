//! `daemon MODE`: leaves a process in a session of its own that is hard to find, and ends.
//!
//! MODE is one of:
//!
//! - `ending`: the process is below another one, which is ending at the moment when its worker ends
//!   and takes long to do so;
//! - `hoppers`: four processes that fork a successor and end, for ever, each in a new session;
//! - `vast`: the process moves its environment to 3 GiB of zeroes.

#![expect(unsafe_code, reason = "mappings, forks and raw system calls")]
#![expect(clippy::unwrap_used, reason = "a panic here fails the test")]

use std::{
    env, fs,
    io::{self, PipeWriter, Read},
    process, ptr,
    time::Duration,
};

const GIB: usize = 1 << 30;

fn main() {
    match env::args().nth(1).unwrap_or_default().as_str() {
        "ending" => {
            let middle = fork();
            if middle == 0 {
                ending();
            }
            while !is_ending(middle) {}
        }
        "hoppers" => {
            for _ in 0..4 {
                if fork() == 0 {
                    hop();
                }
            }
        }
        "vast" => {
            let (mut read, write) = io::pipe().unwrap();
            if fork() == 0 && fork() == 0 {
                vast(write);
            }
            drop(write);
            let _ = read.read(&mut [0]);
        }
        other => panic!("no such mode: `{other}`"),
    }
}

/// Leaves a process below this one, and takes long to end.
fn ending() -> ! {
    set_session();
    if fork() == 0 {
        sleep_for_ever();
    }
    let memory = map(GIB / 2, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: the mapping is this long. Huge pages would be freed in no time.
    unsafe {
        libc::madvise(memory.cast(), GIB / 2, libc::MADV_NOHUGEPAGE);
        ptr::write_bytes(memory, 1, GIB / 2);
    }
    // SAFETY: _exit takes an integer.
    unsafe { libc::_exit(0) }
}

/// Whether a process is exiting. It has no memory any more, but still has its children.
fn is_ending(pid: i32) -> bool {
    const PF_EXITING: u64 = 0x4;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let flags = stat.rsplit_once(')').unwrap().1.split(' ').nth(7).unwrap();
    flags.parse::<u64>().unwrap() & PF_EXITING != 0
}

fn hop() -> ! {
    loop {
        set_session();
        if fork() != 0 {
            // SAFETY: _exit takes an integer.
            unsafe { libc::_exit(0) }
        }
    }
}

/// Tells the kernel that the environment of this process is a large mapping, as a process may.
fn vast(write: PipeWriter) -> ! {
    set_session();
    let length = 3 * GIB;
    let start = map(length, libc::PROT_READ) as u64;
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_ascii_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    // proc_pid_stat(5) counts from 1, and the name is the second field.
    let field = |number: usize| fields[number - 3];
    // SAFETY: sbrk(0) changes nothing.
    let brk = unsafe { libc::sbrk(0) } as u64;
    // struct prctl_mm_map of the kernel; the last number is an invalid descriptor above zero bytes
    // of auxiliary vector.
    let map: [u64; 14] = [
        field(26),
        field(27),
        field(45),
        field(46),
        field(47),
        brk,
        field(28),
        field(48),
        field(49),
        start,
        start + length as u64,
        0,
        u64::from(u32::MAX) << 32,
        0,
    ];
    const MAP_BYTES: usize = 13 * 8;
    // SAFETY: the kernel reads the structure of this size and changes only what /proc shows.
    let result =
        unsafe { libc::prctl(libc::PR_SET_MM, libc::PR_SET_MM_MAP, map.as_ptr(), MAP_BYTES, 0) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    drop(write);
    sleep_for_ever();
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

/// A new mapping of zeroes.
fn map(bytes: usize, access: libc::c_int) -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: the kernel chooses an address range that is not in use.
    let memory = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
    assert_ne!(memory, libc::MAP_FAILED);
    memory.cast()
}

fn set_session() {
    // SAFETY: setsid takes nothing.
    unsafe { libc::setsid() };
}

/// Forks. Returns 0 in the child.
fn fork() -> i32 {
    // SAFETY: this process has a single thread.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        process::exit(1);
    }
    pid
}
