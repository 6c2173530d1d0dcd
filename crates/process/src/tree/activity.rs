//! Hang diagnostics: what a process and its descendants are doing, and how much CPU time they used
//! between two looks.

use std::{collections::HashMap, fs, time::Duration};

use pool::hang::Seen;

use super::table::ProcessTable;
use crate::proc::{Fields, Stat, path, read};

/// The number of processes of a tree that are inspected at most.
const PROCESSES_MAX: usize = 64;
/// The number of threads of a tree that are inspected at most.
const THREADS_MAX: usize = 1024;
/// The number of lines of a kernel stack that are kept at most.
const STACK_LINES_MAX: usize = 8;

/// What the threads of a tree of processes have used since they began, by thread id.
#[derive(Default, Debug)]
pub struct Usage(HashMap<i32, ThreadUsage>);

/// What a thread has used since it began.
#[derive(Clone, Copy, Default, Debug)]
struct ThreadUsage {
    spent: Spent,
    /// The number of voluntary context switches.
    sleeps: u64,
    /// Whether the thread runs, or is ready to.
    is_ready: bool,
}

/// How threads spent a span of time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Spent {
    /// Time on a processor.
    pub cpu: Duration,
    /// Time ready to run, without a processor.
    pub unserved: Duration,
}

impl Usage {
    /// What the threads used in the `window` since an earlier look at the same tree.
    #[must_use]
    pub fn since(&self, before: &Self, window: Duration) -> Spent {
        let threads = self.0.iter().map(|(id, now)| {
            let before = before.0.get(id).copied().unwrap_or_default();
            now.since(before, window)
        });
        threads.fold(Spent::default(), |sum, one| Spent {
            cpu: sum.cpu + one.cpu,
            unserved: sum.unserved + one.unserved,
        })
    }
}

impl Usage {
    /// The longest time for which one of the threads has been ready to run without a processor,
    /// since it began.
    #[must_use]
    pub fn longest_wait(&self) -> Duration {
        self.0.values().map(|thread| thread.spent.unserved).max().unwrap_or_default()
    }
}

impl ThreadUsage {
    /// The kernel adds time without a processor when it assigns one, so its count says nothing of
    /// a thread that still waits. But a thread that was ready at both looks and never slept either
    /// ran or waited all the time.
    fn since(self, before: Self, window: Duration) -> Spent {
        let cpu = self.spent.cpu.saturating_sub(before.spent.cpu);
        let was_ready = self.is_ready && before.is_ready && self.sleeps == before.sleeps;
        let counted = self.spent.unserved.saturating_sub(before.spent.unserved);
        let unserved = if was_ready { window.saturating_sub(cpu) } else { counted };
        Spent { cpu, unserved }
    }

    /// Parses `schedstat` (nanoseconds on a processor, and in the queue of one) and `status`
    /// (proc_pid_status(5)) of a thread.
    fn parse(schedstat: &str, status: &Fields) -> Self {
        let mut numbers = schedstat.split_ascii_whitespace().map_while(|it| it.parse().ok());
        let mut next = || Duration::from_nanos(numbers.next().unwrap_or(0));
        let spent = Spent { cpu: next(), unserved: next() };
        let sleeps = status.number("voluntary_ctxt_switches").unwrap_or(0);
        let is_ready = status.text("State").is_some_and(|state| state.starts_with('R'));
        Self { spent, sleeps, is_ready }
    }
}

/// The processes of a tree at one moment.
#[derive(Debug)]
pub struct Tree(Vec<Stat>);

impl Tree {
    /// Lists the descendants of a process, and with `with_root` the process itself before them.
    #[must_use]
    pub fn of(root: i32, with_root: bool) -> Self {
        let table = ProcessTable::read();
        let root_itself = with_root.then(|| Stat::read(root)).flatten();
        let below = table.descendants(root).into_iter().cloned();
        Self(root_itself.into_iter().chain(below).take(PROCESSES_MAX).collect())
    }

    /// Reads what the threads of a process have used since they began. This is much cheaper than to
    /// list its descendants.
    #[must_use]
    pub fn usage_of(pid: i32) -> Usage {
        Usage(threads(pid).collect())
    }

    /// Reads what the threads of all processes have used since they began.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage(self.0.iter().flat_map(|process| threads(process.pid)).take(THREADS_MAX).collect())
    }

    /// Describes what each process is doing: its state, and where it sleeps in the kernel.
    #[must_use]
    pub fn inspect(&self) -> Vec<Seen> {
        self.0.iter().map(inspect).collect()
    }
}

fn threads(pid: i32) -> impl Iterator<Item = (i32, ThreadUsage)> {
    let entries = path(pid, "task").map(fs::read_dir).into_iter().flatten().flatten().flatten();
    entries.filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let read = |name| read::text(entry.path().join(name)).unwrap_or_default();
        Some((id, ThreadUsage::parse(&read("schedstat"), &Fields::from(read("status")))))
    })
}

fn inspect(process: &Stat) -> Seen {
    let pid = process.pid;
    let read = |name| path(pid, name).and_then(read::text).unwrap_or_default();
    // `0` for a running process, and for one that this process may not inspect.
    let wchan = Some(read("wchan")).filter(|wchan| !["", "0"].contains(&wchan.as_str()));
    let function = |line: &str| Some(line.split_once("] ")?.1.split('+').next()?.to_owned());
    let stack = read("stack").lines().filter_map(function).take(STACK_LINES_MAX).collect();
    Seen { pid, name: process.name.clone(), state: process.state, wchan, stack }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_of_a_busy_process_grows() {
        let own = std::process::id().cast_signed();
        let tree = Tree::of(own, true);
        assert_eq!(tree.inspect()[0].pid, own);
        let (before, begun) = (tree.usage(), std::time::Instant::now());
        while tree.usage().since(&before, begun.elapsed()).cpu.is_zero() {
            assert!(begun.elapsed() < Duration::from_secs(20));
        }
    }

    #[test]
    fn a_thread_that_never_slept_and_did_not_run_waited_for_a_processor() {
        let status =
            |state, sleeps| format!("State:\t{state}\nvoluntary_ctxt_switches:\t{sleeps}\n");
        let ms = Duration::from_millis;
        for (before, after, cpu, unserved) in [
            // The thread waits: the kernel has counted nothing.
            (("0 0 1", "R (running)", 3), ("0 0 1", "R (running)", 3), 0, 300),
            (("0 0 1", "R (running)", 3), ("90000000 9000000 1", "R (running)", 3), 90, 210),
            // The thread slept, or may have.
            (("0 0 1", "R (running)", 3), ("0 9000000 1", "R (running)", 4), 0, 9),
            (("0 0 1", "S (sleeping)", 3), ("0 0 1", "R (running)", 3), 0, 0),
            (("0 0 1", "S (sleeping)", 3), ("0 0 1", "S (sleeping)", 3), 0, 0),
            (("", "", 0), ("1000000 2000000 1", "R (running)", 0), 1, 2),
        ] {
            let [before, after] = [before, after].map(|(schedstat, state, sleeps)| {
                let thread = ThreadUsage::parse(schedstat, &status(state, sleeps).into());
                Usage(HashMap::from([(7, thread)]))
            });
            let spent = after.since(&before, ms(300));
            assert_eq!(spent, Spent { cpu: ms(cpu), unserved: ms(unserved) });
        }
    }
}
