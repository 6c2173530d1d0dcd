//! Performs the pool's actions on worker processes, and turns what happens to them into the
//! pool's inputs. It decides nothing.

mod doer;
mod ear;
mod in_hand;
mod inbox;
mod incoming;
mod life;
mod line;
mod lives;
mod look;
mod outgoing;
mod relay;
mod strays;

use std::{
    borrow::Cow,
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    io,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
};

use nix::sys::signalfd::SignalFd;
use tokio::net::unix::pipe;
use worker::wire::{self, ToWorker};

use self::{
    inbox::{Inbox, Share},
    incoming::Heard,
    life::Life,
    line::{Line, Scratch},
    lives::Lives,
    look::HalfTime,
    strays::Strays,
};
use crate::{
    launcher::orders::Orders,
    settings::{CommandSettings as Commands, Jobs, Settings},
    sink::Outlet,
};
use pool::{
    Action, Cancelled, Input, Jitter, JobKey, Left, News, Pool,
    event::WorkerId,
    exit::{StartFault, StartStep},
    signal::Signal,
};
use process::process::{Leader, Process};
use process::{
    descriptors::OpenFiles,
    launch::Launch,
    procfs::OomWatch,
    program::{Program, Reach},
    scales::Scales,
};

/// The variable that tells each worker its number.
const NUMBER_VARIABLE: &str = "SUPERVISOR_WORKER";
/// Where a worker that takes jobs finds its descriptors: jobs, replies, recorder.
const PLACES: [i32; 3] = [3, 4, 5];

/// The worker processes of a run.
#[derive(Debug)]
pub struct Executor {
    program: Program,
    open_files: OpenFiles,
    stop_signal: Signal,
    outlet: Rc<Outlet>,
    lives: Lives<Handle>,
    /// Workers to be started, one a turn: a start takes a fraction of a millisecond, and between
    /// many of them signals and ends must be heard.
    waiting: VecDeque<WorkerId>,
    /// The life whose news the loop has in hand.
    told: Option<WorkerId>,
    inbox: Rc<Inbox>,
    /// The longest frame, where the workers take jobs.
    frame_bytes_max: Option<usize>,
    watches_memory: bool,
    /// The commands that launchers run, where the workers are none of the user's.
    commands: Option<Commands>,
    workers: u32,
    scratch: Scratch,
    chance: RandomState,
    oom: Rc<OomWatch>,
    /// Who lost his parent, where our reach goes so far.
    strays: Option<Rc<Strays>>,
    reach: Reach,
    scales: Scales,
    half_time: HalfTime,
}

/// What the executor holds of a life.
#[derive(Debug)]
struct Handle {
    leader: Leader,
    /// Tells the life that the loop has dealt with its news.
    share: Rc<Share>,
    line: Option<Rc<Line>>,
}

