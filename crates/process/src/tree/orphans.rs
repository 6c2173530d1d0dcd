//! Finds and kills the processes that workers leave behind. A worker is a process that this program
//! starts and watches: a worker of a pool, or the process of a connection.
//!
//! This process is a child subreaper: a descendant whose parent dies becomes a child of it, although
//! it did not spawn that descendant. Such an orphan is attributed to a worker by its session, or by
//! a variable that the orphan has inherited in its environment. It is killed when that worker has
//! ended. The value of the variable contains a number that other workers do not know, so that a worker
//! cannot blame them for its own processes.
//!
//! A process shows no environment while it ends and while it executes a program. So one look that
//! finds nothing proves nothing:
//!
//! - The children of such a process are looked at like orphans, which they will soon be.
//! - If it was not ending when the table was read, the table is out of date, and the search looks
//!   again. A process that still shows no environment then was executed without one. It is killed at
//!   the end of the run.

use std::{
    cell::RefCell,
    collections::HashSet,
    fmt::Display,
    hash::{BuildHasher, RandomState},
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use nix::sys::signalfd::SignalFd;
use tokio::{
    io::unix::AsyncFd,
    sync::{Notify, OnceCell},
    time::{sleep, timeout},
};

use pool::signal::Signal;

use super::{
    kill::{contains, kill_descendants, names},
    table::ProcessTable,
};
use crate::{
    descriptors::poll_readable,
    proc::{self, Found, Stat, VariableSearch},
    wait,
};

/// Longest time spent on killing the orphans of one worker. A process that is stuck in the kernel
/// for longer is given up.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);
/// Looks in a row that find no orphan of the worker but processes that cannot be identified, after
/// which the search is given up.
const LOOKS_MAX: u32 = 5;
/// Time after which a process that still shows no environment is not just executing a program.
const EXEC_TIME: Duration = Duration::from_millis(2);
/// Time after which the process table is read again, even if no child has ended.
const RESCAN_AFTER: Duration = Duration::from_millis(20);

/// The orphans that a search is to find.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    /// Every orphan.
    All,
    /// The orphans of a worker, by its session and by the pair `NAME=value` in their environment.
    Of { session: i32, pair: &'a [u8] },
}

/// The result of one look at the process table.
#[derive(Default)]
struct Look {
    /// The wanted processes. Each is an orphan, or is about to be.
    found: Vec<Stat>,
    /// Whether a process could not be identified that was not ending when the table was read.
    is_outdated: bool,
}

/// The children of this process that it did not spawn.
#[derive(Debug)]
pub struct Orphans {
    own_pid: i32,
    /// The workers that are not reaped yet. The runtime reaps them.
    workers: RefCell<HashSet<i32>>,
    /// Name of the variable that marks the descendants of a worker.
    mark: String,
    /// The secret from which the values of the variable are computed.
    secret: RandomState,
    /// The processes that showed no environment at the last look though they were not ending, and
    /// since when.
    unknown: RefCell<Vec<(Stat, Instant)>>,
    child_news: AsyncFd<SignalFd>,
    /// Notified when any child has ended.
    child_ended: Notify,
    /// A read of the process table that has not begun yet, and that several tasks may share.
    next_scan: RefCell<Option<Rc<OnceCell<Rc<ProcessTable>>>>>,
}

impl Orphans {
    /// Must be called in the runtime. `run` is a random number that tells this run from others;
    /// `child_news` receives SIGCHLD.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn new(child_news: SignalFd, run: u64) -> io::Result<Self> {
        Ok(Self {
            own_pid: std::process::id().cast_signed(),
            workers: RefCell::default(),
            mark: format!("SUPERVISOR_RUN_{run:016X}"),
            secret: RandomState::new(),
            unknown: RefCell::default(),
            child_news: poll_readable(child_news)?,
            child_ended: Notify::new(),
            next_scan: RefCell::default(),
        })
    }

    /// The variable that a worker and all its descendants inherit. Its name is unique to this
    /// run. Its value names the worker and cannot be guessed by others.
    #[must_use]
    pub fn mark(&self, worker: impl Display) -> (&str, String) {
        let worker = worker.to_string();
        let code = self.secret.hash_one(&worker);
        (&self.mark, format!("{worker}:{code:016x}"))
    }

    /// Excludes a worker from the orphans until it is reaped.
    pub fn add_worker(&self, pid: i32) {
        self.workers.borrow_mut().insert(pid);
    }

    /// Forgets a worker that the runtime has reaped.
    pub fn remove_worker(&self, pid: i32) {
        self.workers.borrow_mut().remove(&pid);
        // The zombie of the worker may have hidden an orphan that ended after it.
        self.reap_ended();
    }

    /// Reaps orphans as they end. Never returns.
    pub async fn reap_all(self: Rc<Self>) {
        while let Ok(mut ready) = self.child_news.readable().await {
            while let Ok(Some(_)) = ready.get_inner().read_signal() {}
            ready.clear_ready();
            self.child_ended.notify_waiters();
            self.reap_ended();
        }
    }

    /// Reaps the orphans that have ended, up to the first worker in the kernel's list of zombies.
    ///
    /// A plain `waitpid(-1)` would reap workers as well, and with them the exit status that the
    /// runtime waits for. So this asks for the first zombie without reaping it, and reaps it by
    /// its pid if it is not a worker.
    fn reap_ended(&self) {
        while let Some(pid) = wait::first_ended() {
            if self.workers.borrow().contains(&pid) || !wait::try_reap(pid) {
                return;
            }
        }
    }

    /// Kills the processes that a worker has left, after it has ended and before it is reaped.
    /// Returns their names. If the group of the worker `was_signalled`, its members are not named,
    /// because they were to end with the worker.
    pub async fn kill_left_by(
        &self,
        worker: impl Display,
        pid: i32,
        was_signalled: bool,
    ) -> Vec<String> {
        let (name, value) = self.mark(worker);
        let pair = [name.as_bytes(), b"=", value.as_bytes()].concat();
        let mut killed = self.kill(Wanted::Of { session: pid, pair: &pair }).await;
        killed.retain(|process| !was_signalled || process.group != pid);
        names(killed)
    }

    /// Kills all orphans of the run and returns their names.
    pub async fn kill_all(&self) -> Vec<String> {
        names(self.kill(Wanted::All).await)
    }

    /// Kills all descendants of this process, workers included, and blocks until they are gone.
    pub fn kill_descendants(&self) {
        let _ = kill_descendants(self.child_news.get_ref());
    }

    /// Kills the wanted orphans and their descendants. Returns those that were not ending anyway.
    ///
    /// Killing a process may orphan its children, so this reads the process table again until no
    /// such orphan is left.
    async fn kill(&self, wanted: Wanted<'_>) -> Vec<Stat> {
        let until = Instant::now() + KILL_TIMEOUT;
        let mut killed: Vec<Stat> = Vec::new();
        let mut empty_looks = 0;
        while self.may_exist() && Instant::now() < until {
            let table = self.scan().await;
            let Look { found, is_outdated } = self.look(&table, wanted, &killed).await;
            let mut dying = Vec::new();
            for orphan in &found {
                if orphan.is_child_of(self.own_pid) {
                    dying.push(orphan.pid);
                }
                for process in [orphan].into_iter().chain(table.descendants(orphan.pid)) {
                    wait::signal_if_same(process, Signal::KILL);
                    if !process.is_ending() && !contains(&killed, process) {
                        killed.push(process.clone());
                    }
                }
            }
            empty_looks = if found.is_empty() { empty_looks + 1 } else { 0 };
            if found.is_empty() && (!is_outdated || empty_looks == LOOKS_MAX) {
                break;
            }
            if dying.is_empty() {
                sleep(EXEC_TIME).await;
            } else {
                let _ = timeout(RESCAN_AFTER, self.reap(dying)).await;
            }
        }
        killed
    }

    /// Looks for wanted orphans in a table, and for wanted processes below those that cannot be
    /// identified.
    async fn look(&self, table: &ProcessTable, wanted: Wanted<'_>, killed: &[Stat]) -> Look {
        let mut look = Look::default();
        let mut unknown = Vec::new();
        let mut candidates: Vec<Stat> = self.orphans(table).cloned().collect();
        while let Some(process) = candidates.pop() {
            // A descendant that was killed in an earlier round may be an orphan by now.
            let is_wanted = match wanted {
                _ if contains(killed, &process) => Found::Yes,
                Wanted::All => Found::Yes,
                Wanted::Of { session, .. } if process.session == session => Found::Yes,
                Wanted::Of { pair, .. } => search(process.pid, pair).await,
            };
            match is_wanted {
                Found::Yes => look.found.push(process),
                Found::No => {}
                Found::Unknown => {
                    candidates.extend(table.children(process.pid).cloned());
                    if !process.is_ending() {
                        let since = self.unknown_since(&process);
                        look.is_outdated |= since.elapsed() < EXEC_TIME;
                        unknown.push((process, since));
                    }
                }
            }
        }
        if let Wanted::Of { .. } = wanted {
            self.unknown.replace(unknown);
        }
        look
    }

    /// When a process was first found to show no environment.
    fn unknown_since(&self, process: &Stat) -> Instant {
        let unknown = self.unknown.borrow();
        let known = unknown.iter().find(|(known, _)| known.is_same(process));
        known.map_or_else(Instant::now, |(_, since)| *since)
    }

    /// Waits until these orphans, which were killed, are reaped. Reaps each by its pid, because
    /// the zombie of a worker may stand before it in the kernel's list.
    async fn reap(&self, mut dying: Vec<i32>) {
        loop {
            let child_ended = self.child_ended.notified();
            // An orphan that was reaped elsewhere is gone as well, and a new worker may have its
            // pid by now.
            dying.retain(|pid| !self.workers.borrow().contains(pid) && !wait::try_reap(*pid));
            if dying.is_empty() {
                return;
            }
            child_ended.await;
        }
    }

    /// Whether there may be any orphan. This costs much less than the process table, and usually
    /// there is none.
    fn may_exist(&self) -> bool {
        let workers = self.workers.borrow();
        proc::children().is_none_or(|children| children.iter().any(|pid| !workers.contains(pid)))
    }

    fn orphans<'a>(&self, table: &'a ProcessTable) -> impl Iterator<Item = &'a Stat> {
        let workers = self.workers.borrow().clone();
        let children = table.children(self.own_pid);
        children.filter(move |child| !workers.contains(&child.pid))
    }

    /// Reads the process table, later than this call. All tasks that ask in the same round of the
    /// runtime share one read, since hundreds of workers may end at once.
    async fn scan(&self) -> Rc<ProcessTable> {
        let scan = Rc::clone(self.next_scan.borrow_mut().get_or_insert_default());
        let read = async {
            tokio::task::yield_now().await;
            self.next_scan.take();
            Rc::new(ProcessTable::read())
        };
        Rc::clone(scan.get_or_init(|| read).await)
    }
}

/// Searches the environment of a process, and lets other tasks run between two pieces of it.
async fn search(pid: i32, pair: &[u8]) -> Found {
    let mut search = VariableSearch::new(pid, pair);
    loop {
        if let Some(found) = search.step() {
            return found;
        }
        tokio::task::yield_now().await;
    }
}
