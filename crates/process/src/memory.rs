//! What becomes of memory that is freed? Kept for a while, since the next large job needs as much
//! and getting it from the kernel anew costs more than copying the job.

/// So much freed memory is kept at most, for each thread that takes some.
const KEPT_BYTES: i32 = 16 << 20;
/// What is longer than this comes from the kernel and goes back at once.
const HUGE_BYTES: i32 = 32 << 20;

/// From now on. (Other C libraries than GNU's decide it by themselves.)
pub fn keep_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes two integers, and no other thread runs yet that it could surprise.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, HUGE_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
    }
}
