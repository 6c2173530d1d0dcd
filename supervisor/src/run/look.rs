//! How does the loop serve those who look on? It shows them the board when they ask, and tells the
//! stream of events to those who listen.

use std::{
    borrow::Cow,
    io,
    sync::{Arc, OnceLock},
};

use super::Run;
use crate::{
    about::About,
    event::Event,
    job::Outcome,
    observe::view::{RunningJob, View},
    onlook::{Ask, Onlookers, Task},
    pool::{RunEnd, Tick},
    settings::Settings,
    sink::events,
    template::{Filling, Template},
};

/// What the run is.
pub(super) fn about(settings: &Settings) -> About {
    let jobs = settings.jobs.as_ref();
    let title = match jobs.and_then(|jobs| jobs.commands.as_ref()) {
        Some(commands) => command_line(&commands.template),
        None => {
            let words = settings.program.argv.iter().map(|word| word.to_string_lossy());
            words.collect::<Vec<_>>().join(" ")
        }
    };
    About {
        pid: std::process::id(),
        version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
        title,
        began_unix_ms: events::unix_ms(),
        workers: settings.workers.get(),
        has_jobs: jobs.is_some(),
        total: jobs.and_then(|jobs| jobs.source.count()),
    }
}

/// A command as it was typed, but for quotes.
fn command_line(template: &Template) -> String {
    let mut line = Vec::new();
    template.show(Filling { payload: b"{}", number: 0, slot: 0 }, &mut line);
    String::from_utf8_lossy(&line).replace("'{}'", "{}")
}

/// Those who may look on; no thread is started where there are none.
pub(super) fn onlookers(_: &Settings) -> io::Result<Option<Onlookers>> {
    let tasks: Vec<Task> = Vec::new();
    if tasks.is_empty() {
        return Ok(None);
    }
    Onlookers::start(tasks).map(Some)
}

impl Run {
    /// Answers one who looks on.
    pub(super) fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Look(to) => {
                let now = self.began.elapsed();
                self.board.sample(now);
                // Taken out, since a view is taken of all the rest.
                if let Some(mut onlookers) = self.onlookers.take() {
                    onlookers.show(now, to, || self.view(now));
                    self.onlookers = Some(onlookers);
                }
            }
            Ask::Measured(all) => {
                all.into_iter().for_each(|(worker, bytes)| self.board.measured(worker, bytes));
            }
        }
    }

    pub(super) fn view(&self, now: Tick) -> View {
        let running = self.pool.running().map(|(worker, order, since)| {
            RunningJob::new(worker, order.id, order.attempt, order.payload.as_bytes(), since)
        });
        View {
            at: now,
            about: Arc::clone(&self.about),
            board: self.board.clone(),
            running: running.collect(),
            dropped_bytes: self.outlet.writer().dropped_bytes(),
            end: self.over.map(end_name),
            snapshot: OnceLock::new(),
        }
    }

    pub(super) fn show_outcomes(&mut self, now: Tick, settled: &[Outcome]) {
        if let Some(onlookers) = &mut self.onlookers {
            let write = |outcome: &Outcome, out: &mut Vec<u8>| events::job(now, outcome, out);
            onlookers.stream().tell(now, settled, write);
        }
    }

    pub(super) fn show_event(&mut self, now: Tick, event: &Event) {
        // How jobs stand is in every view, and changes with every step.
        if let (Some(onlookers), false) = (&mut self.onlookers, matches!(event, Event::Jobs(_))) {
            let write = |event: &Event, out: &mut Vec<u8>| events::event(now, event, out);
            onlookers.stream().tell(now, std::slice::from_ref(event), write);
        }
    }

    /// Says how many records were left out, once their time is over.
    pub(super) fn show_skipped(&mut self, now: Tick) {
        let Some(onlookers) = &mut self.onlookers else { return };
        let stream = onlookers.stream();
        if let Some(records) = stream.take_skipped(now) {
            stream.must_tell(|out| events::skipped(now, records, self.board.jobs(), out));
        }
    }

    /// The run is over: those who look on hear of it.
    pub(super) async fn take_leave(&mut self, end: RunEnd) {
        self.show_skipped(Tick::MAX);
        let now = self.began.elapsed();
        self.over = Some(end);
        let view = self.view(now);
        let Some(mut onlookers) = self.onlookers.take() else { return };
        let jobs = self.board.jobs();
        onlookers.stream().must_tell(|out| events::end(now, end_name(end), jobs, out));
        onlookers.end(view).await;
    }
}

/// What records call a run's end.
pub(super) fn end_name(end: RunEnd) -> &'static str {
    match end {
        RunEnd::Well => "ok",
        RunEnd::Failed => "failed",
        RunEnd::GaveUp => "gave up",
        RunEnd::Stopped(_) => "stopped",
    }
}
