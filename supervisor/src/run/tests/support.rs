//! A run without processes: its executor records actions, its log is a list, and its writer has no
//! thread.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use super::super::{
    Perform, Run,
    handle::{News, Response},
    input::JobInput,
    outcomes::Edges,
    phase::{Clock, ControllingTerminal, OutputState, Phase, StopRequests},
    record::{Known, LocalFuture, Log, Recording, Sequence},
    views::{Optional, RunEvent, View, Views},
};
use crate::{
    settings::{JobSource, Jobs, Output, Progress, Separator, Settings, Wire, Workers},
    sink::{Outlet, writer::Writer},
    source::Batch,
};
use pool::{
    Abilities, Action, Actions, Answer, Input, News as WorkerNews, Policy, Pool, Reply, Tick,
    event::WorkerId,
    job::{Attempt, Job, JobEnd, Outcome, Payload},
    rules::{Intensity, JobRules, Prefetch, Recycle, Repeats, Restart, RetryOn, Roll},
    signal::Signal,
};
use process::{KillScope, Program, descriptors::OpenFiles};
use records::RunInfo;

pub(crate) const ONE: WorkerId = WorkerId { slot: 1, generation: 1 };
pub(crate) const TWO: WorkerId = WorkerId { slot: 2, generation: 1 };

/// An executor that performs nothing and records everything.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) performed: Vec<Action>,
}

impl Perform for Recorder {
    fn perform(&mut self, action: Action) {
        self.performed.push(action);
    }

    fn pid(&self, worker: WorkerId) -> Option<i32> {
        Some(pid(worker))
    }

    fn signal(&self, worker: WorkerId, _: Signal) -> std::io::Result<()> {
        // The first slot has a process that takes signals.
        (worker.slot == 1).then_some(()).ok_or_else(|| std::io::Error::other("it runs no command"))
    }

    fn current_jobs(&self) -> HashMap<WorkerId, u64> {
        HashMap::new()
    }

    fn open_files(&self) -> OpenFiles {
        OpenFiles::raise().unwrap()
    }
}

fn pid(worker: WorkerId) -> i32 {
    i32::try_from(worker.slot * 100 + worker.generation).unwrap()
}

/// A log in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct ListLog {
    pub(super) records: Rc<RefCell<Vec<String>>>,
    pub(super) submitted: Rc<Cell<usize>>,
    /// What previous runs did, by the bytes of a job.
    pub(super) known: HashMap<&'static str, Known>,
    pub(super) starts_come_first: bool,
    pub(super) jobs: u64,
}

impl ListLog {
    fn push(&self, record: String) {
        self.records.borrow_mut().push(record);
    }
}

impl Log for ListLog {
    fn compare<'a>(&'a mut self, _: &'a Jobs) -> LocalFuture<'a, Option<(String, u64)>> {
        Box::pin(async { None })
    }

    fn rewind(&mut self) {}

    fn identify(&mut self, job: &Job) -> Known {
        let text = String::from_utf8_lossy(job.payload.as_bytes());
        if let Some(known) = self.known.get(&*text) {
            return *known;
        }
        self.jobs += 1;
        self.push(format!("job {}", self.jobs));
        Known::Open { id: self.jobs }
    }

    fn identify_too_long(&mut self, job: &Job, _: u64) -> Known {
        self.identify(job)
    }

    fn missing(&mut self) -> Vec<u64> {
        Vec::new()
    }

    fn started(&mut self, job: u64, attempt: u32, worker: WorkerId, _: i32, _: Tick) {
        self.push(format!("started {job} attempt {attempt} on {worker}"));
    }

    fn start_cancelled(&mut self, job: u64) {
        self.push(format!("start cancelled {job}"));
    }

    fn ended(&mut self, job: u64, attempt: &Attempt, end: Option<&JobEnd>) {
        let last = if end.is_some() { ", the last" } else { "" };
        self.push(format!("ended {job} attempt {}{last}", attempt.number));
    }

