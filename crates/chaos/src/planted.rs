//! The behaviours that are planted in jobs, and the cause that the journal must record for each.

/// The planted behaviour of a job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Planted {
    /// Replies at once.
    Fine,
    /// Replies after some milliseconds.
    Slow,
    /// Prints noise to stdout, then replies.
    Chatters,
    /// Sends a large reply.
    Large,
    /// Leaves a daemon in a new session behind, then replies.
    Daemon,
    /// Replies, and breaks its worker: it fails each further job at once.
    Breaks,
    /// Reports a failure.
    Fails,
    /// Panics.
    Panics,
    /// Opens files until the limit refuses one, then reports a failure.
    Descriptors,
    /// Dies by a segmentation fault.
    Segv,
    /// Aborts.
    Aborts,
    /// Exits without a reply.
    Exits,
    /// Allocates memory without end.
    Leaks,
    /// Sends bytes that are not a message, then waits.
    Garbage,
    /// Closes its pipes, then lives on as another program.
    HangsUp,
    /// Waits forever.
    Hangs,
    /// Keeps the processor busy forever.
    Spins,
    /// Stops its own process.
    Stops,
    /// Kills its own process, which looks the same as a kill from outside.
    KillsItself,
}

use Planted::{
    Aborts, Breaks, Chatters, Daemon, Descriptors, Exits, Fails, Fine, Garbage, Hangs, HangsUp,
    KillsItself, Large, Leaks, Panics, Segv, Slow, Spins, Stops,
};

impl Planted {
    /// The harmful behaviours that end soon.
    pub(crate) const QUICK: [Self; 13] = [
        Chatters,
        Large,
        Daemon,
        Breaks,
        Fails,
        Panics,
        Descriptors,
        Segv,
        Aborts,
        Exits,
        Garbage,
        HangsUp,
        KillsItself,
    ];
    /// The harmful behaviours that last until the time limit or the memory limit.
    pub(crate) const LONG: [Self; 4] = [Leaks, Hangs, Spins, Stops];

    /// All behaviours.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Fine, Slow].into_iter().chain(Self::QUICK).chain(Self::LONG)
    }

    /// The word for this behaviour in a payload.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fine => "fine",
            Slow => "slow",
            Chatters => "chatters",
            Large => "large",
            Daemon => "daemon",
            Breaks => "breaks",
            Fails => "fails",
            Panics => "panics",
            Descriptors => "descriptors",
            Segv => "segv",
            Aborts => "aborts",
            Exits => "exits",
            Leaks => "leaks",
            Garbage => "garbage",
            HangsUp => "hangs-up",
            Hangs => "hangs",
            Spins => "spins",
            Stops => "stops",
            KillsItself => "kills-itself",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|planted| planted.name() == name)
    }

    /// How the recorded cause must begin if the worker is not harmed from outside.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Fine | Slow | Chatters | Large | Daemon | Breaks => "ok",
            Fails | Descriptors => "error",
            Panics => "panic",
            Segv | Aborts => "signal",
            Exits => "exit",
            Leaks => "memory",
            Garbage => "protocol error: a frame that is no message",
            HangsUp => "protocol error: it closed the pipe",
            Hangs | Spins | Stops => "timeout",
            KillsItself => "outside",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_behaviour_has_its_own_name() {
        for planted in Planted::all() {
            assert_eq!(Planted::from_name(planted.name()), Some(planted));
        }
        assert_eq!(Planted::all().map(Planted::name).collect::<BTreeSet<_>>().len(), 19);
    }
}
