//! The run: wait for something to happen, let the pool decide, do what it says. The only file
//! that names every folder.

mod act;
mod conclude;
mod error;
mod look;
#[cfg_attr(not(feature = "journal"), path = "run/record/absent.rs")]
mod record;
mod request;
mod settle;
pub mod status;

use std::{panic, pin::Pin, rc::Rc, sync::Arc, time::Duration};

use tokio::{runtime::LocalOptions, time::Instant};

pub use self::{error::RunError, record::RecordError};
use self::{
    look::Places,
    record::{Opening, Recording, Sequence},
    request::loss,
};
use crate::{
    about::About,
    alarm::Alarm,
    executor::Executor,
    notice::Notice,
    observe::{board::Board, narrator::Narrator},
    onlook::{Ask, Onlookers},
    progress::{Progress, Shown, Total},
    settings::{self, Jobs, Output, Settings},
    sink::{
        Outlet, Stream,
        reports::{self, ReportFile},
        writer::{Failure, Writer},
    },
    source::{Batch as Supply, Source},
};
use pool::{
    Actions, Input, Policy, Pool, RunEnd, Tick,
    event::{Event, ShutdownReason},
};
use process::{
    descriptors::OpenFiles,
    memory,
    signals::{Request, Requests},
    stdout, terminal,
    warden::Ward,
};

/// Runs workers until all have ended, and with jobs until all of those have. To be called on the
/// process's first thread, before it has others: the workers' lives hang on it.
///
/// # Errors
/// The run could not begin; nothing was started.
pub fn run(settings: &Settings, ward: Ward) -> Result<RunEnd, RunError> {
    let refused = |what| move |source| RunError::Refused { what, source };
    if stdout::was_closed() && settings.output != Output::None {
        return Err(RunError::NoOutput);
    }
    let open_files = OpenFiles::raise().map_err(refused("read the limit of open files"))?;
    if settings.jobs.is_some() {
        memory::keep_freed();
    }
    let (line, start) = (Executor::LINE_FILES, Executor::LINE_START_FILES);
    // The one more worker of a roll has a line as well.
    let (each, others) = if settings.jobs.is_some() { (line, line + start) } else { (0, 0) };
    let is_watched = settings.program.limits.tree_bytes().is_some();
    let each = each + if is_watched { Executor::WATCH_FILES } else { 0 };
    let mut about = look::about(settings);
    let places = Places::open(settings, &mut about)?;
    let about = Arc::new(about);
    let others = others + places.files();
    open_files.suffice_for(settings.workers.get(), each, others, "workers", "--workers")?;
    let open = |jobs: &Jobs| Source::open(&jobs.source, jobs.separator, jobs.job_bytes_max());
    let source = settings.jobs.as_ref().map(open).transpose()?;
    let (names, files) =
        reports::open(&settings.reports)?.into_iter().map(ReportFile::split).unzip();
    let opening = Opening::open(settings)?;
    let writer = Writer::open(files).map_err(refused("start the thread that writes"))?;
    let (onlookers, said) =
        places.serve().map_err(refused("start the thread of those who look on"))?;
    writer.push(Stream::Stderr, said.into_bytes());
    let notice = look::notice(settings, &writer);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(refused("start the runtime"))?;
    let is_shown = settings.serve.is_some();
    let shown = |(jobs, total)| Progress::new(jobs, total);
    runtime.block_on(async {
        let signals = Requests::from_door(ward.door).map_err(refused("listen to signals"))?;
        let signals = Rc::new(signals);
        let mut request = next_request(Rc::clone(&signals));
        let (mut recording, mut archive, mut left) = (None, None, None);
        if let (Some(opening), Some(jobs)) = (opening, &settings.jobs) {
            let began = Duration::from_millis(about.began_unix_ms);
            let (mut begun, kept, said) = opening.begin(jobs, began)?;
            writer.push(Stream::Stderr, said.into_bytes());
            // However long that takes, a signal is heard: it is dealt with in the loop.
            let compared = tokio::select! {
                biased;
                heard = &mut request => {
                    request = Box::pin(std::future::ready(heard));
                    None
                }
                compared = begun.compare(jobs) => compared,
            };
            // However far that came.
            begun.rewind();
            if let Some((said, jobs)) = compared {
                writer.push(Stream::Stderr, said.into_bytes());
                left = Some(jobs);
            }
            (recording, archive) = (Some(begun), Some(kept));
        }
        let total = settings.jobs.as_ref().map(|jobs| match left {
            Some(left) => Total::known(left),
            None => Total::new(jobs, is_shown || jobs.progress != settings::Progress::None),
        });
        let outlet = Rc::new(Outlet::new(settings, &about, writer, archive));
        let run = Run {
            settings: Rc::new(settings.clone()),
            began: Instant::now(),
            pool: Pool::new(Policy::from(settings)),
            executor: Executor::new(settings, open_files, Rc::clone(&outlet), ward.child_news)
                .map_err(refused("listen to ends"))?,
            source,
            about,
            board: Board::new(settings.workers.get()),
            onlookers,
            narrator: Narrator::default(),
            notice,
            request,
            recording,
            places: 0,
            failure: failure(Rc::clone(&outlet)),
            outlet,
            signals,
            alarm: Alarm::default(),
            progress: settings.jobs.as_ref().zip(total.clone()).and_then(shown),
            total,
            had_terminal: terminal::is_attached(),
            reports: names,
            is_held: false,
            results_lost: None,
            in_a_row: 0,
            over: None,
            output_failed: false,
            asked: None,
        };
        // As a task: what the runtime blocks on has its turn only after another look for news.
        let end = tokio::task::spawn_local(run.until_end()).await;
        Ok(end.unwrap_or_else(|fault| panic::resume_unwind(fault.into_panic())))
    })
}

