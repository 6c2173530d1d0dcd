//! Measures whether one long job delays short ones. The jobs sleep, so that the processors do not
//! matter, and log when they began and ended.

use std::{fs, path::Path};

use super::{
    command::Workspace,
    table::{Goal, ROUNDS, Table, Turns, median, millis, seconds},
};

const SHORT: usize = 10_000;
/// Number of short jobs before the long one.
const BEFORE: usize = 500;
const SHORT_MICROS: u64 = 1_000;
const LONG_MICROS: u64 = 2_000_000;
const WAIT_MAX: f64 = 0.010;

/// The time from the start to the end of a job, in seconds.
struct Interval {
    id: usize,
    began: f64,
    ended: f64,
}

pub(crate) fn mixed(workspace: &Workspace, table: &mut Table) {
    let write = |name: &str, long: Option<usize>| {
        let jobs = SHORT + usize::from(long.is_some());
        workspace.input(name, |out| {
            for id in 0..jobs {
                let micros = if long == Some(id) { LONG_MICROS } else { SHORT_MICROS };
                writeln!(out, "{id} {micros}").unwrap();
            }
        })
    };
    let (with, without) = (write("mixed", Some(BEFORE)), write("short", None));
    let (mut walls, mut paces, mut waits) = (Turns::default(), Turns::default(), Vec::new());
    for _ in 0..ROUNDS {
        let mixed = intervals(workspace, "2", &with, SHORT + 1);
        let alone = intervals(workspace, "1", &without, SHORT);
        walls.push(wall(&mixed), wall(&alone));
        let pace = wall(&alone) / SHORT as f64;
        paces.push(pace_beside_long(&mixed), pace);
        waits.push(longest_wait(&mixed));
    }
    let name = "10k jobs of 1 ms on 2 workers, one of 2 s";
    let beside = Goal::AtMost(1.05, "of 1 worker without the long one");
    table.row(name, &walls, seconds, &beside);
    table.row("  per short job while the long one runs", &paces, millis, &beside);
    let wait = median(waits);
    let figures = [&millis(wait), &millis(WAIT_MAX), &format!("{:.2}", wait / WAIT_MAX)];
    let name = "  longest delay behind a later job";
    table.plain(name, figures.map(String::as_str), "<= 10 ms", wait <= WAIT_MAX);
}

/// Runs the jobs, and returns the interval of each one, in the order of the input.
fn intervals(workspace: &Workspace, workers: &str, input: &Path, count: usize) -> Vec<Interval> {
    let log = workspace.path("intervals");
    let _ = fs::remove_file(&log);
    let program = ["stamp", log.to_str().unwrap()];
    workspace.jobs(&["-w", workers, "--output", "none"], count, input, &program);
    let text = fs::read_to_string(&log).unwrap();
    let mut intervals: Vec<_> =
        text.lines().map(|line| interval(line).expect("three numbers")).collect();
    intervals.sort_by_key(|interval| interval.id);
    assert!(intervals.iter().map(|interval| interval.id).eq(0..count), "each job runs once");
    intervals
}

fn interval(line: &str) -> Option<Interval> {
    let mut numbers = line.split(' ');
    let id = numbers.next()?.parse().ok()?;
    let mut time = || Some(numbers.next()?.parse::<f64>().ok()? * 1e-9);
    Some(Interval { id, began: time()?, ended: time()? })
}

/// Returns the seconds from the first start to the last end of a short job.
fn wall(intervals: &[Interval]) -> f64 {
    let short = || intervals.iter().filter(|interval| interval.ended - interval.began < 1.0);
    let began = short().map(|interval| interval.began).fold(f64::INFINITY, f64::min);
    short().map(|interval| interval.ended).fold(0.0, f64::max) - began
}

/// Returns the seconds per short job that started while the long job ran, on the other worker.
fn pace_beside_long(intervals: &[Interval]) -> f64 {
    let long = &intervals[BEFORE];
    let beside = intervals
        .iter()
        .filter(|interval| long.began < interval.began && interval.began < long.ended);
    (long.ended - long.began) / beside.count() as f64
}

/// Returns the longest time that a job waited, behind another job on its worker, after a later job had
/// already started. Jobs are sent in the order of the input.
fn longest_wait(intervals: &[Interval]) -> f64 {
    let (mut longest, mut earliest_later) = (0.0_f64, f64::INFINITY);
    for interval in intervals.iter().rev() {
        longest = longest.max(interval.began - earliest_later);
        earliest_later = earliest_later.min(interval.began);
    }
    longest
}
