//! Who ends what a supervisor has started, whatever ends the supervisor? Its parent, the warden: a
//! process that does nothing but wait for it, hears the signals, and when the supervisor is gone,
//! be it by `kill -9`, kills all that descends from it and ends in the same way.
//!
//! Both are child-subreapers. While the supervisor lives, who loses his parent comes to it; after
//! that to the warden, whatever he called (setsid, a double fork). Signals go one way: the warden
//! takes them and writes each as a byte to a pipe, and the supervisor ignores them; so a terminal's
//! Ctrl-C, which goes to the whole group, arrives once. The pipe's end of file tells the supervisor
//! that the warden is dead, and then it ends everything itself. Only who kills both in the same
//! instant is left with what had called setsid and does not hold on to us.

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    process,
};

use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{Signal as Kernel, kill},
        signalfd::SignalFd,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};

use super::{
    signals,
    sweep::{child_news, sweep},
};
use pool::signal::Signal;

/// What a supervisor has that a warden waits for.
#[derive(Debug)]
pub struct Ward {
    /// The inner side of the door through which signals come.
    pub door: OwnedFd,
    /// The news that a child has ended, also one that was adopted.
    pub child_news: SignalFd,
}

/// Splits this process: what returns is the supervisor, a child of the process that was. That one
/// waits for it, and ends as it does. Where `sweeps`, it first ends all that is left.
///
/// # Errors
/// There are threads already, which a split would lose; or no process is to be had.
pub fn split(sweeps: bool) -> io::Result<Ward> {
    if fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
        return Err(io::Error::other("there are threads already"));
    }
    signals::accept_child_news()?;
    let (inner, outer) = signals::door()?;
    // Before the split: whoever sees a supervisor can signal its warden.
    signals::hear_as_warden(outer.as_raw_fd())?;
    // Likewise: a supervisor may start workers and be killed before its warden has run again.
    prctl::set_child_subreaper(sweeps)?;
    // SAFETY: there is but this thread, so the child is as whole as we are.
    match unsafe { fork() }? {
        ForkResult::Child => {
            signals::leave_to_warden();
            signals::outlive_full_files();
            drop(outer);
            prctl::set_child_subreaper(sweeps)?;
            Ok(Ward { door: inner, child_news: child_news()? })
        }
        ForkResult::Parent { child } => {
            drop(inner);
            let end = until_ended(child);
            if sweeps {
                let _ = child_news().and_then(|news| sweep(&news));
            }
            end_like(end)
        }
    }
}

/// Reaps whoever ends, until the supervisor does. Stops when that was stopped from the terminal,
/// so that the shell sees it, and wakes it when we are woken.
fn until_ended(supervisor: Pid) -> WaitStatus {
    loop {
        match waitpid(None, Some(WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Stopped(
                pid,
                by @ (Kernel::SIGTSTP | Kernel::SIGTTIN | Kernel::SIGTTOU),
            )) if pid == supervisor => {
                if let Some(by) = Signal::from_number(by as i32) {
                    signals::suspend(by);
                }
                // Not reaped yet, so this number is its own.
                let _ = kill(supervisor, Kernel::SIGCONT);
            }
            Ok(end @ (WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)))
                if pid == supervisor =>
            {
                return end;
            }
            Ok(_) | Err(Errno::EINTR) => {}
            // Nobody else can have reaped it.
            Err(_) => return WaitStatus::Exited(supervisor, 125),
        }
    }
}

fn end_like(end: WaitStatus) -> ! {
    match end {
        WaitStatus::Signaled(_, signal, _) => match Signal::from_number(signal as i32) {
            Some(signal) => signals::die_by(signal),
            None => process::exit(128 + signal as i32),
        },
        WaitStatus::Exited(_, code) => process::exit(code),
        _ => process::exit(125),
    }
}