/// So many news of workers are dealt with before signals, the source and the time are looked at.
const NEWS_IN_A_ROW_MAX: u32 = 8;

struct Run {
    settings: Rc<Settings>,
    began: Instant,
    pool: Pool,
    executor: Executor,
    /// `None` for a run without jobs, and once there are no more.
    source: Option<Source>,
    about: Arc<About>,
    board: Board,
    /// `None` where nobody may look.
    onlookers: Option<Onlookers>,
    narrator: Narrator,
    /// `None` where no service manager started us.
    notice: Option<Notice>,
    outlet: Rc<Outlet>,
    /// `None` for a run without a journal.
    recording: Option<Recording>,
    /// Turns given to jobs so far.
    places: u64,
    signals: Rc<Requests>,
    /// What seldom happens is waited for once and for all, not anew each time round.
    request: Wait<Request>,
    failure: Wait<Failure>,
    alarm: Alarm,
    progress: Option<Progress>,
    /// How many jobs there are; `None` where there are none.
    total: Option<Total>,
    had_terminal: bool,
    /// The names of the reports.
    reports: Vec<String>,
    /// Whether the pool was told that outcomes have nowhere to go.
    is_held: bool,
    /// Outcomes that waited for their turn are lost: the error number, until the pool was told.
    results_lost: Option<i32>,
    output_failed: bool,
    /// News dealt with since anything else was looked at.
    in_a_row: u32,
    /// How it ended, while those are waited for who have still to hear of it.
    over: Option<RunEnd>,
    /// When a signal last asked for the end.
    asked: Option<Instant>,
}

impl Run {
    async fn until_end(mut self) -> RunEnd {
        let mut actions = Actions::default();
        let mut input = Input::Timer;
        let end = loop {
            let now = self.began.elapsed();
            self.pool.step(now, input, &mut actions);
            self.perform(now, &mut actions);
            self.show_progress(now);
            self.show_skipped(now);
            self.notify(now);
            if let Some(end) = self.pool.end() {
                break end;
            }
            input = self.next_input().await;
        };
        self.conclude(end).await
    }

    fn show_progress(&mut self, now: Tick) {
        if let Some(line) = self.narrator.withheld(now) {
            self.say(line);
        }
        let Some(progress) = self.progress.as_mut().filter(|progress| progress.next() <= now)
        else {
            return;
        };
        let running = self.executor.current_jobs().count();
        match progress.show(now, self.board.jobs(), running) {
            Shown::Status(line) => self.outlet.writer().set_status(line),
            Shown::Line(line) => self.say(line),
        }
    }

