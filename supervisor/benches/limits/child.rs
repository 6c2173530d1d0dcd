//! A forked child that runs a function of this program, with one pipe in each direction.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{prctl, signal::Signal, wait},
    unistd::{ForkResult, Pid, fork},
};

/// The parent's handle of a child, which is killed when dropped.
pub(super) struct Child {
    pid: Pid,
    pub(super) jobs: File,
    pub(super) replies: File,
}

impl Child {
    /// Starts two children, each of which calls `body` with its ends of the jobs and replies pipes.
    pub(super) fn two(size: Option<i32>, body: impl Fn(File, File)) -> [Self; 2] {
        [Self::new(size, &body), Self::new(size, &body)]
    }

    fn new(size: Option<i32>, body: &impl Fn(File, File)) -> Self {
        let (child_jobs, jobs) = pipe(size);
        let (replies, child_replies) = pipe(size);
        // SAFETY: this process has no other thread whose locks the child would inherit.
        match unsafe { fork() }.expect("a child") {
            ForkResult::Parent { child } => Self { pid: child, jobs, replies },
            ForkResult::Child => {
                // The second child inherits the pipes of the first, which therefore stay open after
                // the parent's end. The kernel has to kill both children when the parent dies.
                prctl::set_pdeathsig(Signal::SIGKILL).expect("a death signal");
                drop((jobs, replies));
                body(child_jobs, child_replies);
                // SAFETY: _exit ends the process and runs none of the parent's exit handlers.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// Makes the parent's ends of the pipes non-blocking.
    pub(super) fn set_nonblocking(&self) {
        for end in [self.jobs.as_fd(), self.replies.as_fd()] {
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a non-blocking pipe");
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(self.pid, Signal::SIGKILL);
        let _ = wait::waitpid(self.pid, None);
    }
}

fn pipe(size: Option<i32>) -> (File, File) {
    let (reader, writer) = io::pipe().expect("a pipe");
    if let Some(size) = size {
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(size)).expect("a larger pipe");
    }
    (OwnedFd::from(reader).into(), OwnedFd::from(writer).into())
}

/// Returns the bytes read or written, or 0 if the call would block.
pub(super) fn now(result: io::Result<usize>) -> usize {
    match result {
        Ok(0) => panic!("a child is gone"),
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => panic!("{error}"),
    }
}