    fn written(&mut self, first: u64, last: u64) {
        self.push(format!("written {first} to {last}"));
    }

    fn submit(&mut self) -> Option<Sequence> {
        let count = self.records.borrow().len();
        (self.submitted.replace(count) < count).then_some(count as u64)
    }

    fn discard(&mut self) {
        self.records.borrow_mut().truncate(self.submitted.get());
    }

    fn flush(&self) {}

    fn has_room(&self) -> bool {
        true
    }

    fn room(&self) -> LocalFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn committed_beyond(&self, _: Sequence) -> LocalFuture<'_, Result<Sequence, String>> {
        Box::pin(std::future::pending())
    }

    fn starts_come_first(&self) -> bool {
        self.starts_come_first
    }

    fn failed_before(&self) -> u64 {
        0
    }

    fn summary(&self, _: bool) -> String {
        String::new()
    }

    fn close(self: Box<Self>, _: Duration, _: u8) -> LocalFuture<'static, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A view that lists the names of what it is shown.
#[derive(Clone, Default)]
pub(super) struct Shown(pub(super) Rc<RefCell<Vec<String>>>);

impl Shown {
    pub(super) fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

impl View for Shown {
    fn apply(&mut self, _: Tick, event: RunEvent<'_>) {
        let name = match event {
            RunEvent::Pool(pool::event::Event::Jobs(tally)) => {
                format!("{} settled", tally.settled())
            }
            RunEvent::Pool(event) => {
                let text = format!("{event:?}");
                text.split([' ', '(']).next().unwrap_or_default().to_owned()
            }
            RunEvent::Settled(outcomes) => {
                let ids: Vec<_> = outcomes.iter().map(|outcome| outcome.id.to_string()).collect();
                format!("job {} settled", ids.join(" and "))
            }
            RunEvent::RollRequested => "roll requested".into(),
            RunEvent::Closing => "closing".into(),
            RunEvent::Written(over) => format!("written: {}", over.status),
            RunEvent::Over(over) => format!("over: {}", over.status),
        };
        self.0.borrow_mut().push(name);
    }
}

fn rules() -> JobRules {
    JobRules {
        retries: 0,
        retry_delay: Duration::from_millis(1),
        retry_on: RetryOn { error: true, panic: true, timeout: true },
        crash_retries: 0,
        repeats: Repeats::Allowed,
        timeout: None,
        deadline: None,
        prefetch: Prefetch::Fixed(1),
        delay: Duration::ZERO,
        halt: None,
        start_timeout: Duration::from_secs(30),
        recycle: Recycle::default(),
    }
}

pub(super) fn settings(restart: Restart, has_jobs: bool) -> Settings {
    let jobs = Jobs {
        source: JobSource::Stdin,
        separator: Separator::Newline,
        keep_order: false,
        progress: Progress::None,
        wire: Wire::Frames,
        frame_bytes_max: 1 << 20,
        rules: rules(),
        commands: None,
        journal: None,
    };
    Settings {
        program: Program {
            argv: vec!["worker".into()],
            env: Vec::new(),
            directory: None,
            limits: pool::limits::Limits::default(),
        },
        workers: "2".parse::<Workers>().unwrap(),
        restart,
        intensity: Intensity::default(),
        roll: Roll::StartFirst,
        grace: Duration::from_secs(5),
        stop_signal: Signal::TERM,
        kill_scope: KillScope::Tree,
        output: Output::Raw,
        jobs: has_jobs.then_some(jobs),
        reports: Vec::new(),
        serve: None,
        name: None,
        notify: None,
    }
}

fn info() -> RunInfo {
    RunInfo {
        id: "k3f9".into(),
        name: None,
        pid: 1,
        version: "1".into(),
        title: "worker".into(),
        began_unix_ms: records::Millis::default(),
        workers: 2,
        has_jobs: true,
        total: None,
    }
}

/// A run with two workers that have not been started.
pub(super) fn run(settings: Settings, log: Option<ListLog>) -> (Run<Recorder>, Shown) {
    let (settings, info) = (Rc::new(settings), Arc::new(info()));
    let outlet = Rc::new(Outlet::new(&settings, Writer::idle(), None));
    let mut views = Views::new(&settings, &info, &outlet, Optional::default());
    let shown = Shown::default();
    views.push(Box::new(shown.clone()));
    let run = Run {
        clock: Clock::start(Duration::ZERO),
        pool: Pool::new(Policy::from(&*settings)),
        actions: Actions::default(),
        executor: Recorder::default(),
        edges: Edges {
            input: JobInput::default(),
            outlet,
            output: OutputState::Open,
            recording: log.map(|log| Recording::new(Box::new(log))),
            observers: None,
            terminal: ControllingTerminal::none(),
            report_names: vec!["--joblog log".into()],
        },
        views,
        phase: Phase::Running,
        stops: StopRequests::default(),
        settings,
        info,
    };
    (run, shown)
}

/// The same, with two workers that are ready for jobs.
pub(super) fn ready(log: Option<ListLog>) -> (Run<Recorder>, Shown) {
    ready_under(Restart::OnFailure, log)
}

/// The same with this restart policy.
pub(super) fn ready_under(restart: Restart, log: Option<ListLog>) -> (Run<Recorder>, Shown) {
    let (mut run, shown) = run(settings(restart, true), log);
    run.step(Input::Timer);
    for worker in [ONE, TWO] {
        run.worker_news(worker, WorkerNews::Executed { pid: pid(worker) });
        let abilities = Abilities { recorder: true, cancels: true, queues: false };
        run.worker_news(worker, WorkerNews::Hello(abilities));
    }
    run.executor.performed.clear();
    shown.take();
    (run, shown)
}

impl Run<Recorder> {
    /// Handles news, and takes the step that follows from them.
    pub(super) fn take_news(&mut self, news: News) {
        if let Response::Step(input) = self.handle(news) {
            self.step(input);
        }
    }

