//! What is compared with what? The work, how it goes wrong, and the ways of running it.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use text::units::{show_duration, show_size};

/// What each job does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A request to an upstream on the loopback interface, which answers after a delay.
    Http,
    /// A Fibonacci number by plain recursion: nothing but CPU time.
    Fib,
    /// Waiting for the delay.
    Sleep,
    /// Nothing: what is left is the cost of the way itself.
    Echo,
    /// In turns: a long request, other work of a fifth of its time, a job that is busy for as
    /// long and never yields, and a short one that has such neighbours.
    Mixed,
}

/// What a faulty job does instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No job is faulty.
    None,
    /// It panics.
    Panic,
    /// It calls `abort`.
    Abort,
    /// It writes to an address that is not its own.
    Segv,
    /// It takes memory and gives none back, until there is no more to be had.
    Leak,
    /// It waits for what will never come, in a call that blocks.
    Hang,
    /// It loops, and never waits for anything.
    Spin,
    /// It ends its process, with success.
    Exit,
    /// It takes a lock that all jobs need now and then, and never gives it back.
    Deadlock,
}

/// How jobs are run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// One after another, in one thread.
    Serial,
    /// Async tasks on one thread.
    Tasks,
    /// Async tasks on a runtime with a thread for each processor.
    Runtime,
    /// Threads that take jobs from a queue.
    Threads,
    /// Worker processes that get jobs over pipes: `supervisor run`.
    Workers,
    /// A process for each job: `supervisor each`.
    Each,
}

impl Work {
    /// All of them, by name.
    pub const ALL: [(&str, Self); 5] = [
        ("http", Self::Http),
        ("fib", Self::Fib),
        ("sleep", Self::Sleep),
        ("echo", Self::Echo),
        ("mixed", Self::Mixed),
    ];

    /// Whether it needs an upstream.
    #[must_use]
    pub fn is_online(self) -> bool {
        matches!(self, Self::Http | Self::Mixed)
    }

    /// Whether its jobs wait more than they compute.
    #[must_use]
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Http | Self::Sleep)
    }
}

impl Fault {
    /// All of them, by name.
    pub const ALL: [(&str, Self); 9] = [
        ("none", Self::None),
        ("panic", Self::Panic),
        ("abort", Self::Abort),
        ("segv", Self::Segv),
        ("leak", Self::Leak),
        ("hang", Self::Hang),
        ("spin", Self::Spin),
        ("exit", Self::Exit),
        ("deadlock", Self::Deadlock),
    ];
}

impl Way {
    /// All of them, by name, in the order of what they isolate.
    pub const ALL: [(&str, Self); 6] = [
        ("serial", Self::Serial),
        ("tasks", Self::Tasks),
        ("runtime", Self::Runtime),
        ("threads", Self::Threads),
        ("workers", Self::Workers),
        ("each", Self::Each),
    ];

    /// What it is, for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Serial => "one after another",
            Self::Tasks => "tasks on one thread",
            Self::Runtime => "tasks on many threads",
            Self::Threads => "threads",
            Self::Workers => "worker processes",
            Self::Each => "a process per job",
        }
    }

    /// Whether jobs share nothing but the kernel.
    #[must_use]
    pub fn is_isolated(self) -> bool {
        matches!(self, Self::Workers | Self::Each)
    }
}

/// Display and reading by the names in `ALL`.
macro_rules! named {
    ($kind:ident, $what:literal) => {
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let (name, _) =
                    Self::ALL.iter().find(|(_, it)| it == self).unwrap_or(&Self::ALL[0]);
                f.pad(name)
            }
        }

        impl FromStr for $kind {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let found = Self::ALL.iter().find(|(name, _)| *name == text);
                found.map(|(_, it)| *it).ok_or_else(|| {
                    let names: Vec<_> = Self::ALL.iter().map(|(name, _)| *name).collect();
                    format!("`{text}` is no {}; write one of {}", $what, names.join(", "))
                })
            }
        }
    };
}

named!(Work, "kind of work");
named!(Fault, "fault");
named!(Way, "way of running jobs");