impl Executor {
    /// For the workers of a run, whose output goes to `outlet`. To be called in the runtime.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn new(
        settings: &Settings,
        open_files: OpenFiles,
        outlet: Rc<Outlet>,
        child_news: SignalFd,
    ) -> io::Result<Self> {
        let chance = RandomState::new();
        let strays = match settings.reach {
            Reach::Tree => Some(Rc::new(Strays::open(child_news, chance.hash_one(0))?)),
            Reach::Group | Reach::Leader => None,
        };
        if let Some(strays) = &strays {
            tokio::task::spawn_local(Rc::clone(strays).reap_all());
        }
        Ok(Self {
            program: settings.program.clone(),
            open_files,
            stop_signal: settings.stop_signal,
            outlet,
            lives: Lives::default(),
            waiting: VecDeque::new(),
            told: None,
            inbox: Rc::default(),
            frame_bytes_max: settings.jobs.as_ref().map(|jobs| jobs.frame_bytes_max),
            watches_memory: settings.jobs.as_ref().is_some_and(Jobs::watches_memory),
            commands: settings.jobs.as_ref().and_then(|jobs| jobs.commands.clone()),
            workers: settings.workers.get(),
            scratch: line::scratch(),
            chance,
            oom: Rc::default(),
            strays,
            reach: settings.reach,
            scales: Scales::default(),
            half_time: HalfTime::default(),
        })
    }

    /// Files that a worker that takes jobs keeps open besides the others: the pipes of its line.
    pub const LINE_FILES: u64 = 2;
    /// Files that are kept open for a worker whose memory is watched.
    pub const WATCH_FILES: u64 = 1;
    /// And while one starts: their far ends and the recorder.
    pub const LINE_START_FILES: u64 = 3;

    /// The next thing that happens to a worker. Asking for it says that the last one has been
    /// dealt with.
    pub async fn next(&mut self) -> Input {
        loop {
            if let Some(input) = self.try_next() {
                return input;
            }
            match self.waiting.pop_front() {
                Some(worker) => {
                    self.spawn(worker);
                    tokio::task::yield_now().await;
                }
                None => self.inbox.filled().await,
            }
        }
    }

    /// The same, if there is something already.
    pub fn try_next(&mut self) -> Option<Input> {
        if let Some(handle) = self.told.take().and_then(|worker| self.lives.get(worker)) {
            handle.share.remove();
        }
        let input = self.inbox.take()?;
        if let Input::Worker { worker, news } = &input {
            self.told = Some(*worker);
            if let News::Ended { pid, .. } = news {
                pid.iter().for_each(|pid| self.scales.forget(*pid));
                self.lives.remove(*worker);
                self.half_time.remove(worker);
            }
        }
        Some(input)
    }

    /// Performs an action; what is to be told is not its business. Jobs are looked up in the
    /// pool.
    pub fn perform(&mut self, action: &Action, pool: &Pool) {
        match action {
            Action::Spawn(worker) => self.waiting.push_back(*worker),
            Action::Send { worker, resume, jobs } => self.send(*worker, *resume, jobs, pool),
            Action::Recall(worker) => self.recall(*worker),
            Action::Weigh { workers, limit } => self.weigh(workers, *limit),
            Action::Examine { worker, id, is_over } => self.examine(*worker, *id, *is_over),
            Action::Cancel { worker, id, why } => {
                if let Some(line) = self.line(*worker) {
                    let reason = Cow::Borrowed(match why {
                        Cancelled::Timeout => "timeout",
                        Cancelled::Asked => "cancelled",
                        Cancelled::Memory => "memory",
                    });
                    line.say(&ToWorker::Cancel { id: *id, reason });
                    line.write();
                }
            }
            Action::Dismiss(worker) => {
                if let Some(line) = self.line(*worker) {
                    line.dismiss();
                }
            }
            Action::Ask(worker) => self.signal(*worker, Leader::ask),
            Action::Retract(worker) => self.retract(*worker),
            Action::Kill(worker) => self.signal(*worker, |leader, _| leader.signal(Signal::KILL)),
            Action::TakenBack { .. } | Action::Tell(_) => {}
        }
    }

    /// How many files may be open.
    #[must_use]
    pub fn open_files(&self) -> OpenFiles {
        self.open_files
    }

    /// Ends what no worker's end has: what hid from whom it came. The names.
    pub async fn end_strays(&self) -> Vec<String> {
        match &self.strays {
            Some(strays) => strays.end_all().await,
            None => Vec::new(),
        }
    }

    /// Ends everything at once, without a word to anybody.
    pub fn sweep(&self) {
        if let Some(strays) = &self.strays {
            strays.sweep();
        }
    }

    /// The job that each worker runs, as its recorder has it.
    pub fn current_jobs(&self) -> impl Iterator<Item = (WorkerId, u64)> {
        self.lives.iter().filter_map(|(worker, handle)| {
            let job = handle.line.as_ref()?.current_job()?;
            Some((worker, job))
        })
    }

    /// The process of a worker that is there.
    #[must_use]
    pub fn pid(&self, worker: WorkerId) -> Option<i32> {
        self.lives.get(worker)?.leader.pid()
    }

    fn line(&self, worker: WorkerId) -> Option<&Rc<Line>> {
        self.lives.get(worker)?.line.as_ref()
    }

    fn put(&self, worker: WorkerId, news: News) {
        if let Some(handle) = self.lives.get(worker) {
            handle.share.add();
        }
        self.inbox.put(Input::Worker { worker, news });
    }

    fn send(&self, worker: WorkerId, resume: bool, jobs: &[JobKey], pool: &Pool) {
        let Some(line) = self.line(worker) else { return };
        if resume {
            line.say(&ToWorker::Resume);
        }
        let refused = jobs.iter().filter_map(|key| line.send(pool.order(*key)));
        let replies: Vec<_> = refused.collect();
        if !replies.is_empty() {
            self.put(worker, News::Replies { replies, memory: None, printed: false });
        }
        line.write();
    }

    fn recall(&self, worker: WorkerId) {
        let Some(line) = self.line(worker) else { return };
        let mut heard = Heard::default();
        let recalled = line.recall(&mut heard);
        self.heard_beside(worker, line, &heard);
        line.answered(heard.replies.len());
        let started = *recalled.as_ref().unwrap_or(&None);
        self.put(worker, News::Recalled { replies: heard.replies, started });
        if let Err(fault) = recalled {
            self.put(worker, News::Broken(fault));
        }
    }

    /// What it said of jobs besides that they have ended.
    fn heard_beside(&self, worker: WorkerId, line: &Line, heard: &Heard) {
        if let Some(pid) = self.lives.get(worker).and_then(|life| life.leader.pid()) {
            line.doer.note(heard, pid);
            self.outlet.declared(worker, pid, &heard.output);
        }
    }

    fn signal(&self, worker: WorkerId, send: impl Fn(&Leader, Signal)) {
        if let Some(life) = self.lives.get(worker) {
            send(&life.leader, self.stop_signal);
        }
    }

    fn spawn(&mut self, worker: WorkerId) {
        match self.start(worker) {
            Ok(life) => {
                let (leader, share) = (life.process.leader(), Rc::clone(&life.share));
                let line = life.line.clone();
                self.lives.insert(worker, Handle { leader, share, line });
                let jitter = self.jitter(worker);
                tokio::task::spawn_local(life.live(Rc::clone(&self.inbox), jitter));
            }
            Err(fault) => self.never_came_to_be(worker, fault),
        }
    }

    fn retract(&mut self, worker: WorkerId) {
        // Mostly all of them are, in order.
        let place = self.waiting.iter().position(|waiting| *waiting == worker);
        if place.and_then(|place| self.waiting.remove(place)).is_some() {
            self.never_came_to_be(worker, StartFault { step: StartStep::Spawn, errno: 0 });
        }
    }

    fn never_came_to_be(&self, worker: WorkerId, fault: StartFault) {
        let (left, jitter) = (Left::default(), self.jitter(worker));
        self.put(worker, News::Ended { pid: None, end: Err(fault), left, jitter });
    }

    fn jitter(&self, worker: WorkerId) -> Jitter {
        Jitter::from_random(self.chance.hash_one(worker))
    }

    fn start(&self, worker: WorkerId) -> Result<Life, StartFault> {
        let refused = |error: io::Error| StartFault::new(StartStep::Spawn, &error);
        let reports = self.commands.is_some();
        let open = |bytes| Line::open(worker, bytes, reports, Rc::clone(&self.scratch));
        let line = self.frame_bytes_max.map(open).transpose().map_err(refused)?;
        let places = if line.is_some() { &PLACES[..] } else { &[] };
        let mut launch = Launch::new(&self.program, self.open_files, places);
        launch.set_env(NUMBER_VARIABLE, &worker.slot.to_string());
        let [jobs, replies, recorder] = PLACES;
        if line.is_some() && self.commands.is_none() {
            launch.announce(wire::VARIABLE, &format!(":{jobs}:{replies}:{recorder}"));
        }
        if let Some(commands) = &self.commands {
            let limits = launch.take_limits();
            let orders = Orders::new(commands, limits, worker.slot, self.workers);
            let orders = orders.to_bytes().map_err(|error| refused(io::Error::other(error)))?;
            launch.make_built_in(orders);
        }
        let ((stdout, out), (stderr, err)) =
            (output_pipe().map_err(refused)?, output_pipe().map_err(refused)?);
        let far = line.as_ref().map(|(_, far)| far);
        let passed = far.map(|far| [far.jobs.as_fd(), far.replies.as_fd(), far.recorder.as_fd()]);
        let passed = passed.as_ref().map_or(&[][..], |passed| &passed[..]);
        if let Some(strays) = &self.strays {
            let (name, value) = strays.mark(worker);
            launch.set_env(name, &value);
        }
        let process = Process::start(&launch, passed, out.into(), err.into(), self.reach)?;
        if let (Some(strays), Some(pid)) = (&self.strays, process.pid()) {
            strays.spawned(pid);
        }
        let line = line.map(|(line, _)| Rc::new(line));
        if let Some(line) = &line {
            // Our hello.
            line.write();
        }
        Ok(Life {
            worker,
            process,
            stdout,
            stderr,
            line,
            outlet: Rc::clone(&self.outlet),
            memory_limited: self.program.limits.memory().is_some(),
            watches_memory: self.watches_memory,
            oom: Rc::clone(&self.oom),
            share: Rc::default(),
            strays: self.strays.clone(),
        })
    }
}

/// A pipe for a worker's output: our end does not block, the worker's does.
fn output_pipe() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (read, write) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(read.into())?, write.into()))
}
