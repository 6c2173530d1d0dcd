//! Memory in swap, which the resident memory of a process does not include.

use std::mem::MaybeUninit;

use crate::proc::Fields;

/// Whether any memory of this machine is in swap. If not, no process need be asked.
pub(super) fn is_swap_used() -> bool {
    let mut info = MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: sysinfo fills in the value at the address given, which consists of integers, so that
    // zeroes are a value too.
    let info = unsafe {
        libc::sysinfo(info.as_mut_ptr());
        info.assume_init()
    };
    info.freeswap < info.totalswap
}

/// proc_pid_status(5): private memory of the process in swap, in bytes.
pub(super) fn swapped_bytes(pid: i32) -> u64 {
    Fields::status(pid).and_then(|status| status.bytes("VmSwap")).unwrap_or(0)
}
