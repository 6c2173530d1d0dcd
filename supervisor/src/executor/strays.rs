//! What do workers leave behind? Who loses his parent comes to us, the nearest subreaper: such a
//! child we never spawned. It is known again by the session and the group of the worker it
//! descends from, and by a mark in its environment; and it ends when that worker has ended.

use std::{
    cell::RefCell,
    collections::HashSet,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use nix::sys::signalfd::SignalFd;
use tokio::{
    io::unix::AsyncFd,
    sync::{Notify, OnceCell},
    time::timeout,
};

use pool::{event::WorkerId, signal::Signal};
use process::{
    descriptors::poll_readable,
    proc::Stat,
    tree::{ProcessTable, contains, kill_descendants, names},
    wait,
};

/// What the kernel holds for longer is not waited for: less than what a killed worker has.
const PATIENCE: Duration = Duration::from_secs(1);
/// How soon it is looked again, where no end was told.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The children that we did not spawn.
#[derive(Debug)]
pub(super) struct Strays {
    own_pid: i32,
    /// Those that we did, as long as they are not reaped.
    spawned: RefCell<HashSet<i32>>,
    /// The variable that marks what descends from a worker.
    mark: String,
    news: AsyncFd<SignalFd>,
    /// Some child has ended.
    ended: Notify,
    /// A look at all processes that is about to be taken, for whoever asks before it is.
    census: RefCell<Option<Rc<OnceCell<Rc<ProcessTable>>>>>,
}

impl Strays {
    /// To be called in the runtime.
    pub(super) fn open(news: SignalFd, run: u64) -> io::Result<Self> {
        Ok(Self {
            own_pid: std::process::id().cast_signed(),
            spawned: RefCell::default(),
            mark: format!("SUPERVISOR_RUN_{run:016X}"),
            news: poll_readable(news)?,
            ended: Notify::new(),
            census: RefCell::default(),
        })
    }

    /// The variable, of a name that no other run has, and its value, which all that descends from
    /// this worker inherits.
    pub(super) fn mark(&self, worker: WorkerId) -> (&str, String) {
        (&self.mark, worker.to_string())
    }

    /// This child is the runtime's to reap.
    pub(super) fn spawned(&self, pid: i32) {
        self.spawned.borrow_mut().insert(pid);
    }

    /// It has been.
    pub(super) fn reaped(&self, pid: i32) {
        self.spawned.borrow_mut().remove(&pid);
        // It may have hidden one behind it that ended meanwhile.
        self.reap();
    }

    /// Reaps them as they end, for ever.
    pub(super) async fn reap_all(self: Rc<Self>) {
        while let Ok(mut ready) = self.news.readable().await {
            while let Ok(Some(_)) = ready.get_inner().read_signal() {}
            ready.clear_ready();
            self.ended.notify_waiters();
            self.reap();
        }
    }

    /// Those that have ended. Never by a wait for any: that would take the runtime's.
    fn reap(&self) {
        while let Some(pid) = wait::first_ended() {
            if self.spawned.borrow().contains(&pid) || !wait::try_reap(pid) {
                return;
            }
        }
    }

    /// Ends what this worker has left, which has ended and is not reaped; the names. Where its
    /// group `was_signalled`, what was of that is not named: it was to end as well.
    pub(super) async fn end_left_by(
        &self,
        worker: WorkerId,
        pid: i32,
        was_signalled: bool,
    ) -> Vec<String> {
        let (name, value) = self.mark(worker);
        let pair = [name.as_bytes(), b"=", value.as_bytes()].concat();
        // What runs in its session, or has its mark. Its number is pinned.
        let mut found = self.end(|stray| stray.session == pid || stray.has_variable(&pair)).await;
        found.retain(|process| !was_signalled || process.group != pid);
        names(found)
    }

    /// Ends all that are left of the run; the names.
    pub(super) async fn end_all(&self) -> Vec<String> {
        names(self.end(|_| true).await)
    }

    /// At once, where nothing else matters any more.
    pub(super) fn sweep(&self) {
        let _ = kill_descendants(self.news.get_ref());
    }

    /// Ends those of which this is true, and whatever descends from them.
    async fn end(&self, is_wanted: impl Fn(&Stat) -> bool) -> Vec<Stat> {
        let until = Instant::now() + PATIENCE;
        let mut found: Vec<Stat> = Vec::new();
        while Instant::now() < until {
            let census = self.census().await;
            let mut dying = Vec::new();
            for stray in self.among(&census) {
                // Known from before is who came to us since its parent was killed here, and who is
                // dying and has no environment any more.
                if !contains(&found, stray) && !is_wanted(stray) {
                    continue;
                }
                dying.push(stray.pid);
                for process in [stray].into_iter().chain(census.descendants(stray.pid)) {
                    wait::signal_if_same(process, Signal::KILL);
                    if !process.is_ending() && !contains(&found, process) {
                        found.push(process.clone());
                    }
                }
            }
            if dying.is_empty() {
                break;
            }
            let _ = timeout(LOOK_AGAIN, self.reap_these(dying)).await;
        }
        found
    }

    /// Waits for these, which are dying. (What has ended and is the runtime's may stand before them
    /// in the kernel's list of all that have.)
    async fn reap_these(&self, mut dying: Vec<i32>) {
        loop {
            let told = self.ended.notified();
            // Whoever of them was reaped elsewhere is gone as well.
            dying.retain(|pid| !self.spawned.borrow().contains(pid) && !wait::try_reap(*pid));
            if dying.is_empty() {
                return;
            }
            told.await;
        }
    }

    fn among<'a>(&self, census: &'a ProcessTable) -> impl Iterator<Item = &'a Stat> {
        let spawned = self.spawned.borrow().clone();
        let children = census.children(self.own_pid);
        children.filter(move |child| !spawned.contains(&child.pid))
    }

    /// A look at all processes, later than this call; one for all who ask in the same round of
    /// the loop, since hundreds of workers may end at once.
    async fn census(&self) -> Rc<ProcessTable> {
        let cell = Rc::clone(self.census.borrow_mut().get_or_insert_default());
        let take = async {
            tokio::task::yield_now().await;
            self.census.take();
            Rc::new(ProcessTable::read())
        };
        Rc::clone(cell.get_or_init(|| take).await)
    }
}
