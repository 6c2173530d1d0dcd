//! The loop's reaction to news: a function from news to a response, without waiting.

use std::{collections::HashMap, fmt::Write as _, io};

use tokio::time::Instant;

use super::{
    Perform, Run,
    phase::{OutputState, Phase, StopRequest},
    record::Sequence,
    views::RunEvent,
};
use crate::{
    observe::{summary::standing, table::table},
    observers::Message,
    sink::writer::WriteFailure,
    source::Batch,
};
use pool::{
    Input, RunEnd,
    event::{ShutdownReason, WorkerId},
    rules::Restart,
    signal::Signal,
};
use process::{signals::Request, terminal};

/// Something that the loop has waited for.
#[derive(Debug)]
pub(super) enum News {
    /// The executor has an input for the pool.
    Input(Input),
    /// A signal arrived.
    Request(Request),
    /// The source has jobs, a message, or its end.
    Batch(Batch),
    /// Outcomes have room again.
    Room,
    /// The writer thread cannot write.
    OutputFailed(WriteFailure),
    /// The log has committed records up to this one, or has failed.
    Committed(Result<Sequence, String>),
    /// The writer thread has written outcomes.
    Written,
    /// An observer asks.
    Message(Message),
    /// A deadline has passed.
    Deadline,
}

/// What the loop does next.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and a box costs each step")]
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Response {
    /// Let the pool take this input.
    Step(Input),
    /// Wait for more news.
    Wait,
    /// Stop all processes until the supervisor is continued.
    Suspend,
    /// Kill everything and exit: the warden is dead.
    Abandon,
    /// Stop waiting for what is being written. Only a run whose workers have ended leaves.
    Leave,
}

impl From<Option<Input>> for Response {
    fn from(input: Option<Input>) -> Self {
        input.map_or(Self::Wait, Self::Step)
    }
}

impl<E: Perform> Run<E> {
    pub(super) fn handle(&mut self, news: News) -> Response {
        match self.phase {
            Phase::Running => self.handle_running(news),
            _ => self.handle_closing(news),
        }
    }

    fn handle_running(&mut self, news: News) -> Response {
        match news {
            News::Input(input) => Response::Step(input),
            News::Request(request) => self.request(request),
            News::Batch(supply) => self.supply(supply).into(),
            News::Room => self.due_input().into(),
            News::OutputFailed(failure) => {
                self.edges.output = OutputState::Failed;
                if let Some(loss) = self.edges.lost_report(failure) {
                    self.say(format!("supervisor: {loss}; the run is stopped\n"));
                }
                Response::Step(Input::Shutdown(self.reason(failure)))
            }
            News::Committed(committed) => match self.committed(committed) {
                // Even then a step: what was committed may have been the last.
                None => Response::Step(Input::Timer),
                Some(reason) => Response::Step(Input::Shutdown(reason)),
            },
            News::Written => {
                self.note_written();
                Response::Wait
            }
            // A step even without an input, so that many observers cannot keep workers waiting.
            News::Message(message) => Response::Step(self.answer(message).unwrap_or(Input::Timer)),
            News::Deadline => Response::Step(Input::Timer),
        }
    }

    fn handle_closing(&mut self, news: News) -> Response {
        match news {
            News::Request(request) => match self.request(request) {
                // The request was noted, and is judged by what came before it.
                Response::Step(_) => Response::Wait,
                response => response,
            },
            News::Committed(committed) => {
                if let Some(reason) = self.committed(committed) {
                    self.stopped_while_writing(reason);
                }
                Response::Wait
            }
            News::Message(message) => {
                // The pool has ended and takes no input.
                let _ = self.answer(message);
                Response::Wait
            }
            News::Written => {
                self.note_written();
                Response::Wait
            }
            // The timer may fire too early.
            News::Deadline => match self.phase.deadline() {
                Some(deadline) if Instant::now() >= deadline => {
                    // Without a request, this is the time for the whole run.
                    if !matches!(self.phase.end(), Some(RunEnd::Stopped(_))) {
                        self.stopped_while_writing(ShutdownReason::Deadline);
                    }
                    Response::Leave
                }
                _ => Response::Wait,
            },
            News::Input(_) | News::Batch(_) | News::Room | News::OutputFailed(_) => Response::Wait,
        }
    }

