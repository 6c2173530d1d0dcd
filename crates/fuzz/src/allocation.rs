//! Notes the largest allocation of each thread. A reader that believes a length asks for memory that
//! its input does not justify; the kernel would grant it, so that only the allocator sees it.

#![expect(unsafe_code, reason = "an allocator is an unsafe interface")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// The system's allocator.
struct Noting;

#[global_allocator]
static ALLOCATOR: Noting = Noting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The largest allocation that an input of this length justifies, in bytes: buffers of a fixed size,
/// and a form in memory that is larger than the one on the wire.
pub(crate) fn bytes_max(input: usize) -> usize {
    (1 << 20) + 64 * input
}

/// Begins to note this thread's allocations.
pub(crate) fn forget() {
    LARGEST.set(0);
}

/// The largest allocation of this thread since [`forget`], in bytes.
pub(crate) fn largest() -> usize {
    LARGEST.get()
}

fn note(bytes: usize) {
    // A thread that ends allocates too, when its values are gone.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
}

// SAFETY: every call is passed on to the system's allocator unchanged. A cell of a number with a
// constant initial value needs no memory of its own and no destructor.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps the promises of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note(bytes);
        // SAFETY: the caller keeps the promises of `realloc`.
        unsafe { System.realloc(at, layout, bytes) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}
