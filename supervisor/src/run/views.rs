//! Views of a run. Everything that may be reported is a [`RunEvent`], and every view receives every
//! one of them: a new view is one `impl` of [`View`] and one line in [`Views::new`].

use std::rc::Rc;

use crate::{
    observe::{board::Board, narrator::Narrator},
    observers::EventStream,
    progress::{Frame, Progress},
    readiness::Readiness,
    settings::Settings,
    sink::{Outlet, Reports, Stream, reports::RunOver},
};
use pool::{Tick, event::Event, job::Outcome};
use records::{RunInfo, events};

/// Something that a view may show.
#[derive(Clone, Copy, Debug)]
pub(super) enum RunEvent<'a> {
    /// The pool reports an event.
    Pool(&'a Event),
    /// These jobs have ended. With a journal, their outcomes are committed.
    Settled(&'a [Outcome]),
    /// A user asked for the workers to be replaced one by one.
    RollRequested,
    /// All workers have ended; their output and the outcomes of jobs are still being written.
    Closing,
    /// All output and all outcomes are with the writer: reports can be completed.
    Written(RunOver),
    /// The run is over.
    Over(RunOver),
}

/// What a view may look at when it refreshes.
pub(super) struct Scene<'a> {
    /// The fold of all events.
    pub(super) board: &'a Board,
    /// Whether workers are being replaced one by one.
    pub(super) is_rolling: bool,
    /// Counts the jobs that workers run at the moment; reads shared memory of each worker.
    pub(super) running: &'a dyn Fn() -> usize,
}

