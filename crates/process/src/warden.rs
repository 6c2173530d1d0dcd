//! The warden: the parent process of a supervisor. It waits for the supervisor, forwards signals to
//! it, and when the supervisor is gone, even by `kill -9`, it kills all remaining descendants and
//! ends the way the supervisor did.
//!
//! Both processes are child-subreapers. While the supervisor lives, orphaned descendants are
//! reparented to it, and after that to the warden, whatever they called (setsid, a double fork).
//! Signals go one way: the warden handles them and writes each as a byte to a pipe, and the
//! supervisor ignores them, so that a Ctrl-C at the terminal, which goes to the whole group, arrives
//! once. The end of file of the pipe tells the supervisor that the warden is dead; then the
//! supervisor kills everything itself. If both are killed at the same moment, only processes that
//! have called setsid and hold no descriptor of the supervisor survive.

use std::{
    ffi::OsStr,
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    process, thread,
};

use nix::{
    errno::Errno,
    sys::{prctl, signalfd::SignalFd},
    unistd::{ForkResult, fork},
};

use pool::signal::Signal;

use crate::{notify::ServiceManager, signals, tree::kill_descendants, wait::sigchld_fd};

/// What a supervisor that runs below a warden starts with.
#[derive(Debug)]
pub struct Ward {
    /// The service manager, if there is one, or why it cannot be notified.
    pub service_manager: Option<io::Result<ServiceManager>>,
    /// The read end of the pipe through which the warden forwards signals.
    pub signal_pipe: OwnedFd,
    /// Becomes readable when a child ends, reparented children included.
    pub sigchld: SignalFd,
}

/// Splits this process into a warden and a supervisor. The call returns in the supervisor, which is
/// a child of the process that called; that process becomes the warden and never returns. With
/// `kills_descendants` the warden kills what is left before it ends. `notify` names the socket of
/// the service manager that started this process.
///
/// # Errors
/// There are threads already, which the supervisor would lose, or no process can be created.
pub fn split(kills_descendants: bool, notify: Option<&OsStr>) -> io::Result<Ward> {
    if fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
        return Err(io::Error::other("there are threads already"));
    }
    signals::accept_sigchld()?;
    let (read, write) = signals::signal_pipe()?;
    // Before the fork, so that the warden forwards signals from the first moment at which a
    // supervisor can be seen.
    signals::forward_to_supervisor(write.as_raw_fd())?;
    // Before the fork too: the supervisor may start workers and be killed before the warden runs.
    prctl::set_child_subreaper(kills_descendants)?;
    let relayed = notify.map(|name| ServiceManager::connect(name)?.relayed());
    let (service_manager, relay) = match relayed.transpose() {
        Ok(relayed) => {
            let (manager, relay) = relayed.unzip();
            (manager.map(Ok), relay)
        }
        Err(error) => (Some(Err(error)), None),
    };
    // SAFETY: this is the only thread, so the child has everything that this process has.
    match unsafe { fork() }? {
        ForkResult::Child => {
            signals::ignore_forwarded();
            drop((write, relay));
            prctl::set_child_subreaper(kills_descendants)?;
            Ok(Ward { service_manager, signal_pipe: read, sigchld: sigchld_fd()? })
        }
        ForkResult::Parent { child } => {
            drop((read, service_manager));
            // The write end stays open in the warden, where handlers write to it.
            let relay = relay.map(|relay| thread::spawn(move || relay.run()));
            let end = until_ended(child.as_raw());
            // The supervisor has closed its end, so the thread ends once everything is passed on.
            // No thread must be left that takes SIGCHLD.
            let _ = relay.map(thread::JoinHandle::join);
            if kills_descendants {
                let _ = sigchld_fd().and_then(|sigchld| kill_descendants(&sigchld));
            }
            end_like(end)
        }
    }
}

/// How a supervisor ended.
enum End {
    Code(i32),
    Signal(i32),
}

/// Reaps children until the supervisor ends. When the supervisor suspends itself, the warden stops
/// too, so that the shell sees it, and resumes the supervisor when it is resumed itself.
fn until_ended(supervisor: libc::pid_t) -> End {
    loop {
        let mut status = 0;
        // SAFETY: waitpid stores one integer at the address given, which is that of `status`. The raw
        // call is needed because nix has no names for the real-time signals.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WUNTRACED) };
        if pid < 0 && Errno::last() != Errno::EINTR {
            // Nothing else in this process can have reaped it.
            return End::Code(125);
        }
        if pid != supervisor {
            continue;
        }
        if libc::WIFSTOPPED(status) {
            let by = Signal::from_number(libc::WSTOPSIG(status));
            if let Some(by) = by.filter(|by| *by != Signal::STOP) {
                signals::suspend(by);
                // The supervisor is not reaped, so the number is still its own.
                signals::signal_child(supervisor, Signal::CONT);
                signals::note_resumed();
            }
        } else if libc::WIFEXITED(status) {
            return End::Code(libc::WEXITSTATUS(status));
        } else if libc::WIFSIGNALED(status) {
            return End::Signal(libc::WTERMSIG(status));
        }
    }
}

fn end_like(end: End) -> ! {
    match end {
        End::Signal(number) => match Signal::from_number(number) {
            Some(signal) => signals::die_by(signal),
            None => process::exit(128 + number),
        },
        End::Code(code) => process::exit(code),
    }
}
