//! The run: wait for something to happen, let the pool decide, do what it says. The only file
//! that names every folder.

use std::{io, rc::Rc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout};

use crate::{
    event::{Event, ShutdownReason},
    executor::Executor,
    observe::{board::Board, narrate::Narrator, table::table},
    os::{
        descriptors::{OpenFiles, TooFewFiles},
        signals::{Request, Requests},
        terminal,
    },
    pool::{Action, Input, Policy, Pool, RunEnd},
    settings::{Restart, Settings},
    signal::Signal,
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
        let outlet = Rc::new(Outlet::new(settings.output, writer));
        let run = Run {
            began: Instant::now(),
            pool: Pool::new(Policy::from(settings)),
            executor: Executor::new(settings, open_files, Rc::clone(&outlet)),
            board: Board::new(settings.workers.get()),
            narrator: Narrator {
                restart: settings.restart,
                limits: settings.program.limits.clone(),
            },
            outlet,
            signals,
            rolls: settings.restart == Restart::Always,
            had_terminal: terminal::is_attached(),
            output_failed: false,
        };
        Ok(run.until_end(settings.grace).await)
    })
}

struct Run {
    began: Instant,
    pool: Pool,
    executor: Executor,
    board: Board,
    narrator: Narrator,
    outlet: Rc<Outlet>,
    signals: Requests,
    rolls: bool,
    had_terminal: bool,
    output_failed: bool,
}

impl Run {
    async fn until_end(mut self, grace: Duration) -> RunEnd {
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
        self.conclude(end, grace).await
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
                    return Input::Shutdown(reason(failure));
                }
                () = sleep_until(deadline.unwrap_or(self.began)), if deadline.is_some() => {
                    return Input::Timer;
                }
            }
        }
    }

    fn requested(&self, request: Request) -> Option<Input> {
        match request {
            Request::Stop(signal) => Some(Input::Shutdown(ShutdownReason::Signal(signal))),
            Request::HangUp if self.rolls && !self.terminal_closed() => Some(Input::Roll),
            Request::HangUp => Some(Input::Shutdown(ShutdownReason::Signal(Signal::HUP))),
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

    fn tell(&mut self, event: &Event) {
        self.board.apply(event);
        self.outlet.event(event);
        if let Some(line) = self.narrator.line(event) {
            self.say(line);
        }
    }

    fn say(&self, text: String) {
        self.outlet.writer().push(Stream::Stderr, text.into_bytes());
    }

    /// Says how it all ended up, and waits until that is written: for a reader that has
    /// stopped, as long as he likes; once we were asked to stop, no longer than the grace.
    async fn conclude(self, end: RunEnd, grace: Duration) -> RunEnd {
        if !matches!(end, RunEnd::Stopped(ShutdownReason::CannotStart(_))) {
            self.board.rows().iter().for_each(|row| self.outlet.task(row));
            self.say(table(&self.board));
        }
        let dropped = self.outlet.writer().dropped_bytes();
        if dropped > 0 && !self.output_failed {
            self.say(format!(
                "supervisor: {dropped} bytes of output were dropped, since nobody read on\n"
            ));
        }
        let mut asked = matches!(end, RunEnd::Stopped(_));
        let outlet = Rc::clone(&self.outlet);
        let flushed = outlet.flushed();
        tokio::pin!(flushed);
        let mut end = end;
        while !asked {
            tokio::select! {
                () = &mut flushed => break,
                request = self.signals.next() => {
                    if let Some(Input::Shutdown(reason)) = self.requested(request) {
                        asked = true;
                        end = RunEnd::Stopped(reason);
                    }
                }
            }
        }
        if asked {
            let _ = timeout(grace, flushed).await;
        }
        match outlet.writer().failure() {
            Some(failure) if !matches!(end, RunEnd::Stopped(_)) => RunEnd::Stopped(reason(failure)),
            _ => end,
        }
    }
}

fn reason(failure: Failure) -> ShutdownReason {
    match failure {
        Failure::Closed => ShutdownReason::OutputClosed,
        Failure::Failed(errno) => ShutdownReason::OutputFailed(errno),
    }
}
