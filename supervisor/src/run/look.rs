//! How does the loop serve those who look on? It shows them the board when they ask, and tells the
//! stream of events to those who listen.

use std::{
    borrow::Cow,
    fmt::Write as _,
    hash::{BuildHasher, RandomState},
    io,
    os::unix::process::parent_id,
    sync::{Arc, OnceLock},
};

use super::{Run, RunError};
use crate::{
    about::About,
    control,
    notice::Notice,
    observe::view::{RunningJob, View},
    onlook::{Ask, Onlookers},
    progress::Total,
    settings::Settings,
    sink::{Stream, events, writer::Writer},
    template::{Filling, Template},
    web::{self, Server},
};
use pool::{Input, RunEnd, Tick, event::Event, job::Outcome};

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
        id: id(),
        name: settings.name.clone(),
        // What was started is the warden.
        pid: parent_id(),
        version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
        title,
        began_unix_ms: events::unix_ms(),
        workers: settings.workers.get(),
        has_jobs: jobs.is_some(),
        total: jobs.and_then(|jobs| jobs.source.count()),
    }
}

/// So many ids are tried: where runs were killed by the thousand, some are taken.
const IDS_MAX: u32 = 16;

/// Four letters and digits by chance, without those that look alike.
fn id() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let mut chance = RandomState::new().hash_one(std::process::id());
    let mut letter = || {
        let at = chance % LETTERS.len() as u64;
        chance /= LETTERS.len() as u64;
        usize::try_from(at).map_or('a', |at| char::from(LETTERS[at]))
    };
    (0..4).map(|_| letter()).collect()
}

/// A command as it was typed, but for quotes.
fn command_line(template: &Template) -> String {
    let mut line = Vec::new();
    template.show(Filling { payload: b"{}", number: 0, slot: 0 }, &mut line);
    String::from_utf8_lossy(&line).replace("'{}'", "{}")
}

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

/// Where those come who look on: places are taken before anything runs, and served by a thread of
/// their own.
#[derive(Debug)]
pub(super) struct Places {
    server: Option<Server>,
    /// Where it is asked and changed, or why it cannot be.
    control: Result<control::Server, control::PlaceError>,
}

impl Places {
    /// Takes them.
    ///
    /// # Errors
    /// One is not to be had.
    pub(super) fn open(settings: &Settings, about: &mut About) -> Result<Self, RunError> {
        let server = settings.serve.as_ref().map(Server::open).transpose()?;
        let mut control = control::Server::open(about);
        for _ in 0..IDS_MAX {
            if !control.as_ref().is_err_and(control::PlaceError::is_taken) {
                break;
            }
            about.id = id();
            control = control::Server::open(about);
        }
        Ok(Self { server, control })
    }

    /// The most descriptors that are held for those who come.
    pub(super) fn files(&self) -> u64 {
        let control = self.control.as_ref().map_or(0, |_| control::Server::FILES);
        self.server.as_ref().map_or(0, |_| web::FILES) + control
    }

    /// Starts the thread, if there is any place; and what is said of it.
    pub(super) fn serve(self) -> io::Result<(Option<Onlookers>, String)> {
        let (mut tasks, mut said) = (Vec::new(), String::new());
        match self.control {
            Ok(control) => tasks.push(control.task()),
            Err(why) => {
                let _ = writeln!(said, "supervisor: it cannot be asked nor changed: {why}");
            }
        }
        if let Some(server) = self.server {
            let _ = writeln!(said, "supervisor: to be seen at {}", server.place());
            tasks.push(server.task());
        }
        let onlookers = (!tasks.is_empty()).then(|| Onlookers::start(tasks)).transpose()?;
        Ok((onlookers, said))
    }
}

impl Run {
    /// Answers one who looks on; what he wants may be for the pool.
    pub(super) fn answer(&mut self, ask: Ask) -> Option<Input> {
        match ask {
            Ask::Logs(to) => {
                // One who has gone meanwhile need not hear it.
                let _ = to.send(self.outlet.recent());
            }
            Ask::Act(act, to) => {
                let (answer, input) = self
                    .act(&act)
                    .map_or_else(|why| (Err(why), None), |(said, input)| (Ok(said), input));
                let _ = to.send(answer);
                return input;
            }
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
                // Whoever looked at it wants to see it.
                if let Some(onlookers) = &mut self.onlookers {
                    onlookers.forget();
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
        if let Some(notice) = &mut self.notice {
            notice.note(event);
        }
        // How jobs stand is in every view, and changes with every step.
        if let (Some(onlookers), false) = (&mut self.onlookers, matches!(event, Event::Jobs(_))) {
            let write = |event: &Event, out: &mut Vec<u8>| events::event(now, event, out);
            onlookers.stream().tell(now, std::slice::from_ref(event), write);
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
