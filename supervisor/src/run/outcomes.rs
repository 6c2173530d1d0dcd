//! The way of an outcome: recorded and committed, then shown to every view (which writes it), then
//! noted in the log as written. Each step waits for the one before.

use std::rc::Rc;

use super::{
    Perform, Run,
    handle::kernel_reason,
    input::JobInput,
    phase::{ControllingTerminal, OutputState},
    record::{Recording, Sequence},
    views::RunEvent,
};
use crate::{
    observers::Observers,
    sink::{Outlet, writer::WriteFailure},
};
use pool::{Action, Tick, event::ShutdownReason, job::Outcome};

/// What connects a run with the world, except its worker processes.
pub(super) struct Edges {
    pub(super) input: JobInput,
    pub(super) outlet: Rc<Outlet>,
    pub(super) output: OutputState,
    /// `None` for a run without a journal, and once it is closed.
    pub(super) recording: Option<Recording>,
    /// `None` for a run that nobody can observe.
    pub(super) observers: Option<Observers>,
    pub(super) terminal: ControllingTerminal,
    /// The names of the report files, for messages.
    pub(super) report_names: Vec<String>,
}

impl Edges {
    /// Whether outcomes have no room: in the log or on their way to the writer.
    pub(super) fn is_full(&self) -> bool {
        let has_room = self.recording.as_ref().is_none_or(Recording::has_room);
        !has_room || self.outlet.is_full()
    }

    /// The message about a report that cannot be written; `None` for a failure of stdout.
    pub(super) fn lost_report(&self, failure: WriteFailure) -> Option<String> {
        let WriteFailure::Report(number, errno) = failure else { return None };
        let name = self.report_names.get(number).map_or("", String::as_str);
        Some(format!("{name} cannot be written: {}", kernel_reason(errno)))
    }
}

impl<E: Perform> Run<E> {
    /// Records, shows and performs what the pool has decided. Outcomes are shown before events,
    /// so that the outcome of a job is written before any event about it.
    pub(super) fn perform(&mut self, now: Tick) {
        if let Some(recording) = &mut self.edges.recording {
            let executor = &self.executor;
            recording.record(now, &mut self.actions, |worker| executor.pid(worker));
            if let Some(unrecorded) = recording.unrecorded() {
                self.views.board.without(unrecorded);
            }
        }
        if !self.actions.settled.is_empty() {
            let outcomes = std::mem::take(&mut self.actions.settled);
            self.show(now, &outcomes);
            self.actions.settled = outcomes;
            self.actions.settled.clear();
        }
        for action in self.actions.list.drain(..) {
            if let Action::Emit(event) = &action {
                self.views.emit(now, RunEvent::Pool(event));
                continue;
            }
            let admitted = match &mut self.edges.recording {
                Some(recording) => recording.admit(action),
                None => Some(action),
            };
            if let Some(action) = admitted {
                self.executor.perform(action);
            }
        }
    }

    /// Shows outcomes to every view.
    fn show(&mut self, now: Tick, outcomes: &[Outcome]) {
        if !outcomes.is_empty() {
            self.emit(now, RunEvent::Settled(outcomes));
            self.check_results();
        }
    }

    /// Reports outcomes that could not be written: those that wait for their turn may find no room
    /// on disk, or may not be readable again.
    pub(super) fn check_results(&mut self) {
        let Some(error) = self.edges.outlet.results_failure() else { return };
        self.say(format!("supervisor: {error}\n"));
        if error.is_loss() && self.edges.output != OutputState::Failed {
            self.edges.output = OutputState::Lost(error.errno());
        }
    }

    /// The log has committed more, or has failed. Returns why the run stops, in that case.
    pub(super) fn committed(
        &mut self,
        committed: Result<Sequence, String>,
    ) -> Option<ShutdownReason> {
        let recording = self.edges.recording.as_mut()?;
        let now = self.clock.now();
        match committed {
            Ok(upto) => {
                let (outcomes, actions) = recording.commit(upto);
                for action in actions {
                    self.executor.perform(action);
                }
                self.show(now, &outcomes);
                self.note_written();
                None
            }
            Err(failure) => {
                let outcomes = recording.fail();
                self.views.board.without(recording.unrecorded().unwrap_or_default());
                let withheld = recording.take_withheld();
                self.say(format!("supervisor: {failure}\n"));
                withheld.into_iter().for_each(|text| self.say(text));
                self.show(now, &outcomes);
                Some(ShutdownReason::JournalFailed)
            }
        }
    }

    /// Notes in the log which outcomes have been written.
    pub(super) fn note_written(&mut self) {
        if let Some(recording) = &mut self.edges.recording {
            recording.written(self.edges.outlet.take_written());
        }
    }
}
