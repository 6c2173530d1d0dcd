//! Injects faults into jobs. Each fault is the real thing: nothing is simulated and nothing caught.

use std::{
    hint,
    io::{self, Read},
    mem, process, ptr,
    sync::{Mutex, PoisonError},
};

use super::plan::Fault;

/// An address at which no page is ever mapped. It is not null, because a debug build checks for
/// null.
const UNMAPPED: usize = 8;
/// Size of each allocation of a leak.
const LEAK_BYTES: usize = 1 << 20;

/// Injects the fault. `shared` is the lock that every job of the process takes.
pub(super) fn inject(fault: Fault, id: u64, shared: &Mutex<u64>) {
    match fault {
        Fault::None => {}
        Fault::Panic => panic!("job {id} panics, as it was told to"),
        Fault::Abort => process::abort(),
        Fault::Segv => segv(),
        Fault::Leak => leak(),
        Fault::Hang => hang(),
        Fault::Spin => loop {
            hint::spin_loop();
        },
        Fault::Exit => process::exit(0),
        Fault::Deadlock => {
            mem::forget(shared.lock().unwrap_or_else(PoisonError::into_inner));
            // A common bug: a function takes a lock that its caller already holds.
            let _never = shared.lock();
        }
    }
}

fn segv() {
    let unmapped = ptr::without_provenance_mut::<u64>(UNMAPPED);
    // SAFETY: none. The kernel answers with SIGSEGV, which is the purpose of this function.
    unsafe { unmapped.write_volatile(1) };
}

fn leak() {
    loop {
        // The memory is written to: the kernel commits no page before that.
        hint::black_box(vec![0xa5_u8; LEAK_BYTES].leak());
    }
}

/// Reads from a pipe into which nothing is ever written.
fn hang() {
    if let Ok((mut silent, open)) = io::pipe() {
        let _ = silent.read(&mut [0]);
        drop(open);
    }
}
