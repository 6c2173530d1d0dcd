//! The run: wait for something to happen, let the pool decide, do what it says. The only file
//! that names every folder.

use std::{fmt::Write as _, io, rc::Rc};

use tokio::time::{Instant, sleep_until};

use crate::{
    event::{Event, ShutdownReason},
    executor::Executor,
    observe::{board::Board, narrate, table::table},
    os::{
        descriptors::{OpenFiles, TooFewFiles},
        signals::{Request, Requests},
        terminal,
    },
    pool::{Action, Input, Policy, Pool, RunEnd},
    settings::{Restart, Settings},
    signal::{SAME_REQUEST, Signal},
    sink::{
        Outlet, Stream,
        writer::{Failure, Writer},
    },
};

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The limit of open files.
    #[error(transparent)]
    TooFewFiles(#[from] TooFewFiles),
    /// Something the kernel refused.
    #[error("cannot {what}")]
    Refused {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Runs workers until all have ended. To be called on the process's first thread, before it has
/// others: the workers' lives hang on it.
///
/// # Errors
/// The run could not begin; nothing was started.
pub fn run(settings: &Settings) -> Result<RunEnd, RunError> {
    let refused = |what| move |source| RunError::Refused { what, source };
    let open_files = OpenFiles::raise().map_err(refused("read the limit of open files"))?;
    open_files.suffice_for(settings.workers.get(), 0, "workers", "--workers")?;
    let writer = Writer::open().map_err(refused("start the thread that writes"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(refused("start the runtime"))?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let signals = Requests::open().map_err(refused("listen to signals"))?;
        let workers = settings.workers.get();
        let outlet = Rc::new(Outlet::new(settings.output, workers, writer));
        let run = Run {
            settings,
            began: Instant::now(),
            pool: Pool::new(Policy::from(settings)),
            executor: Executor::new(settings, open_files, Rc::clone(&outlet)),
            board: Board::new(workers),
            outlet,
            signals,
            had_terminal: terminal::is_attached(),
            output_failed: false,
            asked: None,
        };
        Ok(run.until_end().await)
    })
}

struct Run<'a> {
    settings: &'a Settings,
    began: Instant,
    pool: Pool,
    executor: Executor,
    board: Board,
    outlet: Rc<Outlet>,
    signals: Requests,
    had_terminal: bool,
    output_failed: bool,
    /// When a signal last asked for the end.
    asked: Option<Instant>,
}

impl Run<'_> {
    async fn until_end(mut self) -> RunEnd {
        let mut actions = Vec::new();
        let mut input = Input::Timer;
        let end = loop {
            self.pool.step(self.began.elapsed(), input, &mut actions);
            for action in actions.drain(..) {
                match &action {
                    Action::Tell(event) => self.tell(event),
                    action => self.executor.perform(action),
                }
            }
            if let Some(end) = self.pool.end() {
                break end;
            }
            input = self.next_input().await;
        };
        self.conclude(end).await
    }

    /// Waits for whatever comes first: a worker's news, a signal, an output that fails, or the
    /// pool's next deadline.
    async fn next_input(&mut self) -> Input {
        loop {
            let deadline = self.pool.next_deadline().map(|tick| self.began + tick);
            tokio::select! {
                input = self.executor.next() => return input,
                request = self.signals.next() => {
                    if let Some(input) = self.requested(request) {
                        return input;
                    }
                }
                failure = self.outlet.writer().failed(), if !self.output_failed => {
                    self.output_failed = true;
                    return Input::Shutdown(self.reason(failure));
                }
                () = sleep_until(deadline.unwrap_or(self.began)), if deadline.is_some() => {
                    return Input::Timer;
                }
            }
        }
    }

    fn requested(&mut self, request: Request) -> Option<Input> {
        let rolls = self.settings.restart == Restart::Always;
        match request {
            Request::HangUp if rolls && !self.terminal_closed() => Some(Input::Roll),
            Request::Stop(_) | Request::HangUp => {
                self.asked = Some(Instant::now());
                request.stop_signal().map(ShutdownReason::Signal).map(Input::Shutdown)
            }
            Request::Report => {
                self.say(table(&self.board));
                None
            }
        }
    }

    /// A shell sends its HUP on to us when its terminal closes, so the sender tells nothing;
    /// but by then the terminal is gone.
    fn terminal_closed(&self) -> bool {
        self.had_terminal && !terminal::is_attached()
    }

    /// A terminal that closed is the same news whether the signal comes first or the write fails.
    fn reason(&self, failure: Failure) -> ShutdownReason {
        match failure {
            Failure::Closed => ShutdownReason::OutputClosed,
            Failure::Failed(_) if self.terminal_closed() => ShutdownReason::Signal(Signal::HUP),
            Failure::Failed(errno) => ShutdownReason::OutputFailed(errno),
        }
    }

    fn tell(&mut self, event: &Event) {
        self.board.apply(event);
        self.outlet.event(event);
        if let Some(line) = narrate::line(event, self.settings) {
            self.say(line);
        }
    }

    fn say(&self, text: String) {
        self.outlet.writer().push(Stream::Stderr, text.into_bytes());
    }

    /// Says how it all ended up, and waits until that is written: for a reader that has
    /// stopped, as long as he likes; once we were asked to stop, no longer than the grace, and
    /// not at all when we are asked again.
    async fn conclude(mut self, mut end: RunEnd) -> RunEnd {
        let outlet = Rc::clone(&self.outlet);
        // Where nothing ran, one message says it all; and nobody listens who closed our output.
        let quiet = matches!(
            end,
            RunEnd::Stopped(ShutdownReason::CannotStart(_) | ShutdownReason::OutputClosed)
        );
        let (board, output_failed) = (self.board.clone(), self.output_failed);
        let told = async {
            outlet.settled().await;
            if !quiet {
                tell_how_all_ended(&board, &outlet, output_failed);
            }
            outlet.writer().flushed().await;
        };
        tokio::pin!(told);
        let mut patience = self.asked.map(|_| Instant::now() + self.settings.grace);
        loop {
            tokio::select! {
                () = &mut told => break,
                () = sleep_until(patience.unwrap_or(self.began)), if patience.is_some() => break,
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
        match outlet.writer().failure() {
            Some(failure) if !matches!(end, RunEnd::Stopped(_)) => {
                RunEnd::Stopped(self.reason(failure))
            }
            _ => end,
        }
    }
}

fn tell_how_all_ended(board: &Board, outlet: &Outlet, output_failed: bool) {
    board.slots().iter().filter_map(|slot| slot.last.as_ref()).for_each(|last| outlet.task(last));
    let mut text = table(board);
    let dropped = outlet.writer().dropped_bytes();
    if dropped > 0 && !output_failed {
        let _ = writeln!(
            text,
            "supervisor: {dropped} bytes of output were dropped, since nobody read on"
        );
    }
    outlet.writer().push(Stream::Stderr, text.into_bytes());
}
