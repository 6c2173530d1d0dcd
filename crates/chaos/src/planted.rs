//! What may a job do, and how must that be told?

/// What a job does when it is run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Planted {
    /// Replies.
    Fine,
    /// Replies after some milliseconds.
    Slow,
    /// Prints what nobody asked for, and replies.
    Chatters,
    /// Replies at length.
    Large,
    /// Leaves a daemon in a session of its own behind, and replies.
    Daemon,
    /// Says that it failed.
    Fails,
    /// Panics.
    Panics,
    /// Opens files until it may not, and says that it failed.
    Descriptors,
    /// A segmentation fault.
    Segv,
    /// Aborts.
    Aborts,
    /// Exits in the midst of it.
    Exits,
    /// Takes memory without end.
    Leaks,
    /// Sends what is no message, and waits.
    Garbage,
    /// Closes its pipes, and lives on as another program.
    HangsUp,
    /// Waits for ever.
    Hangs,
    /// Is busy for ever.
    Spins,
    /// Stops its own process.
    Stops,
    /// Kills its own process, which nobody can tell from somebody else's doing.
    KillsItself,
}

use Planted::{
    Aborts, Chatters, Daemon, Descriptors, Exits, Fails, Fine, Garbage, Hangs, HangsUp,
    KillsItself, Large, Leaks, Panics, Segv, Slow, Spins, Stops,
};

impl Planted {
    /// Those that are over soon, and hurt.
    pub(crate) const QUICK: [Self; 12] = [
        Chatters,
        Large,
        Daemon,
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
    /// Those that take their time: a limit's, or a memory's.
    pub(crate) const LONG: [Self; 4] = [Leaks, Hangs, Spins, Stops];

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Fine, Slow].into_iter().chain(Self::QUICK).chain(Self::LONG)
    }

    /// The word for it in a payload.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fine => "fine",
            Slow => "slow",
            Chatters => "chatters",
            Large => "large",
            Daemon => "daemon",
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

    /// How the cause of its attempts must begin, where nobody interferes.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Fine | Slow | Chatters | Large | Daemon => "ok",
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
    fn each_has_a_name_of_its_own() {
        for planted in Planted::all() {
            assert_eq!(Planted::from_name(planted.name()), Some(planted));
        }
        assert_eq!(Planted::all().map(Planted::name).collect::<BTreeSet<_>>().len(), 18);
    }
}
