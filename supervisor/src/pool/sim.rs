//! Does the pool keep its promises under any schedule? A simulated world of processes obeys,
//! ignores, crashes, lingers and sends stale news by chance from a seed, and every promise is
//! checked after every step.
//!
//! A failure prints its seed; `SUPERVISOR_SIM_SEED=n cargo test -p supervisor sim` replays it.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use super::{Action, Input, Jitter, News, Policy, Pool, Tick};
use crate::{
    event::{Event, Next, ShutdownReason, WorkerId},
    exit::{Evidence, Peak, StartFault, StartStep, Status},
    limits::Limits,
    settings::{Restart, Roll},
    signal::Signal,
};

const SEEDS: u64 = 3000;
const STEPS: u32 = 500;
const SEEDS_VARIABLE: &str = "SUPERVISOR_SIM_SEEDS";
const SEED_VARIABLE: &str = "SUPERVISOR_SIM_SEED";

/// Steele, Lea and Flood's SplitMix64.
struct Chance(u64);

impl Chance {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A process of the simulated world.
#[derive(Debug, Default)]
struct Process {
    executed: bool,
    /// When it was decided that it shall end; it is asked then or, unheard, once executed.
    stopping: Option<Tick>,
    asked: bool,
    killed: bool,
    /// The kernel holds it: it does not end, whatever is sent.
    held: bool,
}

struct World {
    chance: Chance,
    pool: Pool,
    policy: Policy,
    now: Tick,
    processes: BTreeMap<WorkerId, Process>,
    abandoned: BTreeSet<WorkerId>,
    lives: BTreeMap<u32, u32>,
    /// No earlier start of this slot than that.
    not_before: BTreeMap<u32, Tick>,
    ended: BTreeSet<WorkerId>,
    transient: BTreeSet<u32>,
    shutdowns: Vec<Tick>,
    stale_news: u64,
    /// Vile worlds have processes that ignore signals; at the end all are made to obey.
    obedient: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let policy = Policy {
            workers: u32::try_from(1 + chance.below(6)).unwrap(),
            restart: [Restart::Never, Restart::OnFailure, Restart::Always, Restart::Always]
                [usize::try_from(chance.below(4)).unwrap()],
            roll: if chance.one_in(2) { Roll::StartFirst } else { Roll::StopFirst },
            grace: Duration::from_millis(chance.below(12_000)),
            stop_signal: Signal::TERM,
            limits: Limits::default(),
        };
        Self {
            chance,
            pool: Pool::new(policy.clone()),
            policy,
            now: Tick::ZERO,
            processes: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            lives: BTreeMap::new(),
            not_before: BTreeMap::new(),
            ended: BTreeSet::new(),
            transient: BTreeSet::new(),
            shutdowns: Vec::new(),
            stale_news: 0,
            obedient: false,
        }
    }

