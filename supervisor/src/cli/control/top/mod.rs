//! `supervisor top`: shows a live run on a terminal. Threads send keys, snapshots of the run,
//! answers and signals into one channel; the main thread applies each message and redraws.

mod columns;
mod draw;
mod layout;
mod palette;
mod rates;
#[cfg(test)]
mod sample;
mod screen;
mod state;
#[cfg(test)]
mod tests;
mod text;

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use crossterm::event::{self, Event};
use pool::signal::Signal;
use process::signals::{BlockingRequests, Request, die_by, suspend};
use records::Snapshot;
use supervisor::{
    control::{
        client::{self, ClientError, Lines},
        wire::{Performed, Query},
    },
    model::ControlCommand,
};

use self::{
    palette::Palette,
    screen::Screen,
    state::{Link, Response, Top},
};
use super::{Fault, Which};

/// Capacity of the channel.
const MESSAGES_MAX: usize = 16;
/// Seconds without a snapshot from which on the screen shows that the run does not answer.
const SILENCE_SECONDS_MIN: u64 = 2;
const SECOND: Duration = Duration::from_secs(1);

/// A message to the main thread.
enum Message {
    Terminal(Event),
    Snapshot(Box<Snapshot>),
    Answer(String),
    Signal(Signal),
    /// The run has ended, and so have its snapshots.
    Ended,
    /// The terminal cannot be read any more.
    TerminalLost(io::Error),
}

/// How `top` ends.
enum End {
    Quit,
    Signal(Signal),
}

/// Shows the run until the user quits or a signal arrives.
pub(super) fn main(which: &Which) -> Result<(), Fault> {
    if !Screen::is_available() {
        let message = "top draws on a terminal, and this is none: for a program there is supervisor ps --format jsonl";
        return Err(Fault::NotThere(message.into()));
    }
    let found = client::run(which.run.as_deref())?;
    let id = found.id().to_owned();
    let mut lines = found.listen(Query::Watch)?;
    let Some(first) = next_snapshot(&mut lines)? else { return Err(ClientError::NoRun.into()) };
    let (to, messages) = sync_channel(MESSAGES_MAX);
    let signals = BlockingRequests::open().map_err(Fault::Terminal)?;
    let screen = Screen::take().map_err(Fault::Terminal)?;
    start(to.clone(), move |to| {
        signals
            .filter_map(Request::stop_signal)
            .map(Message::Signal)
            .all(|signal| to.send(signal).is_ok())
    });
    start(to.clone(), keys);
    start(to.clone(), move |to| watch(lines, to));
    match (Live { id, top: Top::new(first), messages, to }).show(screen).map_err(Fault::Terminal)? {
        End::Quit => Ok(()),
        End::Signal(signal) => die_by(signal),
    }
}

fn start<T>(
    to: SyncSender<Message>,
    body: impl FnOnce(&SyncSender<Message>) -> T + Send + 'static,
) {
    // The thread is not joined: it ends with the process at the latest.
    thread::spawn(move || drop(body(&to)));
}

/// Reads the next snapshot; `None` at the end of the stream.
fn next_snapshot(lines: &mut Lines) -> Result<Option<Snapshot>, ClientError> {
    let line = lines.next_line()?;
    Ok(line.map(|line| serde_json::from_str(&line)).transpose()?)
}

fn watch(mut lines: Lines, to: &SyncSender<Message>) {
    // A line that cannot be parsed ends the stream, too.
    while let Ok(Some(snapshot)) = next_snapshot(&mut lines) {
        if to.send(Message::Snapshot(Box::new(snapshot))).is_err() {
            return;
        }
    }
    let _ = to.send(Message::Ended);
}

fn keys(to: &SyncSender<Message>) {
    loop {
        let (message, is_last) = match event::read() {
            Ok(event) => (Message::Terminal(event), false),
            Err(error) => (Message::TerminalLost(error), true),
        };
        if to.send(message).is_err() || is_last {
            return;
        }
    }
}

/// A run on the screen, and the messages about it.
struct Live {
    id: String,
    top: Top,
    messages: Receiver<Message>,
    to: SyncSender<Message>,
}

impl Live {
    fn show(mut self, mut screen: Screen) -> io::Result<End> {
        let palette = Palette::from_environment();
        let (mut visible_rows, mut seen) = (0, Instant::now());
        loop {
            let top = &mut self.top;
            screen.draw(|frame| visible_rows = draw::draw(frame, top, &palette))?;
            match self.messages.recv_timeout(SECOND) {
                Ok(Message::Snapshot(snapshot)) => {
                    seen = Instant::now();
                    self.top.update(*snapshot);
                }
                Ok(Message::Ended) => self.top.end(),
                Ok(Message::Answer(answer)) => self.top.show_answer(answer),
                Ok(Message::Signal(signal)) => return Ok(End::Signal(signal)),
                Ok(Message::TerminalLost(error)) => return Err(error),
                Ok(Message::Terminal(Event::Key(key))) => match self.top.press(key, visible_rows) {
                    Response::Nothing => {}
                    Response::Quit => return Ok(End::Quit),
                    Response::Suspend => screen = screen.without(|| suspend(Signal::TSTP))?,
                    Response::Do(command) => self.perform(command),
                },
                // The size is queried whenever the screen is drawn.
                Ok(Message::Terminal(_)) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(End::Quit),
            }
            let silence = seen.elapsed().as_secs();
            if self.top.link != Link::Ended && silence >= SILENCE_SECONDS_MIN {
                self.top.link = Link::Silent(silence);
            }
        }
    }

    /// Sends the command from a thread of its own, so that the screen stays live.
    fn perform(&self, command: ControlCommand) {
        let id = self.id.clone();
        start(self.to.clone(), move |to| {
            let query = Query::Command(command);
            let performed = client::run(Some(&id)).and_then(|run| run.ask::<Performed>(query));
            let answer = performed.map_or_else(|error| error.to_string(), |done| done.message);
            let answer = ::text::escape::visible(answer.as_bytes());
            to.send(Message::Answer(answer))
        });
    }
}