    fn request(&mut self, request: Request) -> Response {
        let rolls = self.settings.restart == Restart::Always;
        match request {
            Request::HangUp if rolls && !self.edges.terminal.has_closed() => {
                self.emit(self.clock.now(), RunEvent::RollRequested);
                Response::Step(Input::Roll)
            }
            Request::Stop(_) | Request::HangUp => {
                let stop = self.stops.note(Instant::now());
                let Some(signal) = request.stop_signal() else { return Response::Wait };
                self.stop_requested(stop, ShutdownReason::Signal(signal))
            }
            Request::Suspend => Response::Suspend,
            Request::Abandoned => Response::Abandon,
            Request::Report => {
                self.report();
                Response::Wait
            }
        }
    }

    /// A signal asks the run to stop. While workers run, the pool judges repetitions; afterwards a
    /// first request starts the grace period of the output, and a repeated one ends it.
    fn stop_requested(&mut self, stop: StopRequest, reason: ShutdownReason) -> Response {
        match (self.phase, stop) {
            (Phase::Running, _) => Response::Step(Input::Shutdown(reason)),
            (Phase::Writing { .. }, StopRequest::First) => {
                self.stopped_while_writing(reason);
                let grace = Instant::now() + self.settings.grace;
                if let Phase::Writing { deadline, .. } = &mut self.phase {
                    *deadline = Some(grace);
                }
                Response::Wait
            }
            (_, StopRequest::Repeated) => Response::Leave,
            (_, StopRequest::First | StopRequest::Same) => Response::Wait,
        }
    }

    fn stopped_while_writing(&mut self, reason: ShutdownReason) {
        if let Phase::Writing { end, .. } = &mut self.phase {
            *end = RunEnd::Stopped(reason);
        }
    }

    /// Writes a table of what runs, for SIGUSR1.
    fn report(&self) {
        let jobs = self.executor.current_jobs();
        let mut text = self.table(&jobs);
        if self.settings.jobs.is_some() {
            let standing = standing(self.views.board.jobs(), jobs.len());
            let _ = writeln!(text, "jobs: {standing}");
        }
        self.say(text);
    }

    /// The run as a table that fits the terminal on stderr.
    pub(super) fn table(&self, jobs: &HashMap<WorkerId, u64>) -> String {
        let width = terminal::columns(io::stderr()).map(usize::from);
        table(&self.views.board, jobs, width)
    }

    /// An input that follows from the run's own state: outcomes are lost, have no room, or have
    /// room again.
    pub(super) fn due_input(&mut self) -> Option<Input> {
        let (state, input) = match (self.edges.output, self.edges.is_full()) {
            (OutputState::Lost(errno), _) => {
                let reason = ShutdownReason::OutputFailed(errno);
                (OutputState::Failed, Input::Shutdown(reason))
            }
            (OutputState::Open, true) => (OutputState::Held, Input::Hold(true)),
            (OutputState::Held, false) => (OutputState::Open, Input::Hold(false)),
            (OutputState::Open | OutputState::Held | OutputState::Failed, _) => return None,
        };
        self.edges.output = state;
        Some(input)
    }

    /// Why the run stops when the writer fails. A closed terminal is the same reason whether the
    /// signal arrives first or the write fails first.
    pub(super) fn reason(&self, failure: WriteFailure) -> ShutdownReason {
        match failure {
            WriteFailure::Closed => ShutdownReason::OutputClosed,
            WriteFailure::Failed(_) if self.edges.terminal.has_closed() => {
                ShutdownReason::Signal(Signal::HUP)
            }
            WriteFailure::Failed(errno) => ShutdownReason::OutputFailed(errno),
            WriteFailure::Report(..) => ShutdownReason::ReportFailed,
        }
    }
}

/// The reason that the kernel gives for an error number.
pub(super) fn kernel_reason(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}
