//! What do people see of a run? Drawn from its snapshot, and from nothing else.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;
use supervisor::{
    control::{
        client::Found,
        log::LogRecord,
        wire::{self, Query},
    },
    model::WorkerName,
    observe::snapshot::{Attempt, Failure, Snapshot, Worker},
    sink::events::unix_ms,
};
use text::escape::visible;
use text::units::{show_duration, show_size};

/// A record, with its newline.
pub(super) fn record(value: &impl Serialize) -> String {
    serde_json::to_string(value).map(|line| line + "\n").unwrap_or_default()
}

/// All runs; of those that live, how they stand.
pub(super) fn runs(runs: Vec<Found>, is_jsonl: bool) -> String {
    if runs.is_empty() && !is_jsonl {
        return "no run is live\n".into();
    }
    let mut rows =
        vec![["run", "PID", "state", "workers", "jobs", "age", "what"].map(String::from)];
    let mut records = String::new();
    for run in runs {
        let (label, about) = (run.label(), run.info.clone());
        let is_gone = run.stream.is_none();
        let snapshot = run.ask::<Snapshot>(Query::Look).ok();
        let state = match &snapshot {
            Some(snapshot) => snapshot.state.to_string(),
            None if is_gone => "gone".into(),
            None => "does not answer".into(),
        };
        if is_jsonl {
            match &snapshot {
                Some(snapshot) => records.push_str(&record(snapshot)),
                None => records.push_str(&record(&serde_json::json!({
                    "schema": wire::SCHEMA, "run": about, "state": state,
                }))),
            }
            continue;
        }
        let of = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let live = |s: &Snapshot| s.workers.iter().filter(|w| w.pid.is_some()).count().to_string();
        rows.push([
            label,
            of(about.as_ref().map(|about| about.pid.to_string())),
            state,
            of(snapshot.as_ref().map(live)),
            of(snapshot.as_ref().filter(|s| s.run.has_jobs).map(jobs)),
            of(about.as_ref().map(|about| age(about.began_unix_ms))),
            of(about.map(|about| visible(about.title.as_bytes()))),
        ]);
    }
    if is_jsonl { records } else { table(&rows) }
}

/// One run, and its workers.
pub(super) fn run(snapshot: &Snapshot) -> String {
    let about = &snapshot.run;
    let name = about.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let mut text = format!(
        "run {}{name}, PID {}, {} for {}: {}\n",
        about.id,
        about.pid,
        snapshot.state,
        show_duration(Duration::from_millis(snapshot.at_ms)),
        visible(about.title.as_bytes())
    );
    if let Some(why) = &snapshot.why {
        let _ = writeln!(text, "{why}");
    }
    if about.has_jobs {
        let _ = writeln!(text, "jobs: {}", jobs(snapshot));
    }
    let head = ["worker", "PID", "state", "up", "memory", "restarts", "job", "since", "input"];
    let mut rows = vec![head.map(String::from)];
    for worker in &snapshot.workers {
        rows.push(row(worker, snapshot.at_ms));
    }
    text + &table(&rows)
}

fn row(worker: &Worker, at_ms: u64) -> [String; 9] {
    let none = || String::from("-");
    let since = |since: u64| show_duration(Duration::from_millis(at_ms.saturating_sub(since)));
    let job = worker.job.as_ref();
    [
        name(worker),
        worker.pid.map_or_else(none, |pid| pid.to_string()),
        worker.state.to_string(),
        worker.since_ms.map_or_else(none, since),
        worker.memory_bytes.map_or_else(none, show_size),
        worker.restarts.to_string(),
        job.map_or_else(none, |job| job.id.to_string()),
        job.map_or_else(none, |job| since(job.since_ms)),
        job.map_or_else(none, |job| short(&job.input)),
    ]
}

/// What became of a job, or becomes.
pub(super) fn job(snapshot: &Snapshot, id: u64, is_jsonl: bool) -> Result<String, String> {
    let running = snapshot.workers.iter().find(|w| w.job.as_ref().is_some_and(|job| job.id == id));
    if let Some((worker, job)) = running.and_then(|worker| Some((worker, worker.job.as_ref()?))) {
        if is_jsonl {
            return Ok(record(worker));
        }
        let took = Duration::from_millis(snapshot.at_ms.saturating_sub(job.since_ms));
        let (on, took) = (name(worker), show_duration(took));
        let pid = worker.pid.unwrap_or_default();
        return Ok(format!(
            "job {id} runs on {on} (PID {pid}) for {took}, attempt {}: {}\n",
            job.attempt,
            short(&job.input)
        ));
    }
    let Some(failure) = snapshot.failures.iter().find(|failure| failure.id == id) else {
        return Err(no_job(snapshot, id));
    };
    Ok(if is_jsonl { record(failure) } else { told(failure) })
}