    fn step(&mut self, input: Input) {
        let mut actions = Vec::new();
        if let Input::Shutdown(reason) = input {
            let wish = matches!(reason, ShutdownReason::Signal(_));
            let again = |at: &Tick| wish && self.now >= *at + Duration::from_secs(1);
            if self.shutdowns.last().is_none_or(again) {
                self.shutdowns.push(self.now);
            }
        }
        self.pool.step(self.now, input, &mut actions);
        for action in actions {
            self.perform(action);
        }
        self.check();
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Spawn(worker) => self.spawn(worker),
            Action::Ask(worker) => {
                let process = self.live(worker);
                assert!(process.executed, "{worker} asked before it could hear");
                assert!(!process.asked, "{worker} asked twice");
                process.asked = true;
            }
            Action::Kill(worker) => {
                let climbed = self.shutdowns.len() > 1;
                let (now, grace) = (self.now, self.policy.grace);
                let process = self.live(worker);
                let due = process.stopping.is_some_and(|since| now >= since + grace);
                assert!(due || climbed, "{worker} killed before its grace was over");
                assert!(!process.killed, "{worker} killed twice");
                process.killed = true;
            }
            Action::Tell(Event::Undead { worker }) => {
                assert!(self.live(worker).killed, "{worker} abandoned but not killed");
                self.processes.remove(&worker);
                self.abandoned.insert(worker);
            }
            Action::Tell(Event::Ended(ended)) => {
                assert!(self.ended.insert(ended.worker), "{} ended twice", ended.worker);
                if let Next::Again(delay) = ended.next {
                    self.not_before.insert(ended.worker.slot, self.now + delay);
                }
            }
            Action::Tell(Event::Stopping { worker, kill: false, .. }) => {
                let now = self.now;
                self.live(worker).stopping.get_or_insert(now);
            }
            Action::Tell(_) => {}
        }
    }

    fn spawn(&mut self, worker: WorkerId) {
        let WorkerId { slot, life } = worker;
        assert!(self.shutdowns.is_empty(), "{worker} started during shutdown");
        let lives = self.lives.entry(slot).or_default();
        *lives += 1;
        assert_eq!(*lives, life, "lives are numbered in order");
        if self.policy.restart == Restart::Never && !self.transient.contains(&slot) {
            assert_eq!(life, 1, "{worker} is a restart");
        }
        let not_before = self.not_before.get(&slot).copied().unwrap_or_default();
        assert!(self.now >= not_before, "{worker} started before its time");
        self.processes
            .insert(worker, Process { held: self.chance.one_in(40), ..Process::default() });
    }

    fn live(&mut self, worker: WorkerId) -> &mut Process {
        self.processes
            .get_mut(&worker)
            .unwrap_or_else(|| panic!("{worker} is not there to be signalled"))
    }

    fn check(&self) {
        let held: BTreeSet<WorkerId> = (1..)
            .zip(&self.pool.slots)
            .flat_map(|(slot, held)| {
                held.lives_held().into_iter().map(move |life| WorkerId { slot, life })
            })
            .collect();
        let live: BTreeSet<WorkerId> = self.processes.keys().copied().collect();
        assert_eq!(held, live, "the pool holds what lives");
        let mut doubled = BTreeMap::new();
        live.iter().for_each(|worker| *doubled.entry(worker.slot).or_insert(0) += 1);
        assert!(doubled.values().all(|count| *count <= 2), "two processes a slot: {doubled:?}");
        assert!(doubled.values().filter(|count| **count == 2).count() <= 1, "one roll at a time");
        assert_eq!(self.pool.late_news(), self.stale_news, "what is stale is counted, and no more");
        let deadline = self.pool.next_deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "what was due is done");
        let stopping = self.processes.values().any(|process| process.stopping.is_some());
        assert!(!stopping || deadline.is_some(), "a stop always has its deadline");
        assert_eq!(self.pool.end().is_some(), self.finished(), "the run ends when all is at rest");
    }

    /// At rest: no process, and nothing that would start one.
    fn finished(&self) -> bool {
        self.processes.is_empty() && self.pool.next_deadline().is_none()
    }

    /// An input by chance; time passes first.
    fn chance_input(&mut self) -> Input {
        let until = self.pool.next_deadline();
        let mut passes = Duration::from_millis(self.chance.below(400));
        if self.chance.one_in(6) {
            passes = Duration::from_millis(self.chance.below(40_000));
        }
        self.now += passes;
        if let Some(deadline) = until.filter(|deadline| *deadline <= self.now) {
            self.now = deadline;
            return Input::Timer;
        }
        match self.chance.below(40) {
            0 => Input::Roll,
            1 if self.chance.one_in(8) => Input::Shutdown(ShutdownReason::Signal(Signal::INT)),
            1 if self.chance.one_in(8) => Input::Shutdown(ShutdownReason::OutputClosed),
            2..=4 => self.stale_news(),
            5 => Input::Timer,
            _ => self.news().unwrap_or(Input::Timer),
        }
    }

    fn stale_news(&mut self) -> Input {
        let slot = u32::try_from(self.chance.below(9)).unwrap();
        let lives = self.lives.get(&slot).copied().unwrap_or_default();
        let life = u32::try_from(self.chance.below(u64::from(lives) + 3)).unwrap();
        let worker = WorkerId { slot, life };
        if self.processes.contains_key(&worker) {
            return Input::Timer;
        }
        self.stale_news += 1;
        let news = if self.chance.one_in(2) { News::Executed { pid: 7 } } else { self.end() };
        Input::Worker { worker, news }
    }

    /// News of a process of the world, if it has any.
    fn news(&mut self) -> Option<Input> {
        let count = u64::try_from(self.processes.len()).unwrap().max(1);
        let nth = usize::try_from(self.chance.below(count)).unwrap();
        let (worker, process) = self.processes.iter_mut().nth(nth)?;
        let worker = *worker;
        if process.held && !self.obedient {
            return None;
        }
        let pressed = process.killed || process.asked;
        let news = if !process.executed && !process.killed && !self.chance.one_in(10) {
            process.executed = true;
            News::Executed { pid: 7 }
        } else if pressed || self.chance.one_in(3) {
            self.processes.remove(&worker);
            self.end()
        } else {
            return None;
        };
        if let News::Ended { end: Err(fault), .. } = &news
            && fault.is_transient()
        {
            self.transient.insert(worker.slot);
        }
        Some(Input::Worker { worker, news })
    }

    fn end(&mut self) -> News {
        let code = u8::try_from(self.chance.below(2)).unwrap();
        let status = match self.chance.below(3) {
            0 => Status::Signal { signal: Signal::KILL, core: false },
            _ => Status::Code(code),
        };
        let errno = [libc::ENOENT, libc::EAGAIN][usize::from(code)];
        let fault = StartFault { step: StartStep::Exec, errno };
        let evidence = Evidence {
            status,
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            own_cpu: Duration::ZERO,
            peak: Peak { bytes: 0, exact: true },
            says_out_of_memory: false,
            kernel_oom: false,
        };
        let end = if self.chance.one_in(12) { Err(fault) } else { Ok(evidence) };
        News::Ended { pid: Some(7), end, jitter: Jitter::from_random(self.chance.draw()) }
    }

    /// With everything obedient, a run that is asked to stop ends, and soon.
    fn wind_down(&mut self) {
        self.obedient = true;
        self.step(Input::Shutdown(ShutdownReason::Signal(Signal::TERM)));
        let asked = self.now;
        let mut turns = 0;
        while self.pool.end().is_none() {
            turns += 1;
            assert!(turns < 10_000, "the run does not end");
            let input = self.news().unwrap_or_else(|| {
                self.now = self.pool.next_deadline().unwrap_or(self.now);
                Input::Timer
            });
            self.step(input);
        }
        assert!(
            self.now <= asked + self.policy.grace + Duration::from_secs(2),
            "the end is bounded"
        );
        for (slot, lives) in &self.lives {
            for life in 1..=*lives {
                let worker = WorkerId { slot: *slot, life };
                let told = self.ended.contains(&worker);
                assert!(told != self.abandoned.contains(&worker), "{worker} has one end");
            }
        }
    }
}

fn simulate(seed: u64) {
    let mut world = World::new(seed);
    world.step(Input::Timer);
    for _ in 0..STEPS {
        let input = world.chance_input();
        world.step(input);
    }
    world.wind_down();
}

#[test]
fn every_promise_holds_under_every_schedule() {
    if let Ok(seed) = std::env::var(SEED_VARIABLE) {
        return simulate(seed.parse().unwrap());
    }
    let seeds = std::env::var(SEEDS_VARIABLE).map_or(SEEDS, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        if catch_unwind(AssertUnwindSafe(|| simulate(seed))).is_err() {
            panic!("seed {seed} breaks a promise; replay it with {SEED_VARIABLE}={seed}");
        }
    }
}
