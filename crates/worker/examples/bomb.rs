//! `bomb MODE MIB [FILE]`: takes so much memory as fast as it can, touches it, and notes in FILE
//! (of 4 KiB) how many MiB have been touched by all of its processes. Then it waits.
//!
//! `private`: one process, each piece of its own. `shared`: one process, one shared mapping.
//! `children`: eight processes, an eighth each. `sharers`: eight processes that all read one shared
//! mapping, which one of them wrote.

#![expect(unsafe_code, reason = "mappings and forks")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

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
        other => panic!("no such mode: `{other}`"),
    }
    loop {
        // SAFETY: pause takes nothing and touches nothing.
        unsafe { libc::pause() };
    }
}

/// Where the MiB are counted: shared with whoever opens the file.
fn counter(path: Option<String>) -> &'static AtomicU64 {
    let Some(path) = path else { return Box::leak(Box::default()) };
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    file.set_len(PAGE as u64).unwrap();
    let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
    // SAFETY: a page of a file that is that long, never unmapped: aligned, and zeroes at first.
    unsafe {
        let page = libc::mmap(ptr::null_mut(), PAGE, access, libc::MAP_SHARED, fd, 0);
        assert_ne!(page, libc::MAP_FAILED);
        &*page.cast()
    }
}

/// New memory. There is none: then that is said, as programs do.
fn map(bytes: usize, kind: libc::c_int) -> *mut u8 {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: new memory, which nobody else refers to.
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
        // SAFETY: within what was mapped.
        unsafe { memory.add(page * PAGE).write_volatile(1) };
        if (page + 1).is_multiple_of(MIB / PAGE) {
            touched.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn read(memory: *mut u8, mib: usize) {
    // SAFETY: within what was mapped.
    (0..mib * MIB / PAGE).for_each(|page| unsafe {
        memory.add(page * PAGE).read_volatile();
    });
}

/// So many children; true in each of them.
fn fork(count: usize) -> bool {
    // SAFETY: there is but this thread.
    (0..count).any(|_| unsafe { libc::fork() } == 0)
}
