//! How does a run come to rest, once everything has ended?

use std::{collections::HashMap, fmt::Write as _, rc::Rc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{Run, asked, record::Recording, recorded, request::loss};
use crate::{
    observe::{summary::summary, table::table},
    sink::{Outlet, Stream, reports::RunOver},
    source::Source,
};
use pool::{Input, RunEnd, Tick, event::ShutdownReason, signal::SAME_REQUEST};
use records::names;
use text::escape::visible;

impl Run {
    /// Says how it all ended up, and waits until that is written: for a reader that has
    /// stopped, as long as he likes; once we were asked to stop, no longer than the grace, and
    /// not at all when we are asked again.
    pub(super) async fn conclude(mut self, mut end: RunEnd) -> RunEnd {
        let outlet = Rc::clone(&self.outlet);
        self.say_what_is_left(end);
        // Where nothing ran, one message says it all; and nobody listens who closed our output.
        let quiet = matches!(
            end,
            RunEnd::Stopped(
                ShutdownReason::CannotStart(_)
                    | ShutdownReason::NotAWorker(_)
                    | ShutdownReason::OutputClosed
            )
        );
        let took = self.began.elapsed();
        self.end_strays().await;
        let text = (!quiet).then(|| self.how_it_went(took));
        let (board, output_failed) = (self.board.clone(), self.output_failed);
        let reports = self.reports.clone();
        let over = RunOver { at: took, status: names::run_status(end), jobs: board.jobs() };
        let has_jobs = self.settings.jobs.is_some();
        let told = async {
            outlet.settled().await;
            outlet.end_reports(over);
            if !quiet && !has_jobs {
                let ends = board.slots().iter().filter_map(|slot| slot.last.as_ref());
                ends.for_each(|last| outlet.task(last));
            }
            tell_the_end(text, &outlet, output_failed, &reports).await;
        };
        tokio::pin!(told);
        let mut patience = self.asked.map(|_| Instant::now() + self.settings.grace);
        loop {
            // What is recorded is told, and then how it all ended up.
            let holds = self.recording.as_ref().is_some_and(Recording::holds);
            tokio::select! {
                () = &mut told, if !holds => break,
                news = recorded(self.recording.as_ref()), if holds => {
                    if let Some(Input::Shutdown(reason)) = self.recorded(news) {
                        end = RunEnd::Stopped(reason);
                    }
                }
                () = sleep_until(patience.unwrap_or(self.began)), if patience.is_some() => break,
                ask = asked(&mut self.observers) => drop(self.answer(ask)),
                request = self.signals.next() => {
                    let before = self.asked;
                    let Some(Input::Shutdown(reason)) = self.requested(request) else { continue };
                    match before {
                        None => {
                            end = RunEnd::Stopped(reason);
                            patience = Some(Instant::now() + self.settings.grace);
                        }
                        Some(before) if before.elapsed() < SAME_REQUEST => {}
                        Some(_) => break,
                    }
                }
            }
        }
        let end = match outlet.writer().failure() {
            Some(failure) if !matches!(end, RunEnd::Stopped(_)) => {
                RunEnd::Stopped(self.reason(failure))
            }
            _ => end,
        };
        let end = self.close_recording(end).await;
        self.take_leave(end).await;
        end
    }

    fn how_it_went(&mut self, took: Duration) -> String {
        if self.settings.jobs.is_none() {
            return table(&self.board, &HashMap::new());
        }
        let is_whole = !self.source.as_mut().is_some_and(Source::has_more);
        let text = summary(self.board.jobs(), is_whole, took);
        let recorded = self.recording.as_mut().map(|recording| {
            recording.take_untold().unwrap_or_default() + &recording.summary(is_whole)
        });
        text + &recorded.unwrap_or_default()
    }

    /// Ends what hid from whom it came.
    async fn end_strays(&self) {
        let strays = self.executor.kill_orphans().await;
        if !strays.is_empty() {
            let names = visible(strays.join(", ").as_bytes());
            self.say(format!("supervisor: left by whom cannot be told: {names}; killed\n"));
        }
    }

    /// What was kept for later is said now, and those who are told of phases hear of this one.
    fn say_what_is_left(&mut self, end: RunEnd) {
        self.over = Some(end);
        if let Some(notice) = &mut self.notice {
            notice.end(&self.board);
        }
        if let Some(line) = self.narrator.withheld(Tick::MAX) {
            self.say(line);
        }
        if let Some(recording) = &self.recording {
            recording.flush();
        }
        if self.progress.take().is_some() {
            self.outlet.writer().set_status(String::new());
        }
    }
}

async fn tell_the_end(
    text: Option<String>,
    outlet: &Outlet,
    output_failed: bool,
    reports: &[String],
) {
    let writer = outlet.writer();
    if let Some(mut text) = text {
        let dropped = writer.dropped_bytes();
        if dropped > 0 && !output_failed {
            let _ = writeln!(
                text,
                "supervisor: {dropped} bytes of output were dropped, since nobody read on"
            );
        }
        writer.push(Stream::Stderr, text.into_bytes());
    }
    writer.flushed().await;
    // The last that is written may fail as well.
    let failure = writer.failure().filter(|_| !output_failed);
    if let Some(said) = failure.and_then(|failure| loss(failure, reports)) {
        writer.push(Stream::Stderr, format!("supervisor: {said}\n").into_bytes());
        writer.flushed().await;
    }
}
