//! Sets resource limits of the calling process. The process that becomes the program sets them, so
//! that they hold before the first instruction of the program. (`prlimit` from a parent loses that
//! race.)

use std::io;

use nix::sys::resource::{Resource as Kernel, getrlimit, setrlimit};

use pool::limits::Resource;

/// Sets the soft and the hard limit to the same value, so that the program cannot raise it. For CPU
/// time the hard limit is one second higher, so that SIGXCPU names the cause before SIGKILL.
///
/// # Errors
/// The value is above the current hard limit.
pub fn set(resource: Resource, value: u64) -> io::Result<()> {
    let hard = match resource {
        Resource::Cpu => value.saturating_add(1).min(getrlimit(Kernel::RLIMIT_CPU)?.1.max(value)),
        _ => value,
    };
    let kernel = match resource {
        Resource::AddressSpace => Kernel::RLIMIT_AS,
        Resource::Data => Kernel::RLIMIT_DATA,
        Resource::Cpu => Kernel::RLIMIT_CPU,
        Resource::OpenFiles => Kernel::RLIMIT_NOFILE,
        Resource::Processes => Kernel::RLIMIT_NPROC,
        Resource::FileSize => Kernel::RLIMIT_FSIZE,
        Resource::Core => Kernel::RLIMIT_CORE,
        Resource::Stack => Kernel::RLIMIT_STACK,
    };
    Ok(setrlimit(kernel, value, hard)?)
}
