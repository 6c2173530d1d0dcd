//! The simulated world. Time passes, processes advance, news arrives late but in order, jobs arrive
//! and users make requests, all at random.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::{
    Chance,
    bugs::Bug,
    expected::Expected,
    nature::{self, Nature},
    process::Process,
};
use crate::{
    decide::{Action, Actions, Input, News, Policy, Pool, Tick},
    event::{Event, ShutdownReason, Tally, WorkerId},
    exit::StopReason,
    job::{Attempt, Payload},
    signal::SAME_REQUEST,
};

/// The world's knowledge of a job.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) position: u64,
    pub(super) holder: Option<WorkerId>,
    /// Whether it was ever sent to a worker.
    pub(super) was_sent: bool,
    pub(super) not_before: Tick,
    pub(super) attempts: Vec<Attempt>,
    /// The number of workers in a row that died with the job next in their queue.
    pub(super) unbegun: u32,
    pub(super) settled: bool,
}

pub(super) struct World {
    pub(super) chance: Chance,
    pub(super) pool: Pool,
    pub(super) policy: Policy,
    pub(super) nature: Nature,
    pub(super) now: Tick,
    /// How fast time passes; `bustle` is how many steps processes take in between.
    pub(super) pace: Duration,
    bustle: u64,
    pub(super) processes: BTreeMap<WorkerId, Process>,
    /// The worker whose end is reported to the pool in this step.
    pub(super) dying: Option<(WorkerId, Process)>,
    pub(super) abandoned: BTreeSet<WorkerId>,
    pub(super) generations: BTreeMap<u32, u32>,
    /// Announced starts by slot, and the earliest time of each.
    pub(super) to_start: BTreeMap<u32, Tick>,
    pub(super) ended: BTreeSet<WorkerId>,
    pub(super) transient: BTreeSet<u32>,
    /// Slots that were given up, and when workers of each slot crashed.
    pub(super) given_up: BTreeSet<u32>,
    pub(super) crashes: BTreeMap<u32, Vec<Tick>>,
    /// Workers whose start is being examined.
    pub(super) start_examinations: VecDeque<WorkerId>,
    /// When the shutdown was last escalated; `pressed` is whether a user repeated the request.
    pub(super) climbed: Option<Tick>,
    pub(super) pressed: bool,
    /// When running jobs began to have no more than the grace period.
    pub(super) hurries: Option<Tick>,
    /// Whether running jobs have no time left.
    pub(super) at_once: bool,
    pub(super) stopping: Option<ShutdownReason>,
    pub(super) stale_news: u64,

    pub(super) jobs: Vec<Record>,
    /// The tally as it was last reported.
    pub(super) reported: Tally,
    pub(super) expected: Vec<Expected>,
    pub(super) answers: BTreeMap<u64, Payload>,
    /// Attempts that ended in this step, as the pool reports them.
    pub(super) fresh: Vec<(u64, Attempt)>,
    pub(super) hold: bool,
    pub(super) paused: bool,
    /// When a job was last sent.
    pub(super) sent: Option<Tick>,
    pub(super) source_ended: bool,
    /// Whether a worker was started in this step.
    pub(super) spawned: bool,
    /// Whether all jobs were settled before this step.
    pub(super) was_done: bool,
    /// Jobs that were cancelled.
    pub(super) cancelled: BTreeSet<u64>,
    /// Jobs with an attempt that has begun and not ended, as a journal would record it.
    pub(super) begun: BTreeSet<u64>,
    /// The number of workers that a user asked for last; 0 before that.
    pub(super) scale: u32,
    /// Workers whose memory is being sampled.
    pub(super) sampling: VecDeque<Vec<WorkerId>>,
    /// Workers above their limit, according to the samples of this step.
    pub(super) too_heavy: BTreeSet<WorkerId>,
    /// The worker whose replies the pool gets in this step.
    pub(super) replied: Option<WorkerId>,
    /// Workers that were replaced for their failures since a job last succeeded, and the same
    /// number before this step.
    pub(super) in_vain: u32,
    pub(super) in_vain_before: u32,
    /// The number of doubtful samples of each worker in a row.
    pub(super) doubts: BTreeMap<WorkerId, u32>,
    /// The bug that is planted in the pool.
    pub(super) bug: Option<Bug>,
    /// The number of jobs that the source still has.
    pub(super) to_come: u64,
    pub(super) position: u64,
}