    /// Waits for whatever comes first: a worker's news, jobs, a signal, an output that is full or
    /// fails, or the pool's next deadline.
    async fn next_input(&mut self) -> Input {
        if let Some(errno) = self.results_lost.take() {
            self.output_failed = true;
            return Input::Shutdown(ShutdownReason::OutputFailed(errno));
        }
        let records_full = self.recording.as_ref().is_some_and(|it| !it.has_room());
        let is_full = records_full || self.outlet.is_full();
        if is_full != self.is_held {
            self.is_held = is_full;
            return Input::Hold(is_full);
        }
        // Mostly a worker has news, and then nothing else need be looked at; but never for long.
        self.in_a_row = (self.in_a_row + 1) % NEWS_IN_A_ROW_MAX;
        if self.in_a_row > 0
            && let Some(input) = self.executor.try_next()
        {
            return input;
        }
        loop {
            let show = self.progress.as_ref().map(Progress::next);
            let skipped = self.onlookers.as_mut().and_then(|onlookers| onlookers.stream().due());
            let notice = self.notice.as_ref().and_then(Notice::due);
            let ticks = [self.pool.next_deadline(), show, self.narrator.due(), skipped, notice];
            let deadline = ticks.into_iter().flatten().min().map(|tick| self.began + tick);
            let wants_jobs = !self.is_held && self.pool.wants_jobs();
            tokio::select! {
                // What is seldom ready comes first, and so is never kept waiting.
                biased;
                request = &mut self.request => {
                    self.request = next_request(Rc::clone(&self.signals));
                    if let Some(input) = self.requested(request) {
                        return input;
                    }
                }
                () = room(&self.outlet, self.recording.as_ref()), if self.is_held => {
                    self.is_held = false;
                    return Input::Hold(false);
                }
                failure = &mut self.failure, if !self.output_failed => {
                    self.output_failed = true;
                    if let Some(loss) = loss(failure, &self.reports) {
                        self.say(format!("supervisor: {loss}; the run is stopped\n"));
                    }
                    return Input::Shutdown(self.reason(failure));
                }
                news = recorded(self.recording.as_ref()) => {
                    // What it was for may have been the last.
                    return self.recorded(news).unwrap_or(Input::Timer);
                }
                () = self.outlet.written(), if self.recording.is_some() => self.note_written(),
                ask = asked(&mut self.onlookers) => {
                    // However many ask, workers have their turns between.
                    return self.answer(ask).unwrap_or(Input::Timer);
                }
                supply = next(&mut self.source), if wants_jobs => {
                    if let Some(input) = self.supplied(supply) {
                        return input;
                    }
                }
                () = self.alarm.rings(deadline), if deadline.is_some() => return Input::Timer,
                input = self.executor.next() => return input,
            }
        }
    }

    fn supplied(&mut self, supply: Supply) -> Option<Input> {
        match supply {
            Supply::Jobs(jobs) => self.take_on(jobs),
            Supply::TooLong { position, bytes } => self.take_on_too_long(position, bytes),
            Supply::Notice(text) => {
                self.say(format!("supervisor: {text}\n"));
                None
            }
            Supply::Ended => {
                self.source = None;
                self.tell_untold();
                Some(Input::SourceEnded)
            }
            Supply::Failed(error) => {
                self.say(format!("supervisor: {error}\n"));
                Some(Input::Shutdown(ShutdownReason::SourceFailed))
            }
        }
    }

    fn tell(&mut self, now: Tick, event: &Event) {
        self.board.apply(now, event);
        self.outlet.event(now, event);
        self.show_event(now, event);
        if let Some(line) = self.narrator.event(now, event, &self.settings) {
            self.say(line);
        }
    }

    /// What the clock on the wall says, as of the run's own.
    fn since_1970(&self) -> Duration {
        Duration::from_millis(self.about.began_unix_ms) + self.began.elapsed()
    }

    fn say(&self, text: String) {
        self.outlet.writer().push(Stream::Stderr, text.into_bytes());
    }
}

/// Something that is waited for.
type Wait<T> = Pin<Box<dyn Future<Output = T>>>;

fn next_request(signals: Rc<Requests>) -> Wait<Request> {
    Box::pin(async move { signals.next().await })
}

fn failure(outlet: Rc<Outlet>) -> Wait<Failure> {
    Box::pin(async move { outlet.writer().failed().await })
}

/// More is recorded; never anything where nothing is.
async fn recorded(recording: Option<&Recording>) -> Result<Sequence, record::Failure> {
    match recording {
        Some(recording) => recording.news().await,
        None => std::future::pending().await,
    }
}

/// Waits until more outcomes may come.
async fn room(outlet: &Outlet, recording: Option<&Recording>) {
    loop {
        outlet.takes_outcomes().await;
        match recording.filter(|recording| !recording.has_room()) {
            Some(recording) => recording.room().await,
            None => return,
        }
    }
}

/// What somebody asks; never anything where nobody may.
async fn asked(onlookers: &mut Option<Onlookers>) -> Ask {
    match onlookers {
        Some(onlookers) => onlookers.asked().await,
        None => std::future::pending().await,
    }
}

/// The next jobs; never any where there is no source.
async fn next(source: &mut Option<Source>) -> Supply {
    match source {
        Some(source) => source.next().await,
        None => std::future::pending().await,
    }
}
