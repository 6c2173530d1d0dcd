//! The columns of the table of workers, and the choice of those that fit the width of the screen.

use std::time::Duration;

use records::{Millis, Snapshot, Worker};
use text::units::{show_duration, show_size};

use super::{
    super::show::{name, percent},
    text::plain,
};

/// Width of the gap between two columns.
pub(super) const GAP: u16 = 2;
/// Minimum width of the flexible column, which takes the width that the others leave.
const FLEXIBLE_WIDTH_MIN: u16 = 8;

/// A column of the table of workers, in the order in which columns are shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Column {
    Worker,
    Pid,
    State,
    Up,
    Memory,
    Restarts,
    Job,
    Since,
    Input,
    Before,
}

/// Columns of a run with jobs, by priority: on a narrow screen the first ones are kept.
const WITH_JOBS: [Column; 9] = [
    Column::Worker,
    Column::State,
    Column::Job,
    Column::Since,
    Column::Input,
    Column::Pid,
    Column::Memory,
    Column::Up,
    Column::Restarts,
];
/// Columns of a run without jobs, by priority.
const WITHOUT_JOBS: [Column; 7] = [
    Column::Worker,
    Column::State,
    Column::Pid,
    Column::Up,
    Column::Memory,
    Column::Restarts,
    Column::Before,
];

impl Column {
    pub(super) fn head(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Pid => "PID",
            Self::State => "state",
            Self::Up => "up",
            Self::Memory => "memory",
            Self::Restarts => "restarts",
            Self::Job => "job",
            Self::Since => "for",
            Self::Input => "input",
            Self::Before => "the one before it",
        }
    }

    pub(super) fn is_number(self) -> bool {
        matches!(
            self,
            Self::Pid | Self::Up | Self::Memory | Self::Restarts | Self::Job | Self::Since
        )
    }

    /// Whether the column takes the width that the others leave.
    pub(super) fn is_flexible(self) -> bool {
        matches!(self, Self::Input | Self::Before)
    }

    pub(super) fn of(self, worker: &Worker, at_ms: Millis) -> String {
        let since = |since: Millis| age(at_ms.since(since));
        let job = worker.job.as_ref();
        let text = match self {
            Self::Worker => Some(name(worker)),
            Self::Pid => worker.id.pid.map(|pid| pid.to_string()),
            Self::State => Some(plain(&worker.state)),
            Self::Up => worker.started_ms.map(since),
            Self::Memory => worker.memory_bytes.map(show_size),
            Self::Restarts => Some(worker.restarts.to_string()),
            Self::Job => job.map(|job| format!("{}{}", job.id, percent(job))),
            Self::Since => job.map(|job| since(job.began_ms)),
            Self::Input => job.map(|job| plain(&job.input)),
            Self::Before => worker.last.as_ref().map(|last| plain(&last.why)),
        };
        text.unwrap_or_else(|| "-".into())
    }

    /// Minimum width, wide enough for most values, so that the table does not jump.
    fn width_min(self) -> usize {
        match self {
            Self::State | Self::Memory => 8,
            Self::Up | Self::Since => 7,
            column => column.head().len(),
        }
    }
}

/// Returns the columns that fit into `width_max`, in the order in which they are shown, with
/// their widths.
pub(super) fn fitting(snapshot: &Snapshot, width_max: u16) -> Vec<(Column, u16)> {
    let wanted: &[Column] = if snapshot.run.has_jobs { &WITH_JOBS } else { &WITHOUT_JOBS };
    let mut left = width_max;
    let mut found = Vec::new();
    for &column in wanted {
        let width = if column.is_flexible() { FLEXIBLE_WIDTH_MIN } else { width(snapshot, column) };
        let needed = width + if found.is_empty() { 0 } else { GAP };
        if needed <= left || found.is_empty() {
            left = left.saturating_sub(needed);
            found.push((column, width));
        }
    }
    found.sort_unstable();
    if let Some(rest) = found.iter_mut().find(|(column, _)| column.is_flexible()) {
        rest.1 += left;
    }
    found
}

fn width(snapshot: &Snapshot, column: Column) -> u16 {
    let cells = snapshot.workers.iter();
    let longest = cells.map(|worker| column.of(worker, snapshot.at_ms).chars().count()).max();
    let width = longest.unwrap_or(0).max(column.width_min());
    u16::try_from(width).unwrap_or(u16::MAX / 16).min(u16::MAX / 16)
}

/// Formats an age; from one second on in whole seconds, so that it changes once a second.
pub(super) fn age(age: Duration) -> String {
    match age.as_secs() {
        0 => show_duration(age),
        seconds @ 1..60 => format!("{seconds} s"),
        seconds => show_duration(Duration::from_secs(seconds)),
    }
}
