//! Signals by number and name, as Linux has them on x86, Arm and RISC-V.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// Requests to stop within this time of each other count as one, because `timeout`, shells and
/// service managers send a signal to both the process group and its leader.
pub const SAME_REQUEST: Duration = Duration::from_secs(1);

/// A signal number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Signal(u8);

/// Names of 1 to 31, in order.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The first real-time signal that a program may use: the C library keeps 32 and 33 for itself.
const RTMIN: u8 = 34;
const MAX: u8 = 64;

impl Signal {
    /// The terminal closed; for the supervisor, a request to roll the workers.
    pub const HUP: Self = Self(1);
    /// Ctrl-C.
    pub const INT: Self = Self(2);
    /// Ctrl-\.
    pub const QUIT: Self = Self(3);
    /// `abort`.
    pub const ABRT: Self = Self(6);
    /// Ends a process, which cannot refuse it.
    pub const KILL: Self = Self(9);
    /// For the supervisor, a request to print the running jobs.
    pub const USR1: Self = Self(10);
    /// An access to an address that is not mapped.
    pub const SEGV: Self = Self(11);
    /// A write to a pipe that nobody reads.
    pub const PIPE: Self = Self(13);
    /// The usual request to end.
    pub const TERM: Self = Self(15);
    /// Wakes a stopped process.
    pub const CONT: Self = Self(18);
    /// Stops a process, which cannot refuse it.
    pub const STOP: Self = Self(19);
    /// Ctrl-Z.
    pub const TSTP: Self = Self(20);
    /// A process in the background reads from the terminal.
    pub const TTIN: Self = Self(21);
    /// A process in the background writes to the terminal.
    pub const TTOU: Self = Self(22);
    /// The size of the terminal changed. Programs ignore it by default.
    pub const WINCH: Self = Self(28);
    /// The CPU limit was reached.
    pub const XCPU: Self = Self(24);
    /// A file would have grown beyond its limit.
    pub const XFSZ: Self = Self(25);

    /// The signal with this number; `None` outside of 1 to 64.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        u8::try_from(number).ok().filter(|n| (1..=MAX).contains(n)).map(Self)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }

    /// Whether a program normally causes this signal itself: by a fault, `abort`, a limit, a closed
    /// pipe or its own timer.
    #[must_use]
    pub fn is_own_fault(self) -> bool {
        const OWN: [&str; 12] = [
            "ILL", "TRAP", "ABRT", "BUS", "FPE", "SEGV", "PIPE", "ALRM", "XCPU", "XFSZ", "VTALRM",
            "SYS",
        ];
        NAMES.get(usize::from(self.0) - 1).is_some_and(|name| OWN.contains(name))
    }
}

/// The signals that end a process which does not handle them, without those that it can only get by
/// a fault of its own and without KILL. The real-time signals start above the two that the C library
/// keeps for itself.
pub fn fatal_if_unhandled() -> impl Iterator<Item = Signal> {
    const NAMED: [&str; 14] = [
        "HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "STKFLT", "XCPU", "XFSZ", "VTALRM",
        "PROF", "IO", "PWR",
    ];
    let named = (1..).zip(NAMES).filter(|(_, name)| NAMED.contains(name)).map(|(number, _)| number);
    named.chain(RTMIN..=MAX).map(Signal)
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0) - 1) {
            Some(name) => write!(f, "SIG{name}"),
            None if self.0 < RTMIN => write!(f, "signal {}", self.0),
            None if self.0 == RTMIN => write!(f, "SIGRTMIN"),
            None => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
        }
    }
}

/// An unknown signal name or number. The message explains the accepted forms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a signal: write a name or a number from 1 to 64, such as TERM, SIGINT or 15")]
pub struct UnknownSignal(String);

impl TryFrom<i32> for Signal {
    type Error = UnknownSignal;

    fn try_from(number: i32) -> Result<Self, UnknownSignal> {
        Self::from_number(number).ok_or_else(|| UnknownSignal(number.to_string()))
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> Self {
        signal.number()
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let number = match name.strip_prefix("RTMIN") {
            Some("") => Some(i32::from(RTMIN)),
            Some(more) => {
                let digits = more.strip_prefix('+').filter(|n| !n.starts_with(['-', '+']));
                let offset = digits.and_then(|n| n.parse::<i32>().ok());
                offset.and_then(|n| n.checked_add(i32::from(RTMIN)))
            }
            None => name.parse().ok().or_else(|| {
                let index = NAMES.iter().position(|known| *known == name)?;
                i32::try_from(index + 1).ok()
            }),
        };
        number.and_then(Self::from_number).ok_or_else(|| UnknownSignal(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_name_that_reads_back() {
        for number in 1..=64 {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(number.to_string().parse(), Ok(signal));
            if ![32, 33].contains(&number) {
                assert_eq!(signal.to_string().parse(), Ok(signal), "{signal}");
            }
        }
        assert_eq!(Signal::KILL.to_string(), "SIGKILL");
        assert_eq!(Signal::from_number(64).unwrap().to_string(), "SIGRTMIN+30");
        assert_eq!("term".parse(), Ok(Signal::TERM));
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in ["", "0", "65", "-1", "SIGNOPE", "RTMIN+31", "RTMIN+-5", "RTMIN+2147483647"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }
}
