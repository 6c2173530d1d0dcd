//! The end of a run whose workers have all ended: the rest of the outcomes is recorded and written,
//! the summary is printed, the journal is closed, and observers learn how the run ended.
//!
//! A reader that has stopped may delay that for ever. Once a user has asked the run to stop, or the
//! time for the whole run is over, it waits for the grace period at most, and not at all when the
//! user asks again.

use std::{collections::HashMap, fmt::Write as _, pin::pin, rc::Rc, time::Duration};

use tokio::time::Instant;

use super::{
    Perform, Run,
    handle::Response,
    phase::{OutputState, Phase},
    record::Recording,
    status::{end_name, exit_status},
    views::RunEvent,
    wait::Waits,
};
use crate::{
    executor::Executor,
    observe::summary::{Partial, summary},
    settings::Output,
    sink::{Stream, reports::RunOver},
    source::Source,
};
use pool::{RunEnd, Tick, event::ShutdownReason};
use text::escape::visible;

/// The run waits no longer for what is being written: the grace period is over, or a user has
/// asked again.
struct Left;

impl Run<Executor> {
    /// Brings the run to its end, and returns how it ended.
    pub(super) async fn close(mut self, mut waits: Waits, end: RunEnd) -> RunEnd {
        let took = self.begin_closing(end);
        let orphans = self.executor.kill_orphans().await;
        self.report_orphans(&orphans);
        let written = self.write_rest(&mut waits, !is_quiet(end), took).await;
        let end = self.judge_output();
        let end = self.close_recording(&mut waits, end, written).await;
        self.take_leave(end).await;
        end
    }

    fn report_orphans(&self, orphans: &[String]) {
        if !orphans.is_empty() {
            let names = visible(orphans.join(", ").as_bytes());
            self.say(format!("supervisor: orphans of unknown origin: {names}; killed\n"));
        }
    }

    /// Waits until every outcome and the final text, if there is one, are written.
    async fn write_rest(
        &mut self,
        waits: &mut Waits,
        has_text: bool,
        took: Duration,
    ) -> Result<(), Left> {
        let outlet = Rc::clone(&self.edges.outlet);
        self.until_committed(waits).await?;
        self.until(waits, outlet.settled()).await?;
        self.complete_reports(took, has_text);
        if has_text {
            // Only now is it known how many ends could be recorded.
            let text = self.final_text(took) + &self.dropped_bytes();
            outlet.writer().push(Stream::Stderr, text.into_bytes());
        }
        self.until(waits, outlet.writer().flushed()).await?;
        // Even the last write may fail.
        if let Some(text) = self.late_failure() {
            self.say(text);
            self.until(waits, outlet.writer().flushed()).await?;
        }
        Ok(())
    }

    /// Waits until no outcome waits for a commit any more.
    async fn until_committed(&mut self, waits: &mut Waits) -> Result<(), Left> {
        while self.edges.recording.as_ref().is_some_and(Recording::holds_outcomes) {
            let news = waits.closing_news(self).await;
            let response = self.handle(news);
            self.respond(&response)?;
        }
        Ok(())
    }

    /// Waits for some work to be done, and serves users and observers meanwhile.
    async fn until<T>(
        &mut self,
        waits: &mut Waits,
        work: impl Future<Output = T>,
    ) -> Result<T, Left> {
        let mut work = pin!(work);
        loop {
            let news = tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                news = waits.closing_news(self) => news,
            };
            let response = self.handle(news);
            self.respond(&response)?;
        }
    }

    fn respond(&mut self, response: &Response) -> Result<(), Left> {
        match response {
            Response::Wait | Response::Step(_) => {}
            Response::Suspend => self.suspend(),
            Response::Abandon => self.abandon(),
            Response::Leave => return Err(Left),
        }
        Ok(())
    }

    /// Commits the rest of the journal, unless a user asks again to stop. A run that left jobs as
    /// failed as they were has not ended well.
    async fn close_recording(
        &mut self,
        waits: &mut Waits,
        end: RunEnd,
        written: Result<(), Left>,
    ) -> RunEnd {
        self.note_written();
        let Some(recording) = self.edges.recording.take() else { return end };
        // A reader of the journal keeps its write-ahead log from being truncated.
        self.edges.outlet.close_archive();
        let end = match end {
            RunEnd::Well if recording.failed_before() > 0 => RunEnd::Failed,
            end => end,
        };
        self.phase = Phase::Committing { end };
        let closed = recording.close(self.clock.since_1970(), exit_status(end));
        let failed = RunEnd::Stopped(ShutdownReason::JournalFailed);
        match self.until(waits, closed).await {
            Ok(Err(failure)) if end != failed => {
                self.say(format!("supervisor: {failure}\n"));
                // A reader that has stopped was given its time.
                if written.is_ok() {
                    self.edges.outlet.writer().flushed().await;
                }
                failed
            }
            Ok(_) | Err(Left) => end,
        }
    }

    /// Tells observers how the run ended.
    async fn take_leave(mut self, end: RunEnd) {
        let now = self.clock.now();
        self.phase = Phase::Over { end };
        self.emit(now, RunEvent::Over(self.over(now, end)));
        let view = self.view(now);
        let Some(observers) = self.edges.observers.take() else { return };
        // The stream of events ends with the views.
        drop(self.views);
        observers.end(view).await;
    }
}

