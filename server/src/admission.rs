//! What becomes of a client that knocks? Whether it is served, what a failed accept means, and
//! how often refusals are worth a line. No IO here.

use std::time::Duration;

use nix::libc;

/// So many clients are waited for while they are told that they cannot be served; the rest are
/// told without waiting, so that a flood of them takes no descriptors from those who are served.
pub(crate) const TELLING_MAX: usize = 64;
/// Refusals are said no more often, and counted in between.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// Whether a client is served when so many are already.
pub(crate) fn has_room(serving: usize, serving_max: u32) -> bool {
    u32::try_from(serving).is_ok_and(|serving| serving < serving_max)
}

/// Whether a client that is not served is waited for, until it has asked and heard.
pub(crate) fn may_wait(telling: usize) -> bool {
    telling < TELLING_MAX
}

/// Whether a failed accept was about one client, who left before it was his turn: then the next
/// is accepted at once. All else is about us (no descriptors, no memory), and passes with time.
pub(crate) fn client_left(errno: i32) -> bool {
    [
        libc::ECONNABORTED,
        libc::EINTR,
        // What accept(2) says to take for a pending error of the new socket.
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

/// The refusals so far.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    total: u64,
    unsaid: u64,
    said: Option<Duration>,
}

impl Refusals {
    /// Counts one. If it is time for a line: how many have gone unmentioned before it.
    pub(crate) fn count(&mut self, now: Duration) -> Option<u64> {
        self.total += 1;
        if self.said.is_some_and(|said| now < said + BETWEEN_LINES) {
            self.unsaid += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_for_as_many_as_were_asked_for() {
        for (serving, room) in [(0, true), (1, true), (2, false), (3, false), (usize::MAX, false)] {
            assert_eq!(has_room(serving, 2), room, "{serving}");
        }
        assert!(may_wait(TELLING_MAX - 1) && !may_wait(TELLING_MAX));
    }

    #[test]
    fn only_what_is_about_one_client_is_tried_again_at_once() {
        assert!(client_left(libc::ECONNABORTED) && client_left(libc::EPROTO));
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EINVAL, 0] {
            assert!(!client_left(errno), "{errno}");
        }
    }

    #[test]
    fn a_flood_of_refusals_is_a_line_a_second() {
        let mut refusals = Refusals::default();
        let mut at = |ms| refusals.count(Duration::from_millis(ms));
        assert_eq!(
            [at(0), at(1), at(999), at(1000), at(1001)],
            [Some(0), None, None, Some(2), None]
        );
        assert_eq!(refusals.total(), 5);
    }
}
