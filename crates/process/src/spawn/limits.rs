//! Sets resource limits of the calling process, and reads those of others. The process that becomes
//! the program sets them, so that they hold before the first instruction of the program. (`prlimit` from a parent loses that
//! race.)

use std::{io, ptr, time::Duration};

use nix::sys::resource::{Resource as Kernel, getrlimit, setrlimit};

use pool::{exit::Status, limits::Resource, signal::Signal};
use text::units::show_size;

/// The stack that the programs of this workspace need, in bytes.
const STACK_BYTES_MIN: u64 = 128 << 10;

/// The stack of this process is too small; the message names the remedy.
#[derive(Debug, thiserror::Error)]
#[error(
    "the stack is limited to {} and at least {} are needed: raise the limit with `ulimit -s`",
    show_size(*.0),
    show_size(STACK_BYTES_MIN)
)]
pub struct StackTooSmall(u64);

/// Checks that the stack of this process suffices. An overflow would end it without a message.
///
/// # Errors
/// The limit is too low.
pub fn check_stack() -> Result<(), StackTooSmall> {
    match getrlimit(Kernel::RLIMIT_STACK) {
        Ok((soft, _)) if soft < STACK_BYTES_MIN => Err(StackTooSmall(soft)),
        _ => Ok(()),
    }
}

/// The soft and the hard limit of a process on its CPU time, inherited or not.
#[derive(Clone, Copy, Debug)]
pub struct CpuLimits {
    soft_s: u64,
    hard_s: u64,
}

impl CpuLimits {
    /// Reads the limits of a process that is not reaped. `None` if there are none, or if the process
    /// belongs to another user.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let mut limits =
            libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: prlimit reads nothing from null, and stores the limits at the address given, which
        // is that of `limits`.
        let result = unsafe { libc::prlimit(pid, libc::RLIMIT_CPU, ptr::null(), &raw mut limits) };
        let is_limited = limits.rlim_cur != libc::RLIM_INFINITY;
        (result == 0 && is_limited)
            .then_some(Self { soft_s: limits.rlim_cur, hard_s: limits.rlim_max })
    }

    /// The limit at which the kernel ends a process in this way; `None` if it does not.
    #[must_use]
    pub fn behind(self, status: Status) -> Option<Duration> {
        let seconds = match status.signal()? {
            Signal::XCPU => self.soft_s,
            Signal::KILL => self.hard_s,
            _ => return None,
        };
        (seconds != libc::RLIM_INFINITY).then(|| Duration::from_secs(seconds))
    }
}

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