impl World {
    pub(super) fn new(seed: u64, has_jobs: bool) -> Self {
        let mut chance = Chance(seed);
        let policy = nature::policy(has_jobs, &mut chance);
        let nature = Nature::new(&policy, &mut chance);
        let (bustle, pace_us) = if has_jobs {
            (chance.pick(&[2, 6, 20]), chance.pick(&[20, 1000, 50_000, 400_000]))
        } else {
            (1, 400_000)
        };
        Self {
            pool: Pool::new(policy.clone()),
            to_start: (1..=policy.workers).map(|slot| (slot, Tick::ZERO)).collect(),
            policy,
            nature,
            now: Tick::ZERO,
            pace: Duration::from_micros(pace_us),
            bustle,
            processes: BTreeMap::new(),
            dying: None,
            abandoned: BTreeSet::new(),
            generations: BTreeMap::new(),
            ended: BTreeSet::new(),
            transient: BTreeSet::new(),
            given_up: BTreeSet::new(),
            crashes: BTreeMap::new(),
            start_examinations: VecDeque::new(),
            climbed: None,
            pressed: false,
            hurries: None,
            at_once: false,
            stopping: None,
            stale_news: 0,
            jobs: Vec::new(),
            reported: Tally::default(),
            expected: Vec::new(),
            answers: BTreeMap::new(),
            fresh: Vec::new(),
            hold: false,
            paused: false,
            sent: None,
            source_ended: false,
            spawned: false,
            was_done: false,
            cancelled: BTreeSet::new(),
            begun: BTreeSet::new(),
            scale: 0,
            sampling: VecDeque::new(),
            too_heavy: BTreeSet::new(),
            replied: None,
            in_vain: 0,
            in_vain_before: 0,
            doubts: BTreeMap::new(),
            bug: None,
            to_come: chance.below(61),
            position: 0,
            chance,
        }
    }

    pub(super) fn begin(&mut self) {
        self.step(Input::Timer);
    }

    /// Lets time pass and processes advance, and gives the pool one input.
    pub(super) fn go_on(&mut self) {
        for _ in 0..self.bustle {
            self.let_live();
        }
        let input = self.chance_input();
        self.step(input);
    }

    fn step(&mut self, input: Input) {
        let mut actions = Actions::default();
        if let Input::Shutdown(reason) = input {
            let wish = matches!(reason, ShutdownReason::Signal(_));
            let hurries = self.hurries.is_some() || self.at_once;
            if self.climbed.is_some_and(|at| wish && hurries && self.now >= at + SAME_REQUEST) {
                self.pressed = true;
                self.climbed = Some(self.now);
            }
        }
        let unsent = match &input {
            Input::Worker { worker, news: News::Unsendable { .. } } => Some(*worker),
            _ => None,
        };
        let dying = self.dying.as_ref().map(|(_, process)| process);
        let input = match self.bug {
            Some(bug) => bug.misheard(input, dying),
            None => input,
        };
        self.pool.step(self.now, input, &mut actions);
        if let Some(bug) = self.bug {
            bug.forget(&mut self.pool, unsent);
            self.misdecide(bug, &mut actions);
        }
        for action in &actions.list {
            // The outcomes of this step follow after these attempts.
            match action {
                Action::Emit(Event::Unkillable { worker }) => self.abandon(*worker),
                Action::Emit(Event::Retried { id, attempt, again }) => {
                    self.retried(*id, attempt, *again);
                    self.begun(*id, false);
                }
                Action::Requeued { id } => self.begun(*id, false),
                _ => {}
            }
        }
        for outcome in &actions.settled {
            self.settle(outcome);
        }
        for action in actions.list {
            self.perform(action);
        }
        self.check();
        self.check_samples();
        self.check_failing();
        self.check_condemned();
        self.was_done = self.is_done();
    }