/// Shows a run in one way. A view reports and counts; it never decides or waits.
pub(super) trait View {
    /// Takes in an event that happened at `now`.
    fn apply(&mut self, now: Tick, event: RunEvent<'_>);

    /// When the view wants to be refreshed, if nothing happens before.
    fn due(&self) -> Option<Tick> {
        None
    }

    /// Shows what depends on time or on more than one event. Called once a turn of the loop.
    fn refresh(&mut self, _now: Tick, _scene: &Scene<'_>) {}
}

/// The views of a run. The board is apart, because others are drawn from it.
pub(super) struct Views {
    pub(super) board: Board,
    others: Vec<Box<dyn View>>,
}

/// The views that a run has only sometimes.
#[derive(Default)]
pub(super) struct Optional {
    pub(super) stream: Option<EventStream>,
    pub(super) progress: Option<Progress>,
    pub(super) readiness: Option<Readiness>,
}

impl Views {
    pub(super) fn new(
        settings: &Rc<Settings>,
        info: &std::sync::Arc<RunInfo>,
        outlet: &Rc<Outlet>,
        optional: Optional,
    ) -> Self {
        let mut others: Vec<Box<dyn View>> = vec![
            Box::new(Rc::clone(outlet)),
            Box::new(Reports::new(settings, info, Rc::clone(outlet))),
        ];
        if let Some(stream) = optional.stream {
            others.push(Box::new(Subscribers { stream }));
        }
        others.push(Box::new(Narration {
            narrator: Narrator::new(settings),
            settings: Rc::clone(settings),
            outlet: Rc::clone(outlet),
        }));
        if let Some(progress) = optional.progress {
            others.push(Box::new(ProgressLine { progress, outlet: Rc::clone(outlet) }));
        }
        if let Some(readiness) = optional.readiness {
            others.push(Box::new(Notifier { readiness, state: NotifierState::Live }));
        }
        Self { board: Board::new(settings.workers.get()), others }
    }

    /// Shows an event to every view.
    pub(super) fn emit(&mut self, now: Tick, event: RunEvent<'_>) {
        View::apply(&mut self.board, now, event);
        for view in &mut self.others {
            view.apply(now, event);
        }
    }

    /// Refreshes every view.
    pub(super) fn refresh(&mut self, now: Tick, is_rolling: bool, running: &dyn Fn() -> usize) {
        let scene = Scene { board: &self.board, is_rolling, running };
        for view in &mut self.others {
            view.refresh(now, &scene);
        }
    }

    /// When the next view wants to be refreshed.
    pub(super) fn due(&self) -> Option<Tick> {
        self.others.iter().filter_map(|view| view.due()).min()
    }

    #[cfg(test)]
    pub(super) fn push(&mut self, view: Box<dyn View>) {
        self.others.push(view);
    }
}

impl View for Board {
    fn apply(&mut self, now: Tick, event: RunEvent<'_>) {
        match event {
            RunEvent::Pool(event) => self.apply(now, event),
            RunEvent::Settled(outcomes) => self.settle(now, outcomes),
            RunEvent::RollRequested
            | RunEvent::Closing
            | RunEvent::Written(_)
            | RunEvent::Over(_) => {}
        }
    }
}

/// stdout and the recent output for observers.
impl View for Rc<Outlet> {
    fn apply(&mut self, _: Tick, event: RunEvent<'_>) {
        match event {
            RunEvent::Pool(event) => self.event(event),
            RunEvent::Settled(outcomes) => self.outcomes(outcomes),
            RunEvent::RollRequested
            | RunEvent::Closing
            | RunEvent::Written(_)
            | RunEvent::Over(_) => {}
        }
    }
}

/// The files of `--joblog`, `--report` and `--events`.
impl View for Reports {
    fn apply(&mut self, now: Tick, event: RunEvent<'_>) {
        match event {
            RunEvent::Pool(event) => self.event(now, event),
            RunEvent::Settled(outcomes) => self.outcomes(now, outcomes),
            RunEvent::Written(over) => self.end(over),
            RunEvent::RollRequested | RunEvent::Closing | RunEvent::Over(_) => {}
        }
    }
}

/// The event stream for subscribers of the control socket and the web server.
struct Subscribers {
    stream: EventStream,
}

impl View for Subscribers {
    fn apply(&mut self, now: Tick, event: RunEvent<'_>) {
        match event {
            // The tally changes with every step, and is in every view of the board.
            RunEvent::Pool(Event::Jobs(_)) => {}
            RunEvent::Pool(event) => {
                self.stream.send(now, &[event], |event, out| events::event(now, event, out));
            }
            RunEvent::Settled(outcomes) => {
                self.stream.send(now, outcomes, |outcome, out| events::job(now, outcome, out));
            }
            RunEvent::Over(RunOver { at, status, jobs }) => {
                if let Some(records) = self.stream.take_skipped(Tick::MAX) {
                    self.stream.send_always(|out| events::skipped(at, records, jobs, out));
                }
                self.stream.send_always(|out| events::end(at, status, jobs, out));
            }
            RunEvent::RollRequested | RunEvent::Closing | RunEvent::Written(_) => {}
        }
    }

    fn due(&self) -> Option<Tick> {
        self.stream.due()
    }

    fn refresh(&mut self, now: Tick, scene: &Scene<'_>) {
        if let Some(records) = self.stream.take_skipped(now) {
            let jobs = scene.board.jobs();
            self.stream.send_always(|out| events::skipped(now, records, jobs, out));
        }
    }
}

/// The messages on stderr.
struct Narration {
    narrator: Narrator,
    settings: Rc<Settings>,
    outlet: Rc<Outlet>,
}

impl Narration {
    fn write(&self, text: Option<String>) {
        if let Some(text) = text {
            self.outlet.writer().push(Stream::Stderr, text.into_bytes());
        }
    }
}

impl View for Narration {
    fn apply(&mut self, now: Tick, event: RunEvent<'_>) {
        match event {
            RunEvent::Pool(event) => {
                let text = self.narrator.event(now, event, &self.settings);
                self.write(text);
            }
            RunEvent::Settled(outcomes) => {
                for outcome in outcomes {
                    let text = self.narrator.outcome(now, outcome);
                    self.write(text);
                }
            }
            RunEvent::Closing => {
                let text = self.narrator.take_withheld(Tick::MAX);
                self.write(text);
            }
            RunEvent::RollRequested | RunEvent::Written(_) | RunEvent::Over(_) => {}
        }
    }

    fn due(&self) -> Option<Tick> {
        self.narrator.due()
    }

    fn refresh(&mut self, now: Tick, _: &Scene<'_>) {
        let text = self.narrator.take_withheld(now);
        self.write(text);
    }
}

/// The progress bar on a terminal, or progress lines in a log.
struct ProgressLine {
    progress: Progress,
    outlet: Rc<Outlet>,
}

impl View for ProgressLine {
    fn apply(&mut self, _: Tick, event: RunEvent<'_>) {
        if let RunEvent::Closing = event {
            self.progress.stop();
            self.outlet.writer().set_status(String::new());
        }
    }

    fn due(&self) -> Option<Tick> {
        self.progress.due()
    }

    fn refresh(&mut self, now: Tick, scene: &Scene<'_>) {
        if self.progress.due().is_none_or(|due| due > now) {
            return;
        }
        let writer = self.outlet.writer();
        match self.progress.draw(now, scene.board.jobs(), (scene.running)()) {
            Frame::Status(line) => writer.set_status(line),
            Frame::Line(line) => writer.push(Stream::Stderr, line.into_bytes()),
        }
    }
}

/// The notifications for a service manager.
struct Notifier {
    readiness: Readiness,
    state: NotifierState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum NotifierState {
    Live,
    /// The end of the run is to be sent.
    Closing,
    Over,
}

impl View for Notifier {
    fn apply(&mut self, _: Tick, event: RunEvent<'_>) {
        match event {
            RunEvent::Pool(event) => self.readiness.note(event),
            RunEvent::RollRequested => self.readiness.request_reload(),
            RunEvent::Closing => self.state = NotifierState::Closing,
            RunEvent::Settled(_) | RunEvent::Written(_) | RunEvent::Over(_) => {}
        }
    }

    fn due(&self) -> Option<Tick> {
        self.readiness.due()
    }

    fn refresh(&mut self, now: Tick, scene: &Scene<'_>) {
        match self.state {
            NotifierState::Live => self.readiness.update(now, scene.board, scene.is_rolling),
            NotifierState::Closing => {
                self.readiness.end(scene.board);
                self.state = NotifierState::Over;
            }
            NotifierState::Over => {}
        }
    }
}
