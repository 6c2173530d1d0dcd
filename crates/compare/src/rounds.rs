//! Runs the ways in rounds. Each round runs every way once, so that disturbances of the machine
//! affect all ways alike. The first rounds warm up and do not count.

use std::{
    io,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use pool::signal::Signal;
use process::signals::BlockingRequests;

use super::{
    child::{self, End, Message},
    plan::{Fault, Plan, Way},
    records::{self, Run},
    upstream,
};

/// What to compare.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The jobs. [`run`] sets the fault and the upstream of each run.
    pub plan: Plan,
    /// Faults to inject; every way runs once per fault and round.
    pub faults: Vec<Fault>,
    /// Ways to run.
    pub ways: Vec<Way>,
    /// Number of rounds that count.
    pub repeat: u32,
    /// Number of rounds to discard first.
    pub warm_up: u32,
}

/// The result of [`run`].
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Runs that count, in the order in which they ran.
    pub runs: Vec<Run>,
    /// The signal that stopped the comparison early, if one did.
    pub stopped: Option<Signal>,
}

/// The state of a comparison before each of its runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Number of runs that have finished.
    pub done: usize,
    /// Number of all runs, including those that warm up.
    pub total: usize,
    /// Whether the next run counts.
    pub counts: bool,
    /// The way that runs next.
    pub way: Way,
    /// The fault of the next run.
    pub fault: Fault,
}

/// Capacity of the channel from the children to the loop that watches them.
const MESSAGES_MAX: usize = 4096;

/// Runs all rounds and calls `progress` before each run. A signal stops the comparison; the runs
/// that have finished are kept.
///
/// Only the program `supervisor` can call this, because the children are that program.
///
/// # Errors
/// A child cannot be started, or no port is free.
pub fn run(settings: &Settings, mut progress: impl FnMut(Progress)) -> io::Result<Comparison> {
    let (sender, messages) = sync_channel(MESSAGES_MAX);
    forward_signals(sender.clone())?;
    let mut plan = settings.plan.clone();
    if plan.work.is_online() {
        plan.upstream = upstream::start()?;
    }
    let trials = schedule(settings);
    let mut comparison = Comparison { runs: Vec::new(), stopped: None };
    for (done, trial) in trials.iter().enumerate() {
        let Trial { round, way, fault } = *trial;
        let counts = round > settings.warm_up;
        progress(Progress { done, total: trials.len(), counts, way, fault });
        plan.fault = fault;
        match child::run((done as u64, way), &plan, (&sender, &messages))? {
            End::Stopped(signal) => {
                comparison.stopped = Some(signal);
                break;
            }
            End::Completed(observed) if counts => {
                let round = round - settings.warm_up;
                comparison.runs.push(records::read(way, &plan, round, &observed));
            }
            End::Completed(_) => {}
        }
    }
    Ok(comparison)
}

/// One run that is planned.
#[derive(Clone, Copy)]
struct Trial {
    round: u32,
    way: Way,
    fault: Fault,
}

/// Returns the order of all runs. Each round starts with a different way, so that no way always
/// follows the same one.
fn schedule(settings: &Settings) -> Vec<Trial> {
    let mut trials = Vec::new();
    for round in 1..=settings.warm_up + settings.repeat {
        for &fault in &settings.faults {
            let mut ways = settings.ways.clone();
            let shift = usize::try_from(round - 1).unwrap_or(0) % ways.len().max(1);
            ways.rotate_left(shift);
            trials.extend(ways.into_iter().map(|way| Trial { round, way, fault }));
        }
    }
    trials
}

fn forward_signals(to: SyncSender<Message>) -> io::Result<()> {
    let requests = BlockingRequests::open()?;
    let forward = move || {
        for request in requests {
            if to.send(Message::Request(request)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("compare-signals".into()).spawn(forward).map(drop)
}
