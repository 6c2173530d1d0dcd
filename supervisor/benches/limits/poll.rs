//! Calls `epoll` as a C program would.

use std::{
    fs::File,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

pub(super) const READ: u32 = libc::EPOLLIN.cast_unsigned();
pub(super) const WRITE: u32 = libc::EPOLLOUT.cast_unsigned();
const EVENTS: usize = 16;

pub(super) struct Poll {
    epoll: OwnedFd,
    events: [libc::epoll_event; EVENTS],
}

impl Poll {
    pub(super) fn new() -> Self {
        // SAFETY: epoll_create1 takes a flag and returns a descriptor.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(epoll >= 0, "epoll");
        // SAFETY: the descriptor is new, and nothing else owns it.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        Self { epoll, events: [libc::epoll_event { events: 0, u64: 0 }; EVENTS] }
    }

    pub(super) fn add(&self, file: &File, events: u32, token: u64) {
        self.control(libc::EPOLL_CTL_ADD, file, events, token);
    }

    pub(super) fn change(&self, file: &File, events: u32, token: u64) {
        self.control(libc::EPOLL_CTL_MOD, file, events, token);
    }

    fn control(&self, act: i32, file: &File, events: u32, token: u64) {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: both descriptors are open, and the event outlives the call.
        let result = unsafe {
            libc::epoll_ctl(self.epoll.as_raw_fd(), act, file.as_raw_fd(), &raw mut event)
        };
        assert_eq!(result, 0, "epoll_ctl");
    }

    /// Waits for events, and returns their number.
    pub(super) fn wait(&mut self) -> usize {
        let room = i32::try_from(EVENTS).unwrap();
        // SAFETY: the array has room for `room` events.
        let count =
            unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), room, -1) };
        usize::try_from(count).expect("epoll_wait")
    }

    pub(super) fn token(&self, at: usize) -> u64 {
        self.events[at].u64
    }
}
