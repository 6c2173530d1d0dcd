//! Everything that a run opens before its first step. Whatever can fail, fails before a worker
//! starts.

use std::{io, rc::Rc, sync::Arc};

use super::{
    Run, RunError,
    info::run_info,
    input::JobInput,
    listeners::Listeners,
    outcomes::Edges,
    phase::{Clock, ControllingTerminal, OutputState, Phase, StopRequests},
    record::{self, Begun, Opening, Recording},
    views::{Optional, Views},
    wait::Waits,
};
use crate::{
    executor::Executor,
    observers::{EventStream, Observers},
    progress::{Progress, Total},
    readiness::Readiness,
    settings::{self, Jobs, Output, Settings},
    sink::{Archive, Outlet, Stream, reports, writer::Writer},
    source::Source,
};
use pool::{Actions, Policy, Pool};
use process::{
    descriptors::OpenFiles,
    memory,
    notify::ServiceManager,
    signals::{Request, Requests},
    stdout,
    warden::Ward,
};
use records::RunInfo;

/// What a run has opened before its runtime starts.
pub(super) struct Setup {
    open_files: OpenFiles,
    info: Arc<RunInfo>,
    source: Option<Source>,
    report_names: Vec<String>,
    log: Option<Opening>,
    writer: Writer,
    observers: Option<Observers>,
    stream: Option<EventStream>,
}

impl Setup {
    /// Opens everything.
    ///
    /// # Errors
    /// The first thing that cannot be opened.
    pub(super) fn open(settings: &Settings) -> Result<Self, RunError> {
        if stdout::was_closed() && settings.output != Output::None {
            return Err(RunError::NoOutput);
        }
        let open_files =
            OpenFiles::raise().map_err(RunError::refused("read the limit of open files"))?;
        if settings.jobs.is_some() {
            memory::keep_freed();
        }
        let mut info = run_info(settings)?;
        let listeners = Listeners::open(settings, &mut info)?;
        check_open_files(settings, open_files, listeners.files())?;
        let open = |jobs: &Jobs| Source::open(&jobs.source, jobs.separator, jobs.job_bytes_max());
        let source = settings.jobs.as_ref().map(open).transpose()?;
        let reports = reports::open(&settings.reports)?;
        let report_names = reports.iter().map(|report| report.name().to_owned()).collect();
        let log = record::open(settings)?;
        let writer = Writer::open(reports, settings.jobs.is_none())
            .map_err(RunError::refused("start the thread that writes"))?;
        let (observers, text) =
            listeners.serve().map_err(RunError::refused("start the thread for observers"))?;
        writer.push(Stream::Stderr, text.into_bytes());
        let (observers, stream) = observers.unzip();
        let info = Arc::new(info);
        Ok(Self { open_files, info, source, report_names, log, writer, observers, stream })
    }

    /// Builds the run. Must be called in the runtime.
    ///
    /// # Errors
    /// The journal or the executor cannot begin.
    pub(super) async fn start(
        self,
        settings: &Settings,
        ward: Ward,
    ) -> Result<(Run<Executor>, Waits), RunError> {
        let readiness = readiness(ward.service_manager, settings, &self.writer);
        let signals = Requests::from_pipe(ward.signal_pipe)
            .map_err(RunError::refused("listen to signals"))?;
        let recorded = match (self.log, &settings.jobs) {
            (Some(log), Some(jobs)) => {
                begin_recording(log, jobs, &self.info, &self.writer, &signals).await?
            }
            _ => Recorded::default(),
        };
        let total = settings.jobs.as_ref().map(|jobs| match recorded.jobs_left {
            Some(left) => Total::known(left),
            None => {
                let is_shown = jobs.progress != settings::Progress::None;
                Total::new(jobs, is_shown || settings.serve.is_some())
            }
        });
        let settings = Rc::new(settings.clone());
        let outlet = Rc::new(Outlet::new(&settings, self.writer, recorded.archive));
        let progress = settings.jobs.as_ref().zip(total.clone());
        let optional = Optional {
            stream: self.stream,
            progress: progress.and_then(|(jobs, total)| Progress::new(jobs, total)),
            readiness,
        };
        let run = Run {
            info: Arc::clone(&self.info),
            clock: Clock::start(self.info.began_unix_ms.into()),
            pool: Pool::new(Policy::from(&*settings)),
            actions: Actions::default(),
            executor: Executor::new(&settings, self.open_files, Rc::clone(&outlet), ward.sigchld)
                .map_err(RunError::refused("listen to ends"))?,
            views: Views::new(&settings, &self.info, &outlet, optional),
            edges: Edges {
                input: JobInput { source: self.source, sequence: 0, has_lost: false, total },
                outlet: Rc::clone(&outlet),
                output: OutputState::Open,
                recording: recorded.recording,
                observers: self.observers,
                terminal: ControllingTerminal::current(),
                report_names: self.report_names,
            },
            phase: Phase::Running,
            stops: StopRequests::default(),
            settings,
        };
        Ok((run, Waits::new(signals, recorded.request, outlet)))
    }
}

/// Checks that the limit on open files admits all workers.
fn check_open_files(
    settings: &Settings,
    open_files: OpenFiles,
    listeners: u64,
) -> Result<(), RunError> {
    let (line, start) = (Executor::CONNECTION_FILES, Executor::CONNECTION_START_FILES);
    // During a roll one worker more is connected.
    let (each, others) = if settings.jobs.is_some() { (line, line + start) } else { (0, 0) };
    let is_watched = settings.program.limits.tree_bytes().is_some();
    let each = each + if is_watched { Executor::MEMORY_FILES } else { 0 };
    let workers = settings.workers.get();
    Ok(open_files.suffice_for(workers, each, others + listeners, "workers", "--workers")?)
}

/// The notifications for the service manager that started the supervisor, if one did. The run goes
/// on without it.
fn readiness(
    manager: Option<io::Result<ServiceManager>>,
    settings: &Settings,
    writer: &Writer,
) -> Option<Readiness> {
    let watchdog = settings.notify.as_ref().and_then(|notify| notify.watchdog);
    match manager? {
        Ok(manager) => Some(Readiness::new(manager, watchdog)),
        Err(error) => {
            let text = format!(
                "supervisor: the service manager is not notified: NOTIFY_SOCKET: {error}\n"
            );
            writer.push(Stream::Stderr, text.into_bytes());
            None
        }
    }
}

/// What a run has once its log has begun.
#[derive(Default)]
struct Recorded {
    recording: Option<Recording>,
    archive: Option<Box<dyn Archive>>,
    /// The number of jobs that are to be run, where the input was compared with the log.
    jobs_left: Option<u64>,
    /// A signal that arrived meanwhile; the loop handles it.
    request: Option<Request>,
}

/// Begins the run in its log, and compares the input with it. A signal ends the comparison.
async fn begin_recording(
    log: Opening,
    jobs: &Jobs,
    info: &RunInfo,
    writer: &Writer,
    signals: &Requests,
) -> Result<Recorded, RunError> {
    let Begun { mut log, archive, text } = log(jobs, info.began_unix_ms.into())?;
    writer.push(Stream::Stderr, text.into_bytes());
    let (request, compared) = tokio::select! {
        biased;
        request = signals.next() => (Some(request), None),
        compared = log.compare(jobs) => (None, compared),
    };
    log.rewind();
    let (text, jobs_left) = compared.unzip();
    writer.push(Stream::Stderr, text.unwrap_or_default().into_bytes());
    let recording = Some(Recording::new(log));
    Ok(Recorded { recording, archive: Some(archive), jobs_left, request })
}
