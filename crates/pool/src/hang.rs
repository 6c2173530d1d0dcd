//! Describes what a job was doing when it reached its time limit. The supervisor examines the job
//! twice, after half of its time limit and at its end. The difference shows whether the job
//! computed, waited, or got no processor.

use std::{fmt, time::Duration};

/// Observations of a job's processes, just before the supervisor stopped the job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hang {
    /// Time between the two examinations.
    pub window: Duration,
    /// The processor time that all processes of the job used in the meantime.
    pub cpu: Duration,
    /// How long threads of the job waited for a processor between the two examinations.
    pub unserved: Duration,
    /// The processes of the job, the oldest first.
    pub processes: Vec<Seen>,
}

/// A process at the second examination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Its process id.
    pub pid: i32,
    /// The kernel's short name for its program.
    pub name: String,
    /// Its state: `R` runs, `S` sleeps, `D` waits for a disk, `T` is stopped, `Z` has ended.
    pub state: char,
    /// The kernel function in which its first thread sleeps, if the supervisor may read it.
    pub wchan: Option<String>,
    /// The kernel stack of that thread, innermost function first, if the supervisor may read it.
    pub stack: Vec<String>,
}

/// The kinds of hang.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Every process was stopped.
    Stopped,
    /// The job computed.
    Busy,
    /// The job was ready to run, but other processes used the processors.
    Starved,
    /// The job waited for a disk, or for a file system that does not answer.
    Disk,
    /// The job waited for something else.
    Asleep,
}

impl Hang {
    /// A job is busy (or starved) if it was so for at least `1 / SHARE` of the time.
    const SHARE: u32 = 2;

    /// The kind of this hang.
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

    /// The process that the others probably wait for: the youngest one that waits for no child.
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
    fn a_hang_is_described_by_what_was_seen() {
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
