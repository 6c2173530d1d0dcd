//! `supervisor top`: a run, live on a terminal. One channel brings keys, pictures of the run,
//! answers and signals; each piece of news is taken in, and drawn.

mod columns;
mod draw;
#[cfg(test)]
mod made_up;
mod palette;
mod rates;
mod rooms;
mod screen;
mod state;
#[cfg(test)]
mod tests;
mod text;

use std::{
    io::{self, BufRead},
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
        client::{self, ClientError},
        wire::{Performed, Query},
    },
    model::Command,
};

use self::{
    palette::Palette,
    screen::Screen,
    state::{Link, Top, Wish},
};
use super::{Fault, Which};

/// So much news waits for the screen.
const NEWS_MAX: usize = 16;
/// How old a picture is, is told from so many seconds on.
const SILENCE_MIN: u64 = 2;
const SECOND: Duration = Duration::from_secs(1);

/// What may come.
enum News {
    Terminal(Event),
    Looks(Box<Snapshot>),
    Answer(String),
    Signal(Signal),
    /// The run is over.
    Over,
    /// The terminal is gone.
    NoTerminal(io::Error),
}

/// How it ends.
enum End {
    Quit,
    Signal(Signal),
}

/// Shows the run until somebody has seen enough.
pub(super) fn main(which: &Which) -> Result<(), Fault> {
    if !Screen::is_there() {
        let said = "top draws on a terminal, and this is none: for a program there is supervisor ps --format jsonl";
        return Err(Fault::NotThere(said.into()));
    }
    let found = client::run(which.run.as_deref())?;
    let id = found.id.clone();
    let mut lines = found.listen(Query::Watch)?;
    let Some(first) = next(&mut lines)? else { return Err(ClientError::NoRun.into()) };
    let (to, news) = sync_channel(NEWS_MAX);
    let signals = BlockingRequests::open().map_err(Fault::Terminal)?;
    let screen = Screen::take().map_err(Fault::Terminal)?;
    start(to.clone(), move |to| {
        signals.filter_map(Request::stop_signal).map(News::Signal).all(|it| to.send(it).is_ok())
    });
    start(to.clone(), keys);
    start(to.clone(), move |to| watch(lines, to));
    match (Live { id, top: Top::new(first), news, to }).show(screen).map_err(Fault::Terminal)? {
        End::Quit => Ok(()),
        End::Signal(signal) => die_by(signal),
    }
}

fn start<T>(to: SyncSender<News>, act: impl FnOnce(&SyncSender<News>) -> T + Send + 'static) {
    // What it does ends with the process, if not before.
    thread::spawn(move || drop(act(&to)));
}

/// The next picture; `None` where there are no more.
fn next(lines: &mut impl BufRead) -> Result<Option<Snapshot>, ClientError> {
    let mut line = String::new();
    match lines.read_line(&mut line)? {
        0 => Ok(None),
        _ => Ok(Some(serde_json::from_str(&line)?)),
    }
}

fn watch(mut lines: impl BufRead, to: &SyncSender<News>) {
    // One that is not understood is as good as none.
    while let Ok(Some(snapshot)) = next(&mut lines) {
        if to.send(News::Looks(Box::new(snapshot))).is_err() {
            return;
        }
    }
    let _ = to.send(News::Over);
}

fn keys(to: &SyncSender<News>) {
    loop {
        let (news, is_last) = match event::read() {
            Ok(event) => (News::Terminal(event), false),
            Err(error) => (News::NoTerminal(error), true),
        };
        if to.send(news).is_err() || is_last {
            return;
        }
    }
}

/// A run on the screen, and what comes.
struct Live {
    id: String,
    top: Top,
    news: Receiver<News>,
    to: SyncSender<News>,
}

impl Live {
    fn show(mut self, mut screen: Screen) -> io::Result<End> {
        let palette = Palette::wanted();
        let (mut in_sight, mut seen) = (0, Instant::now());
        loop {
            let top = &mut self.top;
            screen.draw(|frame| in_sight = draw::draw(frame, top, &palette))?;
            match self.news.recv_timeout(SECOND) {
                Ok(News::Looks(snapshot)) => {
                    seen = Instant::now();
                    self.top.look(*snapshot);
                }
                Ok(News::Over) => self.top.end(),
                Ok(News::Answer(said)) => self.top.say(said),
                Ok(News::Signal(signal)) => return Ok(End::Signal(signal)),
                Ok(News::NoTerminal(error)) => return Err(error),
                Ok(News::Terminal(Event::Key(key))) => match self.top.press(key, in_sight) {
                    Wish::Nothing => {}
                    Wish::Quit => return Ok(End::Quit),
                    Wish::Suspend => screen = screen.without(|| suspend(Signal::TSTP))?,
                    Wish::Do(act) => self.perform(act),
                },
                // The size is asked for with each drawing.
                Ok(News::Terminal(_)) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(End::Quit),
            }
            let silence = seen.elapsed().as_secs();
            if self.top.link != Link::Over && silence >= SILENCE_MIN {
                self.top.link = Link::Silent(silence);
            }
        }
    }

    /// Asks for it beside the picture, which goes on.
    fn perform(&self, act: Command) {
        let id = self.id.clone();
        start(self.to.clone(), move |to| {
            let query = Query::Command(act);
            let performed = client::run(Some(&id)).and_then(|run| run.ask::<Performed>(query));
            let answer = performed.map_or_else(|error| error.to_string(), |done| done.message);
            to.send(News::Answer(answer))
        });
    }
}
