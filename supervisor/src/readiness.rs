//! Notifications for a service manager (`sd_notify`): that the run is ready, reloads or stops, a
//! status line at most once a second, and signs of life if the service manager wants them. Those
//! come from the loop, so that they stop when it does.

use std::{fmt::Write, time::Duration};

use crate::observe::{
    board::{Board, State},
    summary::standing,
};
use pool::event::{Event, Tally};
use process::notify::{ServiceManager, monotonic_us};

/// The shortest interval between two status lines.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// The service manager, and what it has been sent.
#[derive(Debug)]
pub(crate) struct Readiness {
    manager: ServiceManager,
    phase: Phase,
    /// A reload was requested and has not been announced.
    reload_requested: bool,
    /// Workers have started or ended since the last update.
    workers_changed: bool,
    /// The status line is not the last one that was sent.
    status_is_stale: bool,
    /// The tally in the last status line.
    jobs: Tally,
    next_status: Duration,
    watchdog: Option<Watchdog>,
}

/// When to give signs of life.
#[derive(Debug)]
struct Watchdog {
    interval: Duration,
    next: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Starting,
    Ready,
    Reloading,
    Stopping,
}

impl Readiness {
    /// Notifies this service manager. `watchdog_limit` is the longest time that it waits for a sign of
    /// life.
    pub(crate) fn new(manager: ServiceManager, watchdog_limit: Option<Duration>) -> Self {
        // Half of the time, as sd_watchdog_enabled(3) recommends.
        let watchdog = |limit| Watchdog { interval: limit / 2, next: Duration::ZERO };
        Self {
            manager,
            phase: Phase::Starting,
            reload_requested: false,
            workers_changed: true,
            status_is_stale: true,
            jobs: Tally::default(),
            next_status: Duration::ZERO,
            watchdog: watchdog_limit.map(watchdog),
        }
    }

    /// Notes that something happened in the run.
    pub(crate) fn note(&mut self, event: &Event) {
        self.workers_changed |= !matches!(event, Event::Jobs(_));
    }

    /// Notes that the workers are about to be replaced one by one.
    pub(crate) fn request_reload(&mut self) {
        self.reload_requested = true;
    }

    /// When the next message is due: a status line that is pending, or a sign of life.
    pub(crate) fn due(&self) -> Option<Duration> {
        let status = self.status_is_stale.then_some(self.next_status);
        status.into_iter().chain(self.watchdog.as_ref().map(|watchdog| watchdog.next)).min()
    }

    /// Sends what has changed. `is_rolling` says whether workers are being replaced.
    pub(crate) fn update(&mut self, now: Duration, board: &Board, is_rolling: bool) {
        if self.workers_changed || self.reload_requested || self.phase == Phase::Reloading {
            self.advance(now, board, is_rolling);
        }
        self.status_is_stale |= self.workers_changed || board.jobs() != self.jobs;
        self.workers_changed = false;
        if self.status_is_stale && now >= self.next_status {
            self.status_is_stale = !self.manager.send(&format!("STATUS={}\n", status(board)));
            self.jobs = board.jobs();
            self.next_status = now + STATUS_INTERVAL;
        }
        if let Some(watchdog) = self.watchdog.as_mut().filter(|watchdog| watchdog.next <= now) {
            self.manager.send("WATCHDOG=1\n");
            watchdog.next = now + watchdog.interval;
        }
    }

    /// Sends each phase, however short: `systemctl reload` waits for the start and the end of one.
    fn advance(&mut self, now: Duration, board: &Board, is_rolling: bool) {
        loop {
            let phase = self.next_phase(board, is_rolling);
            if phase == self.phase || !self.manager.send(&notification(phase)) {
                return;
            }
            self.reload_requested &= phase != Phase::Reloading;
            (self.phase, self.next_status) = (phase, now);
        }
    }

    fn next_phase(&self, board: &Board, is_rolling: bool) -> Phase {
        let mut live = board.slots().iter().flat_map(|slot| &slot.live);
        match self.phase {
            _ if board.stopping().is_some() => Phase::Stopping,
            Phase::Starting if live.any(|live| live.state == State::Ready) => Phase::Ready,
            Phase::Ready if self.reload_requested => Phase::Reloading,
            Phase::Reloading if !is_rolling => Phase::Ready,
            phase => phase,
        }
    }

    /// Sends the last status line, and that the run stops unless that was sent already.
    pub(crate) fn end(&mut self, board: &Board) {
        if self.phase != Phase::Stopping {
            self.phase = Phase::Stopping;
            self.manager.send(&notification(Phase::Stopping));
        }
        self.manager.send(&format!("STATUS={}\n", status(board)));
        self.status_is_stale = false;
    }
}

fn notification(phase: Phase) -> String {
    match phase {
        Phase::Starting => String::new(),
        Phase::Ready => "READY=1\n".into(),
        Phase::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}\n", monotonic_us()),
        Phase::Stopping => "STOPPING=1\n".into(),
    }
}

fn status(board: &Board) -> String {
    let (slots, jobs) = (board.slots(), board.jobs());
    let wanted = slots.iter().take(board.workers() as usize);
    let up = wanted.filter(|slot| !slot.live.is_empty()).count();
    let mut text = format!("{up} of {} workers up", board.workers());
    match board.given_up() {
        0 => {}
        count => _ = write!(text, ", {count} given up"),
    }
    if jobs.accepted > 0 {
        // Each live worker runs at most one job; no more is known here.
        let _ = write!(text, "; jobs: {}", standing(jobs, up));
    }
    if board.is_paused() {
        text.push_str("; paused");
    }
    text
}
