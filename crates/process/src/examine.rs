//! What do a process and its descendants do just now, and what have they used of processors?

use std::{collections::HashMap, fs, time::Duration};

use super::census::{Census, Process};
use pool::hang::Seen;

/// More processes are not looked at one by one.
const PROCESSES_MAX: usize = 64;
/// More of a stack is not kept.
const STACK_LINES_MAX: usize = 8;

/// What the threads of a tree of processes have used so far, by their numbers.
#[derive(Default, Debug)]
pub struct Used(HashMap<i32, Thread>);

/// What a thread has used so far.
#[derive(Clone, Copy, Default, Debug)]
struct Thread {
    spent: Spent,
    /// How often it went to sleep by itself.
    sleeps: u64,
    /// Whether it runs, or is ready to.
    is_ready: bool,
}

/// What was used of a time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Spent {
    /// Of processors.
    pub cpu: Duration,
    /// Of time, ready to run and without a processor.
    pub unserved: Duration,
}

impl Used {
    /// What was used since an earlier look at the same tree.
    #[must_use]
    pub fn since(&self, before: &Self, window: Duration) -> Spent {
        let threads = self.0.iter().map(|(number, now)| {
            let before = before.0.get(number).copied().unwrap_or_default();
            now.since(before, window)
        });
        threads.fold(Spent::default(), |sum, one| Spent {
            cpu: sum.cpu + one.cpu,
            unserved: sum.unserved + one.unserved,
        })
    }
}

impl Thread {
    /// The kernel counts time without a processor when it gives one: of who still waits it says
    /// nothing. But who never slept meanwhile had one, or waited for one, all the time.
    fn since(self, before: Self, window: Duration) -> Spent {
        let cpu = self.spent.cpu.saturating_sub(before.spent.cpu);
        let was_ready = self.is_ready && before.is_ready && self.sleeps == before.sleeps;
        let counted = self.spent.unserved.saturating_sub(before.spent.unserved);
        let unserved = if was_ready { window.saturating_sub(cpu) } else { counted };
        Spent { cpu, unserved }
    }

    /// `schedstat`: nanoseconds on a processor, and on the queue of one. proc_pid_status(5).
    fn parse(schedstat: &str, status: &str) -> Self {
        let mut numbers = schedstat.split_ascii_whitespace().map_while(|it| it.parse().ok());
        let mut next = || Duration::from_nanos(numbers.next().unwrap_or(0));
        let spent = Spent { cpu: next(), unserved: next() };
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let sleeps = field("voluntary_ctxt_switches:").and_then(|it| it.parse().ok());
        let is_ready = field("State:").is_some_and(|state| state.starts_with('R'));
        Self { spent, sleeps: sleeps.unwrap_or(0), is_ready }
    }
}

/// A tree of processes, at one moment.
#[derive(Debug)]
pub struct Tree(Vec<Process>);

impl Tree {
    /// The descendants of a process, with or without itself.
    #[must_use]
    pub fn of(root: i32, with_root: bool) -> Self {
        let census = Census::take();
        let root_itself = with_root.then(|| Process::find(root)).flatten();
        let below = census.descendants(root).into_iter().cloned();
        Self(root_itself.into_iter().chain(below).take(PROCESSES_MAX).collect())
    }

    /// What all of them have used.
    #[must_use]
    pub fn used(&self) -> Used {
        Used(self.0.iter().flat_map(|process| threads(process.pid)).collect())
    }

    /// What each of them does.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.0.iter().map(seen).collect()
    }
}

fn threads(pid: i32) -> impl Iterator<Item = (i32, Thread)> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let read = |name| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        Some((number, Thread::parse(&read("schedstat"), &read("status"))))
    })
}

fn seen(process: &Process) -> Seen {
    let pid = process.pid;
    let read = |name| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    // `0` where it runs, or where it is not ours to know.
    let wchan = Some(read("wchan")).filter(|wchan| !["", "0"].contains(&wchan.as_str()));
    let place = |line: &str| Some(line.split_once("] ")?.1.split('+').next()?.to_owned());
    let stack = read("stack").lines().filter_map(place).take(STACK_LINES_MAX).collect();
    Seen { pid, name: process.name.clone(), state: process.state, wchan, stack }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_seen_at_work() {
        let own = std::process::id().cast_signed();
        let tree = Tree::of(own, true);
        assert_eq!(tree.seen()[0].pid, own);
        let (before, begun) = (tree.used(), std::time::Instant::now());
        while tree.used().since(&before, begun.elapsed()).cpu.is_zero() {
            assert!(begun.elapsed() < Duration::from_secs(20));
        }
    }

    #[test]
    fn who_never_slept_and_had_no_processor_waited_for_one() {
        let status =
            |state, sleeps| format!("State:\t{state}\nvoluntary_ctxt_switches:\t{sleeps}\n");
        let ms = Duration::from_millis;
        for (before, after, cpu, unserved) in [
            // It waits: nothing is counted.
            (("0 0 1", "R (running)", 3), ("0 0 1", "R (running)", 3), 0, 300),
            (("0 0 1", "R (running)", 3), ("90000000 9000000 1", "R (running)", 3), 90, 210),
            // It slept, or may have.
            (("0 0 1", "R (running)", 3), ("0 9000000 1", "R (running)", 4), 0, 9),
            (("0 0 1", "S (sleeping)", 3), ("0 0 1", "R (running)", 3), 0, 0),
            (("0 0 1", "S (sleeping)", 3), ("0 0 1", "S (sleeping)", 3), 0, 0),
            (("", "", 0), ("1000000 2000000 1", "R (running)", 0), 1, 2),
        ] {
            let [before, after] = [before, after].map(|(schedstat, state, sleeps)| {
                let thread = Thread::parse(schedstat, &status(state, sleeps));
                Used(HashMap::from([(7, thread)]))
            });
            let spent = after.since(&before, ms(300));
            assert_eq!(spent, Spent { cpu: ms(cpu), unserved: ms(unserved) });
        }
    }
}
