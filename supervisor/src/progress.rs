//! When is it shown how far the jobs have come, and how? For the loop, which has nothing else to
//! do with terminals.

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

/// A line on a terminal is drawn so often.
const DRAWN_EVERY: Duration = Duration::from_millis(100);
/// Lines in a log come so often.
const SAID_EVERY: Duration = Duration::from_secs(10);
/// Not counted.
const UNKNOWN: u64 = u64::MAX;

/// What the loop shows from time to time.
#[derive(Debug)]
pub(crate) struct Progress {
    /// `None` where lines go to a log.
    line: Option<Line>,
    total: Total,
    next: Duration,
}

/// How many jobs there are in all, once that is known.
#[derive(Clone, Debug)]
pub(crate) struct Total(Arc<AtomicU64>);

/// What is to be shown.
#[derive(Debug)]
pub(crate) enum Shown {
    /// As the terminal's last line.
    Status(String),
    /// As a line of its own.
    Line(String),
}

impl Progress {
    /// `None` where none is wanted.
    pub(crate) fn new(jobs: &Jobs, total: Total) -> Option<Self> {
        let (line, next) = match jobs.progress {
            How::None => return None,
            How::Plain => (None, SAID_EVERY),
            How::Bar => (Some(Line::new()), DRAWN_EVERY),
        };
        Some(Self { line, total, next })
    }

    /// When it is due, since the run began.
    pub(crate) fn next(&self) -> Duration {
        self.next
    }

    pub(crate) fn show(&mut self, now: Duration, jobs: Tally, running: usize) -> Shown {
        let total = self.total.get();
        let Some(line) = &mut self.line else {
            self.next = now + SAID_EVERY;
            let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
            return Shown::Line(format!("supervisor: jobs{of}: {}\n", standing(jobs, running)));
        };
        self.next = now + DRAWN_EVERY;
        if let Some(total) = total {
            line.set_total(total);
        }
        Shown::Status(line.draw(jobs, running, terminal::columns()))
    }
}

impl Total {
    /// Of these. Those of a file are counted beside all else, if somebody wants to know.
    pub(crate) fn new(jobs: &Jobs, is_wanted: bool) -> Self {
        let total = Arc::new(AtomicU64::new(UNKNOWN));
        if let Some(jobs) = jobs.source.count() {
            total.store(jobs, Ordering::Relaxed);
        } else if let (JobSource::File(path), true) = (&jobs.source, is_wanted) {
            count(path, jobs.separator, &total);
        }
        Self(total)
    }

    /// So many.
    pub(crate) fn known(jobs: u64) -> Self {
        Self(Arc::new(AtomicU64::new(jobs)))
    }

    pub(crate) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|total| *total != UNKNOWN)
    }
}

/// Counts the jobs of a file, beside everything else. What is no file that ends is not counted.
fn count(path: &Path, separator: Separator, total: &Arc<AtomicU64>) {
    let is_file = path.metadata().is_ok_and(|file| file.is_file());
    if !is_file {
        // The open of a pipe waits for its writer.
        return;
    }
    let Ok(mut file) = File::open(path) else { return };
    let total = Arc::clone(total);
    let end = if separator == Separator::Nul { 0 } else { b'\n' };
    // Without the thread there is no estimate, and nothing worse.
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
            not_run: 0,
            queued: 3,
            in_flight: 5,
            retried: 4,
        };
        let show = |total| {
            let next = SAID_EVERY;
            let shown = Progress { line: None, total, next }.show(next, jobs, 2);
            let Shown::Line(line) = shown else { panic!("{shown:?}") };
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
