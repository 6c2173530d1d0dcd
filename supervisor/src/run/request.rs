//! What do signals ask of the run, and what does an output that fails?

use std::{fmt::Write as _, io, process};

use tokio::time::Instant;

use super::Run;
use crate::{
    observe::{summary::standing, table::table},
    sink::writer::Failure,
};
use ::process::{
    signals::{Request, suspend},
    terminal,
    tree::Suspended,
};
use pool::{Input, event::ShutdownReason, rules::Restart, signal::Signal};

impl Run {
    pub(super) fn requested(&mut self, request: Request) -> Option<Input> {
        let rolls = self.settings.restart == Restart::Always;
        match request {
            Request::HangUp if rolls && !self.terminal_closed() => {
                if let Some(notice) = &mut self.notice {
                    notice.reload();
                }
                Some(Input::Roll)
            }
            Request::Stop(_) | Request::HangUp => {
                self.asked = Some(Instant::now());
                request.stop_signal().map(ShutdownReason::Signal).map(Input::Shutdown)
            }
            Request::Suspend => {
                self.suspend();
                None
            }
            Request::Abandoned => {
                self.executor.kill_descendants();
                process::exit(128 + Signal::KILL.number())
            }
            Request::Report => {
                let jobs = self.executor.current_jobs().collect();
                let mut text = table(&self.board, &jobs);
                if self.settings.jobs.is_some() {
                    let _ = writeln!(text, "jobs: {}", standing(self.board.jobs(), jobs.len()));
                }
                self.say(text);
                None
            }
        }
    }

    /// Stops all that runs and ourselves, as Ctrl-Z has it. That time does not count.
    fn suspend(&mut self) {
        let frozen = Suspended::stop_descendants();
        let at = Instant::now();
        suspend(Signal::TSTP);
        let stopped = at.elapsed();
        self.began += stopped;
        frozen.resume(stopped);
    }

    /// A shell sends its HUP on to us when its terminal closes, so the sender tells nothing;
    /// but by then the terminal is gone.
    fn terminal_closed(&self) -> bool {
        self.had_terminal && !terminal::is_attached()
    }

    /// A terminal that closed is the same news whether the signal comes first or the write fails.
    pub(super) fn reason(&self, failure: Failure) -> ShutdownReason {
        match failure {
            Failure::Closed => ShutdownReason::OutputClosed,
            Failure::Failed(_) if self.terminal_closed() => ShutdownReason::Signal(Signal::HUP),
            Failure::Failed(errno) => ShutdownReason::OutputFailed(errno),
            Failure::Report(..) => ShutdownReason::ReportFailed,
        }
    }
}

/// What is said where a report is lost, one of these. (Of stdout the end of the program tells.)
pub(super) fn loss(failure: Failure, reports: &[String]) -> Option<String> {
    let Failure::Report(number, errno) = failure else { return None };
    let name = reports.get(number).map_or("", String::as_str);
    let reason = io::Error::from_raw_os_error(errno);
    Some(format!("{name} cannot be written: {reason}"))
}