    pub(super) fn worker_news(&mut self, worker: WorkerId, news: WorkerNews) {
        self.take_news(News::Input(Input::Worker { worker, news }));
    }

    /// Supplies jobs with these inputs.
    pub(super) fn supply_jobs(&mut self, inputs: &[&str]) {
        let job = |input: &&str| Job { payload: Payload::copy(input.as_bytes()), position: 1 };
        self.take_news(News::Batch(Batch::Jobs(inputs.iter().map(job).collect())));
    }

    /// A worker has done a job.
    pub(super) fn reply(&mut self, worker: WorkerId, id: u64) {
        let answer = Answer::Done(Payload::copy(b"reply"));
        let replies = vec![Reply { id, attempt: 1, service_ns: 1, answer }];
        self.worker_news(worker, WorkerNews::Replies { replies, memory: None, printed: false });
    }

    /// The workers that were sent jobs since the last call.
    pub(super) fn sent(&mut self) -> Vec<WorkerId> {
        let performed = std::mem::take(&mut self.executor.performed);
        let sent = performed.iter().filter_map(|action| match action {
            Action::Send { worker, .. } => Some(*worker),
            _ => None,
        });
        sent.collect()
    }
}

/// An outcome of a job that was done.
pub(crate) fn outcome(id: u64) -> Outcome {
    let (payload, last, earlier) = (Payload::copy(b""), None, Vec::new());
    let end = JobEnd::Ok(payload.clone());
    Outcome { id, place: id, position: id, payload, end, last, earlier, again: false }
}

/// The actions by which the pool sends one job to each of two workers.
pub(crate) fn sends() -> Vec<Action> {
    let (mut run, _) = ready(None);
    run.supply_jobs(&["a", "b"]);
    let is_send = |action: &Action| matches!(action, Action::Send { .. });
    run.executor.performed.into_iter().filter(is_send).collect()
}
