//! What do a process and its descendants do just now, and what have they used of processors?

use std::{fs, time::Duration};

use super::census::{Census, Process};
use crate::hang::Seen;

/// More processes are not looked at one by one.
const PROCESSES_MAX: usize = 64;
/// More of a stack is not kept.
const STACK_LINES_MAX: usize = 8;

/// What a tree of processes has used so far.
#[derive(Clone, Copy, Default, Debug)]
pub struct Used {
    /// Of processors.
    pub cpu: Duration,
    /// Of time, ready to run and without a processor.
    pub unserved: Duration,
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
        let all = self.0.iter().map(|process| used(process.pid));
        all.fold(Used::default(), |sum, one| Used {
            cpu: sum.cpu + one.cpu,
            unserved: sum.unserved + one.unserved,
        })
    }

    /// What each of them does.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.0.iter().map(seen).collect()
    }
}

/// Of each thread, `/proc/PID/task/TID/schedstat`: nanoseconds on a processor, and on the queue of
/// one.
fn used(pid: i32) -> Used {
    let mut sum = Used::default();
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return sum };
    for thread in threads.flatten() {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let mut numbers = text.split_ascii_whitespace().map_while(|number| number.parse().ok());
        sum.cpu += Duration::from_nanos(numbers.next().unwrap_or(0));
        sum.unserved += Duration::from_nanos(numbers.next().unwrap_or(0));
    }
    sum
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
        let (before, begun) = (tree.used().cpu, std::time::Instant::now());
        while tree.used().cpu <= before {
            assert!(begun.elapsed() < Duration::from_secs(20));
        }
    }
}
