//! Does one long job hold up short ones? They sleep, so that the processors are not what is
//! measured, and write down when they began and ended.

use std::{fs, path::Path};

use super::{
    command::Place,
    table::{Goal, ROUNDS, Table, Turns, median, millis, seconds},
};

const SHORT: usize = 10_000;
/// How many of them come before the long one.
const BEFORE: usize = 500;
const SHORT_MICROS: u64 = 1_000;
const LONG_MICROS: u64 = 2_000_000;
const WAIT_MAX: f64 = 0.010;

/// When a job began and ended, in seconds.
struct Stay {
    id: usize,
    began: f64,
    ended: f64,
}

pub(crate) fn mixed(place: &Place, table: &mut Table) {
    let write = |name: &str, long: Option<usize>| {
        let jobs = SHORT + usize::from(long.is_some());
        place.input(name, |out| {
            for id in 0..jobs {
                let micros = if long == Some(id) { LONG_MICROS } else { SHORT_MICROS };
                writeln!(out, "{id} {micros}").unwrap();
            }
        })
    };
    let (with, without) = (write("mixed", Some(BEFORE)), write("short", None));
    let (mut walls, mut paces, mut waits) = (Turns::default(), Turns::default(), Vec::new());
    for _ in 0..ROUNDS {
        let mixed = stays(place, "2", &with, SHORT + 1);
        let alone = stays(place, "1", &without, SHORT);
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
    let name = "  longest that one began after a later one";
    table.plain(name, figures.map(String::as_str), "<= 10 ms", wait <= WAIT_MAX);
}

/// Runs the jobs; when each of them began and ended, in the order of the input.
fn stays(place: &Place, workers: &str, input: &Path, count: usize) -> Vec<Stay> {
    let log = place.path("stays");
    let _ = fs::remove_file(&log);
    let program = ["stamp", log.to_str().unwrap()];
    place.jobs(&["-w", workers, "--output", "none"], count, input, &program);
    let text = fs::read_to_string(&log).unwrap();
    let mut stays: Vec<_> = text.lines().map(|line| stay(line).expect("three numbers")).collect();
    stays.sort_by_key(|stay| stay.id);
    assert!(stays.iter().map(|stay| stay.id).eq(0..count), "each job is done once");
    stays
}

fn stay(line: &str) -> Option<Stay> {
    let mut numbers = line.split(' ');
    let id = numbers.next()?.parse().ok()?;
    let mut time = || Some(numbers.next()?.parse::<f64>().ok()? * 1e-9);
    Some(Stay { id, began: time()?, ended: time()? })
}

/// From the first beginning to the last end of a short job.
fn wall(stays: &[Stay]) -> f64 {
    let short = || stays.iter().filter(|stay| stay.ended - stay.began < 1.0);
    let began = short().map(|stay| stay.began).fold(f64::INFINITY, f64::min);
    short().map(|stay| stay.ended).fold(0.0, f64::max) - began
}

/// Seconds per short job begun while the long one ran, on the one worker left.
fn pace_beside_long(stays: &[Stay]) -> f64 {
    let long = &stays[BEFORE];
    let beside = stays.iter().filter(|stay| long.began < stay.began && stay.began < long.ended);
    (long.ended - long.began) / beside.count() as f64
}

/// Jobs are sent in the order of the input: how long did one wait, behind another on its worker,
/// when a later one had begun already?
fn longest_wait(stays: &[Stay]) -> f64 {
    let (mut longest, mut earliest_later) = (0.0_f64, f64::INFINITY);
    for stay in stays.iter().rev() {
        longest = longest.max(stay.began - earliest_later);
        earliest_later = earliest_later.min(stay.began);
    }
    longest
}
