//! Settings of the allocator. Freed memory is kept for a while, because the next large job needs as
//! much, and getting it from the kernel again costs more than copying the job.

/// Freed memory that each thread's arena keeps at most, in bytes.
const KEPT_BYTES: i32 = 16 << 20;
/// Allocations above this size come from the kernel and return to it when freed, in bytes.
const HUGE_BYTES: i32 = 32 << 20;

/// Makes the allocator keep freed memory from now on. (Other C libraries than GNU's have rules of
/// their own.)
pub fn keep_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two integers; it is called before there is a second thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, HUGE_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
    }
}
