//! How is a child watched, signalled and examined? Through a pidfd; and its process group by
//! number, for as long as the unreaped leader keeps that number from being given away.

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    time::Duration,
};

use super::census::Process;
use pool::{exit::Status, signal::Signal};

/// A descriptor that becomes readable when the process ends.
///
/// # Errors
/// No descriptors left, or no such process.
pub fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, libc::PIDFD_NONBLOCK) };
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// How a process ended, and what it used.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// Exit code or signal.
    pub status: Status,
    /// User and system time, with that of the children it waited for.
    pub cpu: Duration,
    /// Peak of resident memory in KiB, or the peak it inherited, if that is larger.
    pub peak_kib: u64,
    /// How often a processor was taken from it or given back by it, with the same children.
    pub switches: u64,
}

/// Looks at the end of a process without reaping it: the kernel forgets what it used the moment
/// it is reaped. `None` while it runs.
///
/// # Errors
/// The process was reaped already, or is no child of ours.
pub fn examine(pidfd: impl AsFd) -> io::Result<Option<Exit>> {
    let id = libc::id_t::try_from(pidfd.as_fd().as_raw_fd()).map_err(io::Error::other)?;
    let flags = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
    // SAFETY: both are plain integers throughout, for which all zeroes are a value.
    let (mut info, mut usage) =
        unsafe { (mem::zeroed::<libc::siginfo_t>(), mem::zeroed::<libc::rusage>()) };
    // SAFETY: both pointers are to values of the types that waitid fills in. It is the raw call
    // because only that has the fifth argument.
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

/// Takes hold of a child of `parent`, which is another process of ours and says that it has one:
/// of nobody else's, whatever it says.
#[must_use]
pub fn pidfd_of(pid: i32, parent: i32) -> Option<OwnedFd> {
    let pidfd = pidfd(pid).ok()?;
    Process::find(pid).filter(|process| process.is_child_of(parent)).map(|_| pidfd)
}

/// Signals a process that was found in a list of all: only if it is still that one, for its number
/// may meanwhile be another's.
pub fn signal_if_still(process: &Process, signal: Signal) {
    // From here on the descriptor is of whoever has the number now, and of nobody after him.
    let Ok(pidfd) = pidfd(process.pid) else { return };
    if Process::find(process.pid).is_some_and(|now| now.is_same(process)) {
        // What is gone need not be told.
        let _ = signal_through(&pidfd, signal, 0);
    }
}

/// Signals a child, for as long as nobody has reaped it: then its number is surely its own.
pub fn signal_child(pid: i32, signal: Signal) {
    // SAFETY: kill takes two integers. What is gone need not be told.
    unsafe { libc::kill(pid, signal.number()) };
}

/// Wakes a child that was stopped, and says with the signal for how many milliseconds. The same holds
/// of its number.
pub fn wake_child(pid: i32, stopped: Duration) {
    let ms = usize::try_from(stopped.as_millis()).unwrap_or(usize::MAX);
    let value = libc::sigval { sival_ptr: ptr::without_provenance_mut(ms) };
    // SAFETY: sigqueue takes two integers and a value that nobody follows. What is gone need not be
    // told.
    unsafe { libc::sigqueue(pid, libc::SIGCONT, value) };
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}

/// Kills the process group of the process behind this descriptor, which need not be our child
/// nor live any more.
pub fn kill_group_of(pidfd: impl AsFd) {
    /// Since Linux 6.9; before that only the process itself can be hit without fail.
    const PROCESS_GROUP: libc::c_uint = 1 << 2;
    for flags in [PROCESS_GROUP, 0] {
        if signal_through(&pidfd, Signal::KILL, flags) {
            return;
        }
    }
}

/// Whether the kernel took it.
fn signal_through(pidfd: impl AsFd, signal: Signal, flags: libc::c_uint) -> bool {
    let (pidfd, number) = (pidfd.as_fd().as_raw_fd(), signal.number());
    let none = ptr::null::<libc::siginfo_t>();
    // SAFETY: integers and a null where no siginfo is given.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, number, none, flags) == 0 }
}

/// Signals a child's process group; while it has none yet, the child alone. For an unreaped
/// child only: its number is then surely its own.
pub fn signal_group(leader: i32, signal: Signal) {
    // SAFETY: kill takes two integers; nix has no names for the real-time signals.
    let sent = unsafe { libc::kill(-leader, signal.number()) };
    if sent != 0 {
        signal_child(leader, signal);
    }
}
