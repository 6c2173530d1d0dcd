//! How does the loop serve those who look on? It shows them the board when they ask, and tells the
//! stream of events to those who listen.

use std::sync::{Arc, OnceLock};

use super::Run;
use crate::{
    notice::Notice,
    observe::view::{RunningJob, View},
    observers::Message,
    progress::Total,
    settings::Settings,
    sink::{Stream, writer::Writer},
};
use pool::{Input, RunEnd, Tick, event::Event, job::Outcome};
use records::{events, names};

/// The service manager that started us, if one did; it is no reason not to run that it is gone.
pub(super) fn notice(settings: &Settings, writer: &Writer) -> Option<Notice> {
    let notice = Notice::new(settings.notify.as_deref()?);
    if let Err(error) = &notice {
        let said = format!(
            "supervisor: no service manager is told how the run fares: NOTIFY_SOCKET: {error}\n"
        );
        writer.push(Stream::Stderr, said.into_bytes());
    }
    notice.ok()
}

impl Run {
    /// Answers an observer's message. A command becomes an input for the pool.
    pub(super) fn answer(&mut self, message: Message) -> Option<Input> {
        match message {
            Message::Output(reply) => {
                // An observer that has gone does not need the answer.
                let _ = reply.send(self.outlet.recent());
            }
            Message::Command(command, reply) => {
                let (answer, input) = match self.command(&command) {
                    Ok((done, input)) => (Ok(done), input),
                    Err(refusal) => (Err(refusal), None),
                };
                let _ = reply.send(answer);
                return input;
            }
            Message::View(reply) => {
                let now = self.began.elapsed();
                self.board.sample(now);
                // Taken out, because a view is taken of all the rest.
                if let Some(mut observers) = self.observers.take() {
                    let _ = reply.send(observers.view(now, || self.view(now)));
                    self.observers = Some(observers);
                }
            }
            Message::Measured(all) => {
                all.into_iter().for_each(|(worker, bytes)| self.board.measured(worker, bytes));
                // The observer that measured asks for a view next.
                if let Some(observers) = &mut self.observers {
                    observers.invalidate();
                }
            }
        }
        None
    }

    pub(super) fn view(&self, now: Tick) -> View {
        let running = self.pool.running().map(|it| {
            RunningJob::new(it.worker, it.id, it.attempt, it.payload.as_bytes(), it.since)
        });
        View {
            at: now,
            about: Arc::clone(&self.about),
            board: self.board.clone(),
            running: running.collect(),
            total: self.total.as_ref().and_then(Total::get),
            dropped_bytes: self.outlet.writer().dropped_bytes(),
            end: self.over.map(names::run_status),
            snapshot: OnceLock::new(),
        }
    }

    pub(super) fn show_outcomes(&mut self, now: Tick, settled: &[Outcome]) {
        if let Some(stream) = &mut self.stream {
            let write = |outcome: &Outcome, out: &mut Vec<u8>| events::job(now, outcome, out);
            stream.send(now, settled, write);
        }
    }

    pub(super) fn show_event(&mut self, now: Tick, event: &Event) {
        if let Some(notice) = &mut self.notice {
            notice.note(event);
        }
        // How jobs stand is in every view, and changes with every step.
        if let (Some(stream), false) = (&mut self.stream, matches!(event, Event::Jobs(_))) {
            let write = |event: &Event, out: &mut Vec<u8>| events::event(now, event, out);
            stream.send(now, std::slice::from_ref(event), write);
        }
    }

    /// Tells a service manager what is new.
    pub(super) fn notify(&mut self, now: Tick) {
        if let Some(notice) = &mut self.notice {
            notice.tell(now, &self.board, self.pool.is_rolling());
        }
    }

    /// Says how many records were left out, once their time is over.
    pub(super) fn show_skipped(&mut self, now: Tick) {
        let Some(stream) = &mut self.stream else { return };
        if let Some(records) = stream.take_skipped(now) {
            stream.send_always(|out| events::skipped(now, records, self.board.jobs(), out));
        }
    }

    /// The run is over: those who look on hear of it.
    pub(super) async fn take_leave(&mut self, end: RunEnd) {
        self.show_skipped(Tick::MAX);
        let now = self.began.elapsed();
        self.over = Some(end);
        let view = self.view(now);
        let (Some(observers), Some(mut stream)) = (self.observers.take(), self.stream.take())
        else {
            return;
        };
        let jobs = self.board.jobs();
        stream.send_always(|out| events::end(now, names::run_status(end), jobs, out));
        drop(stream);
        observers.end(view).await;
    }
}
