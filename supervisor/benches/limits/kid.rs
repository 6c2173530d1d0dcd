//! A child by `fork` with a pipe each way, and no program of its own.

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

/// As the parent sees it: ended when dropped.
pub(super) struct Kid {
    pid: Pid,
    pub(super) jobs: File,
    pub(super) replies: File,
}

impl Kid {
    /// Two of them, each of which does `body` with its jobs and its replies.
    pub(super) fn two(size: Option<i32>, body: impl Fn(File, File)) -> [Self; 2] {
        [Self::new(size, &body), Self::new(size, &body)]
    }

    fn new(size: Option<i32>, body: &impl Fn(File, File)) -> Self {
        let (theirs, jobs) = pipe(size);
        let (replies, answers) = pipe(size);
        // SAFETY: this process has no other thread whose locks the child would inherit.
        match unsafe { fork() }.expect("a child") {
            ForkResult::Parent { child } => Self { pid: child, jobs, replies },
            ForkResult::Child => {
                // The second inherits the first one's pipes, which thus do not end with the
                // parent: it must not be outlived.
                prctl::set_pdeathsig(Signal::SIGKILL).expect("an end");
                drop((jobs, replies));
                body(theirs, answers);
                // SAFETY: ends the process, running nothing that is the parent's to run.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// Makes the parent's ends return where they would wait.
    pub(super) fn without_waiting(&self) {
        for end in [self.jobs.as_fd(), self.replies.as_fd()] {
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("no waiting");
        }
    }
}

impl Drop for Kid {
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

/// What would wait counts as nothing.
pub(super) fn now(result: io::Result<usize>) -> usize {
    match result {
        Ok(0) => panic!("a child is gone"),
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => panic!("{error}"),
    }
}
