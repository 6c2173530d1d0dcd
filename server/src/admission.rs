//! Admission of clients: whether a client is served or refused, which failed accepts concern one
//! client only, and how often refusals are logged. Pure functions and state; time is an argument.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use nix::libc;

/// Clients that are refused at the same time with a wait for their request. Further clients are
/// refused without a wait, so that a flood of clients takes no descriptors from those served.
pub(crate) const REFUSING_MAX: usize = 64;
/// Time between two lines about refusals; the refusals in between are counted.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// How many connections are served at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// In total.
    pub(crate) total: u32,
    /// From one [`origin`].
    pub(crate) per_origin: Option<u32>,
}

/// Why a client is refused: all connections are in use, or all of its origin, of which there are this
/// many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    AllInUse(u32),
    OriginInUse(u32),
}

impl Places {
    /// Why another client cannot be served, if it cannot. `serving` connections are in use,
    /// `of_origin` of them by clients of the same origin.
    pub(crate) fn refusal(self, serving: usize, of_origin: usize) -> Option<Refusal> {
        let is_used_up = |used: usize, max: u32| used >= usize::try_from(max).unwrap_or(usize::MAX);
        match self.per_origin {
            _ if is_used_up(serving, self.total) => Some(Refusal::AllInUse(self.total)),
            Some(max) if is_used_up(of_origin, max) => Some(Refusal::OriginInUse(max)),
            _ => None,
        }
    }
}

impl Refusal {
    /// The reason for the client.
    pub(crate) fn for_client(self) -> String {
        match self {
            Self::AllInUse(max) => {
                format!("All connections are in use ({max} at once): try again later.")
            }
            Self::OriginInUse(max) => format!(
                "Your address has all the connections that it may have ({max} at once): close \
                 one, or try again later."
            ),
        }
    }

    /// The reason and the remedy for the log.
    pub(crate) fn for_log(self) -> String {
        match self {
            Self::AllInUse(max) => {
                format!("all connections are in use; raise --max-connections ({max})")
            }
            Self::OriginInUse(max) => {
                format!("too many from this address; raise --max-per-address ({max})")
            }
        }
    }
}

/// The clients that count as one: those of an IPv4 address, or of the first 64 bits of an IPv6
/// address, because a single IPv6 host can usually take any address with the same 64 bits.
pub(crate) fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(network).into()
        }
        address @ IpAddr::V4(_) => address,
    }
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
    fn a_client_is_served_while_it_and_its_origin_have_a_place() {
        let of = |per_origin| Places { total: 3, per_origin };
        for (places, serving, of_origin, refusal) in [
            (of(None), 0, 0, None),
            (of(None), 2, 2, None),
            (of(None), 3, 0, Some(Refusal::AllInUse(3))),
            (of(Some(2)), 2, 1, None),
            (of(Some(2)), 2, 2, Some(Refusal::OriginInUse(2))),
            (of(Some(2)), 3, 2, Some(Refusal::AllInUse(3))),
        ] {
            assert_eq!(places.refusal(serving, of_origin), refusal, "{places:?} {serving}");
        }
        assert!(may_wait(REFUSING_MAX - 1) && !may_wait(REFUSING_MAX));
    }

    #[test]
    fn an_origin_is_an_ipv4_address_or_half_an_ipv6_address() {
        for (one, other, is_same) in [
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8:0:1::5", "2001:db8:0:1:9::1", true),
            ("2001:db8:0:1::5", "2001:db8:0:2::5", false),
        ] {
            let origin = |text: &str| origin(text.parse().unwrap());
            assert_eq!(origin(one) == origin(other), is_same, "{one} {other}");
        }
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
