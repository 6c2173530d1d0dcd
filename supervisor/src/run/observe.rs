//! Answers to observers' messages.

use std::sync::{Arc, OnceLock};

use super::{Perform, Run, status::end_name};
use crate::{
    observe::view::{RunningJob, View},
    observers::Message,
    progress::Total,
};
use pool::{Input, Tick};

impl<E: Perform> Run<E> {
    /// Answers an observer's message. A command becomes an input for the pool.
    pub(super) fn answer(&mut self, message: Message) -> Option<Input> {
        // An observer that has gone does not need its answer.
        match message {
            Message::Output(reply) => drop(reply.send(self.edges.outlet.recent())),
            Message::Command(command, reply) => {
                let (answer, input) = match self.command(&command) {
                    Ok((done, input)) => (Ok(done), input),
                    Err(refusal) => (Err(refusal), None),
                };
                drop(reply.send(answer));
                return input;
            }
            Message::View(reply) => {
                let now = self.clock.now();
                self.views.board.sample(now);
                // Taken out, because a view is taken of the whole run.
                if let Some(mut observers) = self.edges.observers.take() {
                    drop(reply.send(observers.view(now, || self.view(now))));
                    self.edges.observers = Some(observers);
                }
            }
            Message::Measured(all) => {
                for (worker, bytes) in all {
                    self.views.board.measured(worker, bytes);
                }
                // The observer that measured asks for a view next.
                if let Some(observers) = &mut self.edges.observers {
                    observers.invalidate();
                }
            }
        }
        None
    }

    /// A view of the run at this moment.
    pub(super) fn view(&self, now: Tick) -> View {
        let running = self.pool.running().map(|it| {
            RunningJob::new(it.worker, it.id, it.attempt, it.payload.as_bytes(), it.since)
        });
        View {
            at: now,
            info: Arc::clone(&self.info),
            board: self.views.board.clone(),
            running: running.collect(),
            total: self.edges.input.total.as_ref().and_then(Total::get),
            dropped_bytes: self.edges.outlet.writer().dropped_bytes(),
            end: self.phase.end().map(end_name),
            snapshot: OnceLock::new(),
        }
    }
}
