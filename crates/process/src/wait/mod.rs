//! Waiting for processes: when they end, how they ended, and reaping them.
//!
//! The order is the same everywhere: wait through a pidfd, examine the ended process, signal what
//! is left of its group, then reap it. Until it is reaped the kernel keeps its usage and its
//! number.

mod exit;
mod pidfd;
mod reap;

pub use self::{
    exit::{Exit, examine, reap_child},
    pidfd::{kill_group_of, pidfd, pidfd_of_child, signal_if_same, signal_process},
    reap::{Children, first_ended, has_ended, reap_any, sigchld_fd, try_reap},
};
