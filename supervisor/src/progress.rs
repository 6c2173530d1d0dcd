//! Progress of jobs: when the next line is due, what it says, and how many jobs there are in all.

use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    observe::{progress::Line, summary::standing},
    settings::{JobSource, Jobs, Progress as How, Separator},
};
use pool::event::Tally;
use process::terminal;

/// The interval at which the line on a terminal is drawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);
/// The interval between lines in a log.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// Stands for a number of jobs that is not known.
const UNKNOWN: u64 = u64::MAX;

/// The progress of jobs, drawn at intervals.
#[derive(Debug)]
pub(crate) struct Progress {
    /// `None` where lines go to a log.
    line: Option<Line>,
    total: Total,
    /// When the next frame is due, since the run began; `None` once the run has ended.
    due: Option<Duration>,
}

/// The number of jobs in the input, once it is known.
#[derive(Clone, Debug)]
pub(crate) struct Total(Arc<AtomicU64>);

/// What to show next.
#[derive(Debug)]
pub(crate) enum Frame {
    /// The last line of the terminal.
    Status(String),
    /// A line of its own, with its newline.
    Line(String),
}

impl Progress {
    /// `None` where the user wants no progress.
    pub(crate) fn new(jobs: &Jobs, total: Total) -> Option<Self> {
        let (line, due) = match jobs.progress {
            How::None => return None,
            How::Plain => (None, LINE_INTERVAL),
            How::Bar => (Some(Line::new()), DRAW_INTERVAL),
        };
        Some(Self { line, total, due: Some(due) })
    }

    /// When the next frame is due, since the run began.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Shows nothing from now on.
    pub(crate) fn stop(&mut self) {
        self.due = None;
    }

    /// The next frame.
    pub(crate) fn draw(&mut self, now: Duration, jobs: Tally, running: usize) -> Frame {
        let total = self.total.get();
        let Some(line) = &mut self.line else {
            self.due = Some(now + LINE_INTERVAL);
            let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
            return Frame::Line(format!("supervisor: jobs{of}: {}\n", standing(jobs, running)));
        };
        self.due = Some(now + DRAW_INTERVAL);
        if !terminal::is_in_foreground() {
            // The terminal belongs to another program, such as the shell.
            return Frame::Status(String::new());
        }
        if let Some(total) = total {
            line.set_total(total);
        }
        Frame::Status(line.draw(jobs, running, terminal::columns(std::io::stderr()).unwrap_or(80)))
    }
}

impl Total {
    /// The total of these jobs. A thread counts those of a file, if the total is wanted.
    pub(crate) fn new(jobs: &Jobs, is_wanted: bool) -> Self {
        let total = Arc::new(AtomicU64::new(UNKNOWN));
        if let Some(jobs) = jobs.source.count() {
            total.store(jobs, Ordering::Relaxed);
        } else if let (JobSource::File(path), true) = (&jobs.source, is_wanted) {
            count(path, jobs.separator, &total);
        }
        Self(total)
    }

    /// A total that is known already.
    pub(crate) fn known(jobs: u64) -> Self {
        Self(Arc::new(AtomicU64::new(jobs)))
    }

    /// The total, once it is known.
    pub(crate) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|total| *total != UNKNOWN)
    }
}

/// Counts the jobs of a regular file in a thread of its own.
fn count(path: &Path, separator: Separator, total: &Arc<AtomicU64>) {
    let is_file = path.metadata().is_ok_and(|file| file.is_file());
    if !is_file {
        // Opening a pipe would wait for its writer.
        return;
    }
    let Ok(mut file) = File::open(path) else { return };
    let total = Arc::clone(total);
    let end = if separator == Separator::Nul { 0 } else { b'\n' };
    // Without the thread the progress has no total, and the run goes on.
    let _ = thread::Builder::new().name("count".into()).stack_size(128 << 10).spawn(move || {
        let (mut buffer, mut jobs, mut last) = (vec![0; 64 << 10], 0, end);
        while let Ok(length @ 1..) = file.read(&mut buffer) {
            jobs += memchr::memchr_iter(end, &buffer[..length]).count() as u64;
            last = buffer[length - 1];
        }
        total.store(jobs + u64::from(last != end), Ordering::Relaxed);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_line_and_the_bar_are_golden() {
        let jobs = Tally {
            accepted: 20,
            ok: 9,
            failed: 2,
            crashed: 1,
            interrupted: 0,
            not_run: 0,
            queued: 3,
            in_flight: 5,
            retried: 4,
        };
        let show = |total| {
            let mut progress = Progress { line: None, total, due: Some(LINE_INTERVAL) };
            let frame = progress.draw(LINE_INTERVAL, jobs, 2);
            let Frame::Line(line) = frame else { panic!("{frame:?}") };
            line
        };
        let plain = show(Total::known(20)) + &show(Total(Arc::new(AtomicU64::new(UNKNOWN))));
        // The first line that is drawn: no time has gone by.
        let mut bar = Line::new();
        bar.set_total(20);
        let bar = bar.draw(jobs, 2, 120);
        let rates = bar.split(' ').map(|word| if word.ends_with("/s") { "<rate>/s" } else { word });
        let bar = rates.collect::<Vec<_>>().join(" ");
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("progress", format!("{plain}{}", bar.trim_end()));
        });
    }
}
