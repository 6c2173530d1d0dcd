//! Faults of the machine: system calls that fail, and resources that run out.

mod resource_exhaustion;
#[cfg(feature = "journal")]
mod syscall_faults;
