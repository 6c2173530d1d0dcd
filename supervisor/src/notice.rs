//! What is a service manager told, and when? For the loop: that the run is ready, that it rolls its
//! workers, that it stops, and once a second at most how it fares.

use std::{ffi::OsStr, fmt::Write, io, time::Duration};

use crate::observe::{
    board::{Board, State},
    summary::standing,
};
use pool::event::{Event, Tally};
use process::notify::{ServiceManager, monotonic_us};

/// How it fares is told no more often.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// What it has been told.
#[derive(Debug)]
pub(crate) struct Notice {
    manager: ServiceManager,
    phase: Phase,
    /// A reload was asked for, and has not begun.
    reloads: bool,
    /// Workers have come or gone.
    is_new: bool,
    /// The status is not the last one told.
    is_behind: bool,
    jobs: Tally,
    next_status: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Starting,
    Ready,
    Reloading,
    Stopping,
}

impl Notice {
    /// To whom `NOTIFY_SOCKET` names.
    ///
    /// # Errors
    /// Nobody is there.
    pub(crate) fn new(name: &OsStr) -> io::Result<Self> {
        Ok(Self {
            manager: ServiceManager::connect(name)?,
            phase: Phase::Starting,
            reloads: false,
            is_new: true,
            is_behind: true,
            jobs: Tally::default(),
            next_status: Duration::ZERO,
        })
    }

    /// Something has happened.
    pub(crate) fn note(&mut self, event: &Event) {
        self.is_new |= !matches!(event, Event::Jobs(_));
    }

    /// The workers are about to be rolled.
    pub(crate) fn reload(&mut self) {
        self.reloads = true;
    }

    /// When there is something to be told, if nothing happens before.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.is_behind.then_some(self.next_status)
    }

    /// Tells what is new; `rolls` says whether workers are being replaced.
    pub(crate) fn tell(&mut self, now: Duration, board: &Board, rolls: bool) {
        if self.is_new || self.reloads || self.phase == Phase::Reloading {
            self.advance(now, board, rolls);
        }
        self.is_behind |= self.is_new || board.jobs() != self.jobs;
        self.is_new = false;
        if self.is_behind && now >= self.next_status {
            self.is_behind = !self.manager.tell(&format!("STATUS={}\n", status(board)));
            self.jobs = board.jobs();
            self.next_status = now + STATUS_EVERY;
        }
    }

    /// Each phase is told, however short: a reload is waited for by its beginning and its end.
    fn advance(&mut self, now: Duration, board: &Board, rolls: bool) {
        loop {
            let phase = self.next_phase(board, rolls);
            if phase == self.phase || !self.manager.tell(&said(phase)) {
                return;
            }
            self.reloads &= phase != Phase::Reloading;
            (self.phase, self.next_status) = (phase, now);
        }
    }

    fn next_phase(&self, board: &Board, rolls: bool) -> Phase {
        let mut live = board.slots().iter().flat_map(|slot| &slot.live);
        match self.phase {
            _ if board.stopping().is_some() => Phase::Stopping,
            Phase::Starting if live.any(|live| live.state == State::Ready) => Phase::Ready,
            Phase::Ready if self.reloads => Phase::Reloading,
            Phase::Reloading if !rolls => Phase::Ready,
            phase => phase,
        }
    }

    /// The run is over.
    pub(crate) fn end(&mut self, board: &Board) {
        if self.phase != Phase::Stopping {
            self.manager.tell("STOPPING=1\n");
        }
        self.manager.tell(&format!("STATUS={}\n", status(board)));
    }
}

fn said(phase: Phase) -> String {
    match phase {
        Phase::Starting => String::new(),
        Phase::Ready => "READY=1\n".into(),
        Phase::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}\n", monotonic_us()),
        Phase::Stopping => "STOPPING=1\n".into(),
    }
}

fn status(board: &Board) -> String {
    let (slots, jobs) = (board.slots(), board.jobs());
    let up = slots.iter().filter(|slot| !slot.live.is_empty()).count();
    let mut text = format!("{up} of {} workers up", slots.len());
    if jobs.accepted > 0 {
        // No more than that is known of how many run.
        let _ = write!(text, "; jobs: {}", standing(jobs, up));
    }
    text
}