/// All that one way of running the jobs once must know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// What the jobs do.
    pub work: Work,
    /// How many there are, numbered from 1.
    pub jobs: u64,
    /// How many at a time.
    pub workers: u32,
    /// What the faulty ones do.
    pub fault: Fault,
    /// How many are faulty, if any.
    pub faulty: u64,
    /// Which Fibonacci number.
    pub fib: u32,
    /// Bytes that each job carries there and back.
    pub payload_bytes: usize,
    /// How long an upstream takes to answer, and a job of `sleep` waits.
    pub delay: Duration,
    /// A job that takes longer hangs.
    pub timeout: Duration,
    /// The memory that each process may have where a job leaks.
    pub memory_bytes: u64,
    /// Where the upstream listens.
    pub upstream: String,
}

/// What a job without fault does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Fetch(Duration),
    Wait(Duration),
    Busy(Duration),
    Fib(u32),
    Nothing,
}

impl Plan {
    /// How long the neighbour of a busy job takes.
    const SHORT: Duration = Duration::from_millis(10);

    /// Whether this job is to go wrong: they are spread evenly, so that one of a hundred is
    /// the fiftieth.
    #[must_use]
    pub fn is_faulty(&self, id: u64) -> bool {
        if self.fault == Fault::None {
            return false;
        }
        let (parts, length) = (u128::from(self.faulty) + 1, u128::from(self.jobs) + 1);
        let part = (u128::from(id) * parts).div_ceil(length);
        (1..parts).contains(&part) && part * length / parts == u128::from(id)
    }

    /// Whether this job is short, among some that are not.
    #[must_use]
    pub fn is_short(&self, id: u64) -> bool {
        self.work == Work::Mixed && self.kind(id) == Kind::Wait(Self::SHORT)
    }

    /// What a job does, in a few words.
    #[must_use]
    pub fn describe(&self) -> String {
        let delay = show_duration(self.delay);
        let fifth = show_duration(self.delay / 5);
        let work = match self.work {
            Work::Http => format!("an HTTP request of {delay}"),
            Work::Fib => format!("fibonacci({})", self.fib),
            Work::Sleep => format!("{delay} of sleep"),
            Work::Echo => "nothing but an answer".into(),
            Work::Mixed => format!(
                "in turns an HTTP request of {delay}, {fifth} of waiting, {fifth} of computing \
                 without a pause, and {} of waiting",
                show_duration(Self::SHORT)
            ),
        };
        match self.payload_bytes {
            0 => work,
            bytes => format!("{work}, with {} there and back", show_size(bytes as u64)),
        }
    }

    pub(crate) fn kind(&self, id: u64) -> Kind {
        match self.work {
            Work::Http => Kind::Fetch(self.delay),
            Work::Fib => Kind::Fib(self.fib),
            Work::Sleep => Kind::Wait(self.delay),
            Work::Echo => Kind::Nothing,
            Work::Mixed => match id % 4 {
                1 => Kind::Fetch(self.delay),
                2 => Kind::Wait(self.delay / 5),
                3 => Kind::Busy(self.delay / 5),
                _ => Kind::Wait(Self::SHORT),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn plan(jobs: u64, faulty: u64) -> Plan {
        Plan {
            work: Work::Echo,
            jobs,
            workers: 4,
            fault: Fault::Segv,
            faulty,
            fib: 1,
            payload_bytes: 0,
            delay: Duration::ZERO,
            timeout: Duration::ZERO,
            memory_bytes: 0,
            upstream: String::new(),
        }
    }

    #[test]
    fn as_many_jobs_are_faulty_as_were_asked_for() {
        for (jobs, faulty) in [(1, 1), (4, 1), (100, 1), (100, 7), (100, 99), (100, 100), (7, 0)] {
            let plan = plan(jobs, faulty);
            let found: Vec<_> = (1..=jobs).filter(|id| plan.is_faulty(*id)).collect();
            assert_eq!(found.len() as u64, faulty, "{jobs} {faulty}: {found:?}");
        }
        assert!(plan(100, 1).is_faulty(50));
        assert!(!Plan { fault: Fault::None, ..plan(1, 1) }.is_faulty(1));
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for (name, way) in Way::ALL {
            assert_eq!((way.to_string().as_str(), name.parse()), (name, Ok(way)));
        }
        assert!("fork".parse::<Way>().unwrap_err().contains("serial, tasks"));
    }
}