fn told(failure: &Failure) -> String {
    let Failure { id, outcome, why, .. } = failure;
    let verb = match outcome.as_ref() {
        "crashed" => "is parked",
        _ => "failed",
    };
    let mut text = format!("job {id} {verb}: {}\n", visible(why.as_bytes()));
    let _ = writeln!(text, "input: {}", short(&failure.input));
    for attempt in &failure.attempts {
        let Attempt { attempt: number, worker, life, pid, began_ms, ms, why, output, .. } = attempt;
        let began = show_duration(Duration::from_millis(*began_ms));
        let took = show_duration(Duration::from_secs_f64(ms.max(0.0) / 1e3));
        let why = visible(why.as_bytes());
        let _ = writeln!(
            text,
            "  attempt {number}: {began} after the start, on w{worker}.{life} (PID {pid}), for {took}: {why}"
        );
        for line in output.lines() {
            let _ = writeln!(text, "    | {}", visible(line.as_bytes()));
        }
    }
    text
}

fn no_job(snapshot: &Snapshot, id: u64) -> String {
    if !snapshot.run.has_jobs {
        return "this run has no jobs".into();
    }
    let jobs = &snapshot.jobs;
    if (1..=jobs.accepted).contains(&id) {
        let last: Vec<_> =
            snapshot.failures.iter().rev().take(8).map(|f| f.id.to_string()).collect();
        let there = if last.is_empty() { "none".into() } else { last.join(", ") };
        return format!(
            "job {id} is done or waits, and did not fail lately; the last that did: {there}"
        );
    }
    format!("there is no job {id}: they are numbered from 1 to {} so far", jobs.accepted)
}

/// Whether there is such a slot: of its former lives logs may tell still.
pub(super) fn check_slot(snapshot: &Snapshot, wanted: WorkerName) -> Result<(), String> {
    let is_there = snapshot.workers.iter().any(|worker| worker.worker == wanted.slot);
    is_there.then_some(()).ok_or_else(|| unknown(snapshot, wanted))
}

fn unknown(snapshot: &Snapshot, wanted: WorkerName) -> String {
    let there: Vec<_> = snapshot.workers.iter().take(16).map(name).collect();
    format!("nothing is known of {wanted}: there are {}", there.join(", "))
}

/// What a worker does, and how the one before it ended.
pub(super) fn worker(
    snapshot: &Snapshot,
    wanted: WorkerName,
    is_jsonl: bool,
) -> Result<String, String> {
    let is_it = |worker: &&Worker| {
        worker.worker == wanted.slot
            && wanted.life.is_none_or(|life| {
                life == worker.life || worker.last.as_ref().is_some_and(|last| last.life == life)
            })
    };
    let found: Vec<&Worker> = snapshot.workers.iter().filter(is_it).collect();
    if found.is_empty() {
        return Err(unknown(snapshot, wanted));
    }
    let mut text = String::new();
    for worker in found {
        if is_jsonl {
            text.push_str(&record(worker));
            continue;
        }
        let since = worker.since_ms.map(|since| snapshot.at_ms.saturating_sub(since));
        let up = since.map(|ms| format!(" for {}", show_duration(Duration::from_millis(ms))));
        let pid = worker.pid.map(|pid| format!(" (PID {pid})")).unwrap_or_default();
        let state = &worker.state;
        let _ = writeln!(text, "{}{pid}: {state}{}", name(worker), up.unwrap_or_default());
        if let Some(job) = &worker.job {
            let _ =
                writeln!(text, "  job {}, attempt {}: {}", job.id, job.attempt, short(&job.input));
        }
        if let Some(last) = &worker.last {
            let pid = last.pid.map(|pid| format!(" (PID {pid})")).unwrap_or_default();
            let why = visible(last.why.as_bytes());
            let _ =
                writeln!(text, "  before it: w{}.{}{pid} ended: {why}", worker.worker, last.life);
        }
        if worker.restarts > 0 {
            let _ = writeln!(text, "  replaced {} times", worker.restarts);
        }
    }
    Ok(text)
}

/// A line of a worker's.
pub(super) fn log(record: &LogRecord) -> String {
    let mark = if record.stream == "stderr" { "!" } else { "" };
    let LogRecord { worker, life, line, .. } = record;
    format!("w{worker}.{life}{mark} {}", visible(line.as_bytes()))
}

pub(super) fn name(worker: &Worker) -> String {
    match worker.life {
        0 => format!("w{}", worker.worker),
        life => format!("w{}.{life}", worker.worker),
    }
}

pub(super) fn jobs(snapshot: &Snapshot) -> String {
    let jobs = &snapshot.jobs;
    let failed = jobs.failed + jobs.crashed;
    let waiting = jobs.queued + jobs.in_flight.saturating_sub(jobs.running);
    format!("{} ok, {failed} failed, {} running, {waiting} waiting", jobs.ok, jobs.running)
}

/// The beginning of an input, on one line.
fn short(input: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let text = visible(input.as_bytes());
    let cut: String = text.chars().take(CHARACTERS_MAX).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}

fn age(began_unix_ms: u64) -> String {
    let ms = unix_ms().saturating_sub(began_unix_ms);
    show_duration(Duration::from_secs(ms / 1000))
}

/// Columns, the last of which may be as long as it likes.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
