//! Admission of clients: how many are served at once, which failed accepts concern one client only,
//! and how often refusals are logged. Pure functions and state; time is an argument.

use std::time::Duration;

use nix::libc;

/// Clients that are refused at the same time with a wait for their request. Further clients are
/// refused without a wait, so that a flood of clients takes no descriptors from those served.
pub(crate) const REFUSING_MAX: usize = 64;
/// Time between two lines about refusals; the refusals in between are counted.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Whether another client can be served.
pub(crate) fn has_room(serving: usize, serving_max: u32) -> bool {
    u32::try_from(serving).is_ok_and(|serving| serving < serving_max)
}

/// Whether the server waits for the request of another client that it refuses.
pub(crate) fn may_wait(refusing: usize) -> bool {
    refusing < REFUSING_MAX
}

/// Whether a failed accept concerns one client only, which left before it was accepted: then the
/// next client is accepted at once. Other errors (no descriptors, no memory) concern the server and
/// pass with time.
pub(crate) fn is_about_client(errno: i32) -> bool {
    [
        libc::ECONNABORTED,
        libc::EINTR,
        // accept(2) reports pending errors of the new socket, and says to treat these as EAGAIN.
        libc::ENETDOWN,
        libc::EPROTO,
        libc::ENOPROTOOPT,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::EHOSTUNREACH,
        libc::EOPNOTSUPP,
        libc::ENETUNREACH,
    ]
    .contains(&errno)
}

/// Counts refused clients, and limits how often they are logged.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    total: u64,
    unlogged: u64,
    logged_at: Option<Duration>,
}

impl Refusals {
    /// Counts a refusal. If it is time for a line, returns the number of refusals since the last
    /// line, without this one.
    pub(crate) fn count(&mut self, now: Duration) -> Option<u64> {
        self.total += 1;
        if self.logged_at.is_some_and(|at| now < at + LINE_EVERY) {
            self.unlogged += 1;
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_up_to_the_maximum() {
        for (serving, room) in [(0, true), (1, true), (2, false), (3, false), (usize::MAX, false)] {
            assert_eq!(has_room(serving, 2), room, "{serving}");
        }
        assert!(may_wait(REFUSING_MAX - 1) && !may_wait(REFUSING_MAX));
    }

    #[test]
    fn only_errors_about_one_client_are_retried_at_once() {
        assert!(is_about_client(libc::ECONNABORTED) && is_about_client(libc::EPROTO));
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EINVAL, 0] {
            assert!(!is_about_client(errno), "{errno}");
        }
    }

    #[test]
    fn a_flood_of_refusals_is_one_line_per_second() {
        let mut refusals = Refusals::default();
        let mut at = |ms| refusals.count(Duration::from_millis(ms));
        assert_eq!(
            [at(0), at(1), at(999), at(1000), at(1001)],
            [Some(0), None, None, Some(2), None]
        );
        assert_eq!(refusals.total(), 5);
    }
}