    pub(super) fn process(&mut self, worker: WorkerId) -> &mut Process {
        self.processes
            .get_mut(&worker)
            .unwrap_or_else(|| panic!("{worker} is not there to be dealt with"))
    }

    fn misdecide(&self, bug: Bug, actions: &mut Actions) {
        let dying = self.dying.as_ref().map(|(worker, _)| *worker);
        for action in &mut actions.list {
            let tried = match action {
                Action::Requeued { id } => {
                    self.jobs[usize::try_from(*id - 1).unwrap()].attempts.len()
                }
                _ => 0,
            };
            bug.misdecided(action, dying, tried);
        }
    }

    /// Whether all jobs are settled.
    pub(super) fn is_done(&self) -> bool {
        self.nature.jobs && self.source_ended && self.jobs.iter().all(|job| job.settled)
    }

    fn let_live(&mut self) {
        if self.processes.is_empty() {
            return;
        }
        let nth = self.chance.index(self.processes.len());
        if let Some(process) = self.processes.values_mut().nth(nth) {
            process.live(&self.nature, &mut self.chance);
        }
    }

    /// Brings the run to its end. Either it is requested to stop, and ends soon whatever its
    /// processes do; or the processes behave well, and all jobs are done.
    pub(super) fn wind_down(&mut self) {
        let asks = !self.nature.jobs || self.chance.one_in(2);
        self.nature.obedient = !self.nature.jobs || !asks || self.chance.one_in(2);
        let began = self.now;
        if asks {
            self.source_ended |= self.chance.one_in(2);
            let wish = self.wish();
            self.step(Input::Shutdown(wish));
        } else {
            self.finish_source();
        }
        self.run_out();
        let (unkillable, grace) = (Duration::from_secs(2), self.policy.grace);
        let bound = match (asks, self.nature.jobs) {
            (true, false) => grace + unkillable,
            (true, true) => grace + unkillable + grace + unkillable,
            (false, _) => Duration::from_secs(600),
        };
        assert!(self.now <= began + bound, "the end is bounded: {:?}", self.now - began);
        self.check_ends();
    }

    fn finish_source(&mut self) {
        self.hold = false;
        self.step(Input::Hold(false));
        self.paused = false;
        self.step(Input::Pause(false));
        while self.to_come > 0 {
            let input = self.job_input();
            self.step(input);
        }
        self.hold = false;
        self.step(Input::Hold(false));
        self.source_ended = true;
        self.step(Input::SourceEnded);
    }

    /// Lets the run end. Time passes only if nothing else happens.
    fn run_out(&mut self) {
        /// Processes that are silent for this number of turns stay silent.
        const SILENCE: u32 = 40;
        let (mut turns, mut silent) = (0, 0);
        while self.pool.end().is_none() {
            turns += 1;
            assert!(turns < 20_000, "the run does not end");
            for _ in 0..self.processes.len() * 2 {
                self.let_live();
            }
            let input = self.samples().or_else(|| self.start_examined());
            let input = input.or_else(|| self.news());
            silent = if input.is_some() { 0 } else { silent + 1 };
            let is_quiet = self.processes.values().all(Process::is_quiet);
            if silent > SILENCE || input.is_none() && is_quiet {
                self.now = self.pool.next_deadline().unwrap_or(self.now).max(self.now);
                silent = 0;
            }
            self.step(input.unwrap_or(Input::Timer));
        }
    }
}

/// Whether a worker that stops for this reason is being replaced.
pub(super) fn is_roll(why: StopReason) -> bool {
    matches!(why, StopReason::Roll | StopReason::Recycle)
}
