//! The error numbers that decisions depend on, as Linux has them on x86, Arm and RISC-V.

/// Operation not permitted.
pub const EPERM: i32 = 1;
/// No such file or directory.
pub const ENOENT: i32 = 2;
/// Exec format error.
pub const ENOEXEC: i32 = 8;
/// Resource temporarily unavailable: too many processes, for instance.
pub const EAGAIN: i32 = 11;
/// Out of memory.
pub const ENOMEM: i32 = 12;
/// Permission denied.
pub const EACCES: i32 = 13;
/// Not a directory.
pub const ENOTDIR: i32 = 20;
/// Invalid argument.
pub const EINVAL: i32 = 22;
/// Too many open files in the system.
pub const ENFILE: i32 = 23;
/// Too many open files in the process.
pub const EMFILE: i32 = 24;
/// A program file is open for writing.
pub const ETXTBSY: i32 = 26;
/// Function not implemented.
pub const ENOSYS: i32 = 38;
