//! How does a job go wrong? Really: each of these is what its name says, and nothing is caught.

use std::{
    hint,
    io::{self, Read},
    mem, process, ptr,
    sync::{Mutex, PoisonError},
};

use super::plan::Fault;

/// No page is ever mapped there, nor is it null, which a debug build would notice.
const NOBODYS: usize = 8;
/// So much is taken at a time.
const LEAK_BYTES: usize = 1 << 20;

/// Does it. `shared` is what all jobs of the process lock now and then.
pub(super) fn strike(fault: Fault, id: u64, shared: &Mutex<u64>) {
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
            // As a function does that takes a lock which its caller holds.
            let _never = shared.lock();
        }
    }
}

fn segv() {
    let nobodys = ptr::without_provenance_mut::<u64>(NOBODYS);
    // SAFETY: there is none. The kernel answers with SIGSEGV, which is the purpose.
    unsafe { nobodys.write_volatile(1) };
}

fn leak() {
    loop {
        // Written to, since memory that nobody has touched costs nothing.
        hint::black_box(vec![0xa5_u8; LEAK_BYTES].leak());
    }
}

/// Reads from a pipe whose other end is open and silent.
fn hang() {
    if let Ok((mut silent, open)) = io::pipe() {
        let _ = silent.read(&mut [0]);
        drop(open);
    }
}
