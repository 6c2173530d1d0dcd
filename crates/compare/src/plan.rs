//! What is compared: the work that jobs do, the faults they have, and the ways of running them.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use text::units::{show_duration, show_size};

/// What each job does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// An HTTP request to an upstream on the loopback interface, which answers after the delay.
    Http,
    /// A Fibonacci number by plain recursion, which uses only CPU time.
    Fib,
    /// Sleeping for the delay.
    Sleep,
    /// Nothing, which leaves the cost of the way itself.
    Echo,
    /// Four kinds in turn: a request that takes the delay, a wait of a fifth of it, a computation
    /// of a fifth of it that never yields, and a short wait beside such neighbours.
    Mixed,
}

/// What a faulty job does instead of its work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No job is faulty.
    None,
    /// The job panics.
    Panic,
    /// The job calls `abort`.
    Abort,
    /// The job writes to an invalid address.
    Segv,
    /// The job allocates memory until none is left.
    Leak,
    /// The job blocks forever in a system call.
    Hang,
    /// The job loops forever without yielding.
    Spin,
    /// The job exits its process with status 0.
    Exit,
    /// The job takes a lock that every job needs, and never releases it.
    Deadlock,
}

/// A way of running jobs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// One after another, in one thread.
    Serial,
    /// Async tasks on one thread.
    Tasks,
    /// Async tasks on a runtime with one thread per processor.
    Runtime,
    /// Threads that take jobs from a queue.
    Threads,
    /// Worker processes that receive jobs over pipes: `supervisor run`.
    Workers,
    /// A process for each job: `supervisor each`.
    Each,
}

impl Work {
    /// All kinds of work with their names.
    pub const ALL: [(&str, Self); 5] = [
        ("http", Self::Http),
        ("fib", Self::Fib),
        ("sleep", Self::Sleep),
        ("echo", Self::Echo),
        ("mixed", Self::Mixed),
    ];

    /// Whether this work needs the upstream.
    #[must_use]
    pub fn is_online(self) -> bool {
        matches!(self, Self::Http | Self::Mixed)
    }
}

impl Fault {
    /// All faults with their names.
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
    /// All ways with their names, ordered by how much they isolate.
    pub const ALL: [(&str, Self); 6] = [
        ("serial", Self::Serial),
        ("tasks", Self::Tasks),
        ("runtime", Self::Runtime),
        ("threads", Self::Threads),
        ("workers", Self::Workers),
        ("each", Self::Each),
    ];

    /// Name of the way in tables and plots.
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

    /// Whether jobs run in worker processes and share nothing but the kernel.
    #[must_use]
    pub fn is_isolated(self) -> bool {
        matches!(self, Self::Workers | Self::Each)
    }
}

/// Implements `Display` and `FromStr` by the names in `ALL`.
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

/// Everything that one way needs to know to run the jobs once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// What the jobs do.
    pub work: Work,
    /// Number of jobs; ids start at 1.
    pub jobs: u64,
    /// Number of jobs that run at a time.
    pub workers: u32,
    /// What faulty jobs do.
    pub fault: Fault,
    /// Number of faulty jobs, unless `fault` is [`Fault::None`].
    pub faulty: u64,
    /// Index of the Fibonacci number to compute.
    pub fib: u32,
    /// Size of the payload of each job and of its answer.
    pub payload_bytes: usize,
    /// Time after which the upstream answers, and for which a job of [`Work::Sleep`] sleeps.
    pub delay: Duration,
    /// Time after which a job counts as hung.
    pub timeout: Duration,
    /// Memory limit of each process where jobs leak.
    pub memory_bytes: u64,
    /// URL of the upstream.
    pub upstream: String,
}

/// What one job does, if it is not faulty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Fetch(Duration),
    Wait(Duration),
    Busy(Duration),
    Fib(u32),
    Nothing,
}

impl Plan {
    /// Duration of the short jobs of [`Work::Mixed`].
    const SHORT: Duration = Duration::from_millis(10);

    /// Whether this job is faulty. Faulty jobs are spread evenly: one of a hundred is the fiftieth.
    #[must_use]
    pub fn is_faulty(&self, id: u64) -> bool {
        if self.fault == Fault::None {
            return false;
        }
        let (parts, length) = (u128::from(self.faulty) + 1, u128::from(self.jobs) + 1);
        let part = (u128::from(id) * parts).div_ceil(length);
        (1..parts).contains(&part) && part * length / parts == u128::from(id)
    }

    /// Whether this is a short job beside longer ones.
    #[must_use]
    pub fn is_short(&self, id: u64) -> bool {
        self.work == Work::Mixed && self.kind(id) == Kind::Wait(Self::SHORT)
    }

    /// Describes what a job does in a few words.
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
    fn the_plan_has_the_requested_number_of_faulty_jobs() {
        for (jobs, faulty) in [(1, 1), (4, 1), (100, 1), (100, 7), (100, 99), (100, 100), (7, 0)] {
            let plan = plan(jobs, faulty);
            let found: Vec<_> = (1..=jobs).filter(|id| plan.is_faulty(*id)).collect();
            assert_eq!(found.len() as u64, faulty, "{jobs} {faulty}: {found:?}");
        }
        assert!(plan(100, 1).is_faulty(50));
        assert!(!Plan { fault: Fault::None, ..plan(1, 1) }.is_faulty(1));
    }

    #[test]
    fn names_parse_to_what_they_display() {
        for (name, way) in Way::ALL {
            assert_eq!((way.to_string().as_str(), name.parse()), (name, Ok(way)));
        }
        assert!("fork".parse::<Way>().unwrap_err().contains("serial, tasks"));
    }
}