impl<E: Perform> Run<E> {
    /// Leaves the phase in which workers run. Returns how long it took.
    pub(super) fn begin_closing(&mut self, end: RunEnd) -> Duration {
        let now = self.clock.now();
        let deadline = self.output_deadline(end);
        self.phase = Phase::Writing { end, deadline };
        self.emit(now, RunEvent::Closing);
        self.refresh_views(now);
        if let Some(recording) = &self.edges.recording {
            recording.flush();
        }
        now
    }

    /// When the run waits no longer for its readers: a grace period after what ended it, or after the
    /// time for the whole run.
    fn output_deadline(&self, end: RunEnd) -> Option<Instant> {
        let (now, grace) = (Instant::now(), self.settings.grace);
        if self.stops.is_requested() || end == RunEnd::Stopped(ShutdownReason::Deadline) {
            return Some(now + grace);
        }
        let time = self.settings.jobs.as_ref()?.rules.deadline?;
        Some(self.clock.instant(time).max(now) + grace)
    }

    /// The table or the summary that a run ends with.
    fn final_text(&mut self, took: Duration) -> String {
        if self.settings.jobs.is_none() {
            return self.table(&HashMap::new());
        }
        let is_whole = !self.edges.input.source.as_mut().is_some_and(Source::has_more);
        let wants_output = self.settings.output != Output::None;
        let settled = self.views.board.settled();
        let outputs = if wants_output { settled.cut() } else { 0 };
        let interrupted = settled.interrupted();
        let partial = Partial { input: !is_whole, outputs, interrupted };
        let mut text = summary(self.views.board.jobs(), partial, took);
        if let Some(recording) = &mut self.edges.recording {
            text += &recording.take_withheld().unwrap_or_default();
            text += &recording.summary(is_whole);
        }
        text
    }

    /// Completes the reports, and writes how each slot ended up in a run without jobs.
    fn complete_reports(&mut self, took: Duration, lists_slots: bool) {
        let end = self.phase.end().unwrap_or(RunEnd::Well);
        let over = self.over(took, end);
        self.emit(took, RunEvent::Written(over));
        if lists_slots && self.settings.jobs.is_none() {
            let ends = self.views.board.slots().iter().filter_map(|slot| slot.last.as_ref());
            ends.for_each(|last| self.edges.outlet.task(last));
        }
    }

    fn over(&self, at: Tick, end: RunEnd) -> RunOver {
        RunOver { at, status: end_name(end), jobs: self.views.board.jobs() }
    }

    /// The line about output that was dropped, unless the run has stopped for that reason.
    fn dropped_bytes(&self) -> String {
        let mut text = String::new();
        let dropped = self.edges.outlet.writer().dropped_bytes();
        if dropped > 0 && self.edges.output != OutputState::Failed {
            let _ = writeln!(
                text,
                "supervisor: {dropped} bytes of output were dropped, because nothing read them or \
                 they could not be written"
            );
        }
        text
    }

    /// The line about a report that could not be written to its end.
    fn late_failure(&self) -> Option<String> {
        let failure = self.edges.outlet.writer().failure();
        let failure = failure.filter(|_| self.edges.output != OutputState::Failed)?;
        Some(format!("supervisor: {}\n", self.edges.lost_report(failure)?))
    }

    /// How the run ended, now that its output is written or has failed. A run whose input has lost
    /// jobs has not ended well.
    fn judge_output(&self) -> RunEnd {
        let end = match self.phase.end().unwrap_or(RunEnd::Well) {
            end if exit_status(end) == 0 && self.edges.input.has_lost => RunEnd::Failed,
            end => end,
        };
        match self.edges.outlet.writer().failure() {
            Some(failure) if !matches!(end, RunEnd::Stopped(_)) => {
                RunEnd::Stopped(self.reason(failure))
            }
            _ => end,
        }
    }
}

/// Whether the end needs no table or summary: nothing ran, or nobody reads the output.
fn is_quiet(end: RunEnd) -> bool {
    matches!(
        end,
        RunEnd::Stopped(
            ShutdownReason::CannotStart(_)
                | ShutdownReason::NotAWorker(_)
                | ShutdownReason::OutputClosed
        )
    )
}
