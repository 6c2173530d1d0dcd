//! In which order do the ways run? In rounds, each way once in each, so that what disturbs the
//! machine falls on all alike; the first of them are to warm up and do not count.

use std::{
    io,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use super::{
    child::{self, End, News},
    plan::{Fault, Plan, Way},
    records::{self, Run},
    upstream,
};
use pool::signal::Signal;
use process::signals::BlockingRequests;

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The jobs. Its fault and its upstream are set for each run.
    pub plan: Plan,
    /// What the faulty jobs do; each is a comparison of its own.
    pub faults: Vec<Fault>,
    /// Who takes part.
    pub ways: Vec<Way>,
    /// How many rounds count.
    pub repeat: u32,
    /// How many rounds are thrown away first.
    pub warm_up: u32,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// All that was done, in the order in which it was done.
    pub runs: Vec<Run>,
    /// What ended it before its time.
    pub stopped: Option<Signal>,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// So many runs are done, of `total`.
    pub done: usize,
    /// Runs in all, those to warm up included.
    pub total: usize,
    /// Whether this one will count.
    pub counts: bool,
    /// What runs now.
    pub way: Way,
    /// And goes wrong so.
    pub fault: Fault,
}

/// Lines that wait to be looked at.
const NEWS_MAX: usize = 4096;

/// Runs everything, and tells of it as it goes. A signal to end it leaves what is done.
///
/// For the program `supervisor` alone: it starts itself, as a way and under its other verbs.
///
/// # Errors
/// A way's process cannot be started, or no port is free.
pub fn run(settings: &Settings, mut told: impl FnMut(Progress)) -> io::Result<Comparison> {
    let (told_to, news) = sync_channel(NEWS_MAX);
    hear_signals(told_to.clone())?;
    let mut plan = settings.plan.clone();
    if plan.work.is_online() {
        plan.upstream = upstream::start()?;
    }
    let turns = turns(settings);
    let mut comparison = Comparison { runs: Vec::new(), stopped: None };
    for (done, turn) in turns.iter().enumerate() {
        let Turn { round, way, fault } = *turn;
        let counts = round > settings.warm_up;
        told(Progress { done, total: turns.len(), counts, way, fault });
        plan.fault = fault;
        match child::run((done as u64, way), &plan, (&told_to, &news))? {
            End::Stopped(signal) => {
                comparison.stopped = Some(signal);
                break;
            }
            End::Heard(heard) if counts => {
                let round = round - settings.warm_up;
                comparison.runs.push(records::read(way, &plan, round, &heard));
            }
            End::Heard(_) => {}
        }
    }
    Ok(comparison)
}

#[derive(Clone, Copy)]
struct Turn {
    round: u32,
    way: Way,
    fault: Fault,
}

/// Each round begins with another way, so that none always follows the same one.
fn turns(settings: &Settings) -> Vec<Turn> {
    let mut turns = Vec::new();
    for round in 1..=settings.warm_up + settings.repeat {
        for &fault in &settings.faults {
            let mut ways = settings.ways.clone();
            let shift = usize::try_from(round - 1).unwrap_or(0) % ways.len().max(1);
            ways.rotate_left(shift);
            turns.extend(ways.into_iter().map(|way| Turn { round, way, fault }));
        }
    }
    turns
}

fn hear_signals(to: SyncSender<News>) -> io::Result<()> {
    let requests = BlockingRequests::open()?;
    let listen = move || {
        for request in requests {
            if to.send(News::Request(request)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("compare-signals".into()).spawn(listen).map(drop)
}
