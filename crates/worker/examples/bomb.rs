//! `bomb MODE MIB [FILE]`: allocates and touches MIB mebibytes of memory as fast as it can, then
//! waits. In FILE, of 4 KiB, it counts the mebibytes that all of its processes have touched.
//!
//! MODE is one of:
//!
//! - `private`: one process with private mappings of 1 MiB;
//! - `shared`: one process with one shared mapping;
//! - `children`: eight processes, each with an eighth of the memory;
//! - `sharers`: eight processes that read one shared mapping, which their parent wrote;
//! - `zombie`: like `shared`, by a process with a child that has ended and that it does not reap;
//! - `headless`: like `shared`, by the second thread, after the first one has ended;
//! - `restless`: eight processes with a shared mapping each, which fork children that end at once;
//! - `spawner`: one process with a private mapping, which starts and awaits 300 processes and ends.

#![expect(unsafe_code, reason = "mappings and forks")]
#![expect(clippy::unwrap_used, reason = "a panic here fails the test")]

use std::{
    env,
    fs::OpenOptions,
    os::fd::AsRawFd,
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

const MIB: usize = 1 << 20;
const PAGE: usize = 4096;

fn main() {
    let mut args = env::args().skip(1);
    let mode = args.next().unwrap_or_default();
    let mib: usize = args.next().and_then(|mib| mib.parse().ok()).unwrap_or(0);
    let touched = counter(args.next());
    match mode.as_str() {
        "private" => (0..mib).for_each(|_| write(map(MIB, libc::MAP_PRIVATE), 1, touched)),
        "shared" => write(map(mib * MIB, libc::MAP_SHARED), mib, touched),
        "children" => {
            if fork(8) {
                (0..mib / 8).for_each(|_| write(map(MIB, libc::MAP_PRIVATE), 1, touched));
            }
        }
        "sharers" => {
            let shared = map(mib * MIB, libc::MAP_SHARED);
            write(shared, mib, touched);
            if fork(8) {
                read(shared, mib);
                touched.fetch_add(1, Ordering::Relaxed);
            }
        }
        "zombie" => {
            if fork(1) {
                return;
            }
            write(map(mib * MIB, libc::MAP_SHARED), mib, touched);
        }
        "headless" => {
            std::thread::spawn(move || write(map(mib * MIB, libc::MAP_SHARED), mib, touched));
            // SAFETY: the call ends this thread alone, and nothing on its stack is used by others.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
        "restless" => {
            fork(8);
            let shared = map(mib / 8 * MIB, libc::MAP_SHARED);
            for nth in 0..mib / 8 {
                write(shared.wrapping_add(nth * MIB), 1, touched);
                end_a_child();
            }
            loop {
                end_a_child();
            }
        }
        "spawner" => {
            (0..mib).for_each(|_| write(map(MIB, libc::MAP_PRIVATE), 1, touched));
            for _ in 0..300 {
                assert!(std::process::Command::new("true").status().unwrap().success());
            }
            return;
        }
        other => panic!("no such mode: `{other}`"),
    }
    loop {
        // SAFETY: pause takes nothing and touches nothing.
        unsafe { libc::pause() };
    }
}

/// The counter of mebibytes: a mapping that is shared with every process that opens the file.
fn counter(path: Option<String>) -> &'static AtomicU64 {
    let Some(path) = path else { return Box::leak(Box::default()) };
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    file.set_len(PAGE as u64).unwrap();
    let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
    // SAFETY: the mapping is a whole page of a file of that length, so it is aligned and starts as
    // zeroes. It is never unmapped.
    unsafe {
        let page = libc::mmap(ptr::null_mut(), PAGE, access, libc::MAP_SHARED, fd, 0);
        assert_ne!(page, libc::MAP_FAILED);
        &*page.cast()
    }
}

/// Maps new memory. If there is none, prints a message and aborts, as Rust's allocator does.
fn map(bytes: usize, kind: libc::c_int) -> *mut u8 {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the kernel chooses an address range that is not in use.
    let memory =
        unsafe { libc::mmap(ptr::null_mut(), bytes, access, kind | libc::MAP_ANONYMOUS, -1, 0) };
    if memory == libc::MAP_FAILED {
        eprintln!("memory allocation of {bytes} bytes failed");
        std::process::abort();
    }
    memory.cast()
}

fn write(memory: *mut u8, mib: usize, touched: &AtomicU64) {
    for page in 0..mib * MIB / PAGE {
        // SAFETY: the page is within the mapping.
        unsafe { memory.add(page * PAGE).write_volatile(1) };
        if (page + 1).is_multiple_of(MIB / PAGE) {
            touched.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn read(memory: *mut u8, mib: usize) {
    // SAFETY: the pages are within the mapping.
    (0..mib * MIB / PAGE).for_each(|page| unsafe {
        memory.add(page * PAGE).read_volatile();
    });
}

/// Forks a child that ends at once, and reaps it.
fn end_a_child() {
    if fork(1) {
        std::process::exit(0);
    }
    // SAFETY: wait accepts a null pointer, for a status that is of no interest.
    unsafe { libc::wait(ptr::null_mut()) };
}

/// Forks `count` children; returns true in each of them.
fn fork(count: usize) -> bool {
    // SAFETY: this process has a single thread.
    (0..count).any(|_| unsafe { libc::fork() } == 0)
}
