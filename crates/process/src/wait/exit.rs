//! How a process ended and what it used, read from the kernel before or while it is reaped.

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use pool::{exit::Status, signal::Signal};

/// How a process ended, and what it used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// The exit code or the signal.
    pub status: Status,
    /// User and system time of the process and of the children that it waited for.
    pub cpu: Duration,
    /// Peak of resident memory in KiB, or the peak that the process inherited, if that is larger.
    pub peak_kib: u64,
    /// Context switches, voluntary and involuntary, of the process and of the same children.
    pub switches: u64,
}

/// Reads how a process ended without reaping it: the kernel forgets what a process used once it is
/// reaped. `None` while the process runs.
///
/// # Errors
/// The process is reaped already, or is not a child of this process.
pub fn examine(pidfd: impl AsFd) -> io::Result<Option<Exit>> {
    wait(pidfd, libc::WEXITED | libc::WNOWAIT | libc::WNOHANG)
}

/// Waits for the end of a child, whose pidfd must be in blocking mode, and reaps it.
///
/// # Errors
/// The process is reaped already, or is not a child of this process.
pub fn reap_child(pidfd: impl AsFd) -> io::Result<Exit> {
    loop {
        match wait(&pidfd, libc::WEXITED) {
            Ok(Some(exit)) => return Ok(exit),
            Ok(None) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn wait(pidfd: impl AsFd, flags: libc::c_int) -> io::Result<Option<Exit>> {
    let id = libc::id_t::try_from(pidfd.as_fd().as_raw_fd()).map_err(io::Error::other)?;
    // SAFETY: both types consist of integers, for which all zeroes are a value.
    let (mut info, mut usage) =
        unsafe { (mem::zeroed::<libc::siginfo_t>(), mem::zeroed::<libc::rusage>()) };
    // SAFETY: both pointers are to values of the types that waitid fills in. The raw call is
    // needed because the C library's waitid has no fifth argument, for the usage.
    let result = unsafe {
        libc::syscall(libc::SYS_waitid, libc::P_PIDFD, id, &raw mut info, flags, &raw mut usage)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: waitid filled in the fields of SIGCHLD, or left zeroes.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let core = info.si_code == libc::CLD_DUMPED;
    let status = match info.si_code {
        libc::CLD_EXITED => Status::Code(u8::try_from(status & 0xff).unwrap_or(u8::MAX)),
        _ => match Signal::from_number(status) {
            Some(signal) => Status::Signal { signal, core },
            None => return Err(io::Error::other(format!("wait reported signal {status}"))),
        },
    };
    let cpu = duration(usage.ru_utime) + duration(usage.ru_stime);
    let peak_kib = u64::try_from(usage.ru_maxrss).unwrap_or(0);
    let switches = u64::try_from(usage.ru_nvcsw.saturating_add(usage.ru_nivcsw)).unwrap_or(0);
    Ok(Some(Exit { status, cpu, peak_kib, switches }))
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}
