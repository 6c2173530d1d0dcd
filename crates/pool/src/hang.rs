//! What was a job doing when its time was over? Looked at twice, at half its time and at its end:
//! what was used in between tells who was busy, who waited, and who never had a turn.

use std::{fmt, time::Duration};

/// What was seen of what does a job, just before it was ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hang {
    /// How long it was watched.
    pub window: Duration,
    /// What it used of processors meanwhile, with all that descends from it.
    pub cpu: Duration,
    /// How long its threads were ready to run meanwhile, and had no processor.
    pub unserved: Duration,
    /// Its processes: the first is the oldest.
    pub processes: Vec<Seen>,
}

/// A process, at that moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Which.
    pub pid: i32,
    /// What it runs, by the kernel's short name.
    pub name: String,
    /// What it does: `R` runs, `S` sleeps, `D` waits for a disk, `T` is stopped, `Z` has ended.
    pub state: char,
    /// In which function of the kernel its first thread sleeps, where that is ours to know.
    pub wchan: Option<String>,
    /// How it came there, innermost first, where that is ours to know.
    pub stack: Vec<String>,
}

/// What a hang looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Every process was stopped.
    Stopped,
    /// It computed.
    Busy,
    /// It was ready to run, and others had the processors.
    Starved,
    /// It waited for a disk, or for a file system that does not answer.
    Disk,
    /// It waited for something.
    Asleep,
}

impl Hang {
    /// Half of the time is a lot.
    const SHARE: u32 = 2;

    /// What it looks like.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let mut living = self.processes.iter().filter(|seen| seen.state != 'Z').peekable();
        if living.peek().is_some() && living.all(|seen| ['T', 't'].contains(&seen.state)) {
            Kind::Stopped
        } else if self.window.is_zero() {
            Kind::Asleep
        } else if self.cpu * Self::SHARE >= self.window {
            Kind::Busy
        } else if self.unserved * Self::SHARE >= self.window {
            Kind::Starved
        } else if self.processes.iter().any(|seen| seen.state == 'D') {
            Kind::Disk
        } else {
            Kind::Asleep
        }
    }

    /// The one that the others wait for: the youngest that waits for no child.
    #[must_use]
    pub fn culprit(&self) -> Option<&Seen> {
        let waits = |seen: &&Seen| seen.wchan.as_deref() != Some("do_wait") && seen.state != 'Z';
        self.processes.iter().rev().find(waits).or(self.processes.last())
    }

    fn percent(&self, part: Duration) -> u128 {
        part.as_nanos() * 100 / self.window.as_nanos().max(1)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "stopped",
            Self::Busy => "busy",
            Self::Starved => "starved",
            Self::Disk => "disk",
            Self::Asleep => "asleep",
        })
    }
}

impl fmt::Display for Hang {
    /// `it was busy: 99 % of a processor`, `it slept: node in ep_poll`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        let (used, unserved) = (self.percent(self.cpu), self.percent(self.unserved));
        match kind {
            Kind::Stopped => return f.write_str("it was stopped"),
            Kind::Busy => return write!(f, "it was busy: {used} % of a processor"),
            Kind::Starved => {
                let share = "of the time it waited for a processor";
                return write!(f, "it was starved: {unserved} % {share}, and had {used} % of one");
            }
            Kind::Disk => f.write_str("it waited for a disk")?,
            Kind::Asleep => f.write_str("it slept")?,
        }
        match self.culprit() {
            Some(Seen { name, wchan: Some(wchan), .. }) => write!(f, ": {name} in {wchan}"),
            Some(Seen { name, .. }) => write!(f, ": {name}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(state: char, wchan: &str) -> Seen {
        let wchan = Some(wchan.to_owned()).filter(|wchan| !wchan.is_empty());
        Seen { pid: 7, name: "node".into(), state, wchan, stack: Vec::new() }
    }

    #[test]
    fn what_was_seen_is_put_in_words() {
        let of = |cpu_ms, unserved_ms, processes: &[Seen]| Hang {
            window: Duration::from_secs(1),
            cpu: Duration::from_millis(cpu_ms),
            unserved: Duration::from_millis(unserved_ms),
            processes: processes.to_vec(),
        };
        let (shell, asleep) = (seen('S', "do_wait"), seen('S', "ep_poll"));
        for (hang, kind, words) in [
            (of(990, 5, &[seen('R', "")]), Kind::Busy, "it was busy: 99 % of a processor"),
            (of(0, 0, &[seen('T', "")]), Kind::Stopped, "it was stopped"),
            (of(0, 0, &[seen('T', ""), seen('Z', "")]), Kind::Stopped, "it was stopped"),
            (
                of(40, 900, &[seen('R', "")]),
                Kind::Starved,
                "it was starved: 90 % of the time it waited for a processor, and had 4 % of one",
            ),
            (of(1, 0, &[seen('D', "nfs")]), Kind::Disk, "it waited for a disk: node in nfs"),
            (of(1, 0, &[shell.clone(), asleep]), Kind::Asleep, "it slept: node in ep_poll"),
            (of(1, 0, &[seen('S', "x"), shell]), Kind::Asleep, "it slept: node in x"),
            (of(1, 0, &[seen('S', "")]), Kind::Asleep, "it slept: node"),
            (of(0, 0, &[]), Kind::Asleep, "it slept"),
        ] {
            assert_eq!((hang.kind(), hang.to_string().as_str()), (kind, words));
        }
    }
}
