//! The texts of `ps`, `why` and `logs`, drawn from the snapshot of a run and nothing else.

use std::{
    fmt::Write as _,
    time::{Duration, Instant, SystemTime},
};

use records::{
    AbsentRun, Attempt, CurrentJob, Failure, LogLine, Millis, SCHEMA, Snapshot, Worker, json, names,
};
use supervisor::{
    control::{
        client::{ANSWER_TIMEOUT, Found, share},
        wire::Query,
    },
    model::WorkerName,
};
use text::{
    columns::{Column, table},
    escape::visible,
    units::{show_duration, show_size},
};

/// The columns of the list of runs.
const RUNS: [Column; 7] = [
    Column::word("run"),
    Column::number("PID"),
    Column::word("state"),
    Column::number("workers").omitted_by_rank(2),
    Column::text("jobs"),
    Column::number("age").omitted_by_rank(1),
    Column::text("what"),
];

/// The columns of the list of workers. The last three are omitted if the run has no jobs.
const WORKERS: [Column; 9] = [
    Column::word("worker"),
    Column::number("PID"),
    Column::word("state"),
    Column::number("up").omitted_by_rank(2),
    Column::number("memory").omitted_by_rank(1),
    Column::number("restarts").omitted_by_rank(3),
    Column::number("job"),
    Column::number("for"),
    Column::text("input"),
];

/// Lists all runs, with the counters of those that are live.
pub(super) fn runs(runs: Vec<Found>, is_jsonl: bool, width: Option<usize>) -> String {
    if runs.is_empty() && !is_jsonl {
        return "no run is live\n".into();
    }
    let mut rows = Vec::new();
    let mut records = String::new();
    let (until, mut left) = (Instant::now() + ANSWER_TIMEOUT, runs.len());
    for run in runs {
        let (label, info) = (run.label(), run.info.clone());
        let is_gone = run.is_gone();
        let snapshot = run.ask_within::<Snapshot>(Query::Snapshot, share(until, left)).ok();
        left -= 1;
        let state = match &snapshot {
            Some(snapshot) => snapshot.state.to_string(),
            None if is_gone => "gone".into(),
            None => "does not answer".into(),
        };
        if is_jsonl {
            match &snapshot {
                Some(snapshot) => records.push_str(&json::line(snapshot)),
                None => {
                    let state = if is_gone { "gone" } else { "no_answer" };
                    records.push_str(&json::line(&AbsentRun { schema: SCHEMA, run: info, state }));
                }
            }
            continue;
        }
        let of = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let live = |s: &Snapshot| {
            let count = s.workers.iter().filter(|w| w.id.pid.is_some()).count();
            if count == s.workers_wanted as usize {
                count.to_string()
            } else {
                format!("{count} of {}", s.workers_wanted)
            }
        };
        rows.push([
            label,
            of(info.as_ref().map(|info| info.pid.to_string())),
            state,
            of(snapshot.as_ref().map(live)),
            of(snapshot.as_ref().filter(|s| s.run.has_jobs).map(jobs)),
            of(info.as_ref().map(|info| age(info.began_unix_ms))),
            of(info.map(|info| visible(info.title.as_bytes()))),
        ]);
    }
    if is_jsonl { records } else { table(&RUNS, &rows, width) }
}

/// Returns the final status of a run that has ended, or why it is stopping.
pub(super) fn why(snapshot: &Snapshot) -> Option<String> {
    snapshot.status.as_ref().map(|status| status.replace('_', " ")).or_else(|| snapshot.why.clone())
}

/// Shows a run and its workers.
pub(super) fn run(snapshot: &Snapshot, width: Option<usize>) -> String {
    let info = &snapshot.run;
    let name = info.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let mut text = format!(
        "run {}{name}, PID {}, {} for {}: {}\n",
        info.id,
        info.pid,
        // The time is that of the run and not that of the pause.
        if snapshot.state == "paused" { "paused, running" } else { &snapshot.state },
        show_duration(snapshot.at_ms.into()),
        visible(info.title.as_bytes())
    );
    if let Some(why) = why(snapshot) {
        let _ = writeln!(text, "{why}");
    }
    let _ = writeln!(text, "{}", snapshot.standing());
    if info.has_jobs {
        let _ = writeln!(text, "jobs: {}", jobs(snapshot));
    }
    let rows: Vec<_> = snapshot.workers.iter().map(|worker| row(worker, snapshot.at_ms)).collect();
    let columns = if info.has_jobs { &WORKERS[..] } else { &WORKERS[..6] };
    text + &table(columns, &rows, width)
}

fn row(worker: &Worker, at_ms: Millis) -> [String; 9] {
    let none = || String::from("-");
    let since = |since: Millis| show_duration(at_ms.since(since));
    let job = worker.job.as_ref();
    [
        name(worker),
        worker.id.pid.map_or_else(none, |pid| pid.to_string()),
        worker.state.to_string(),
        worker.started_ms.map_or_else(none, since),
        worker.memory_bytes.map_or_else(none, show_size),
        worker.restarts.to_string(),
        job.map_or_else(none, |job| format!("{}{}", job.id, percent(job))),
        job.map_or_else(none, |job| since(job.began_ms)),
        job.map_or_else(none, |job| short(&job.input)),
    ]
}

/// How far a job is, to follow its number: ` 45%`.
pub(super) fn percent(job: &CurrentJob) -> String {
    let percent = job.progress.as_ref().map(|progress| progress.fraction.clamp(0.0, 1.0) * 100.0);
    percent.map(|percent| format!(" {percent:.0}%")).unwrap_or_default()
}

/// How far a job is, with its worker's note: `, 45% done (page 9)`.
fn progress(job: &CurrentJob) -> String {
    let Some(progress) = &job.progress else { return String::new() };
    let note = visible(progress.note.as_bytes());
    let note = if note.is_empty() { note } else { format!(" ({note})") };
    format!(",{} done{note}", percent(job))
}

/// Shows where a job runs or how it failed.
///
/// # Errors
/// The snapshot does not hold the job.
pub(super) fn job(snapshot: &Snapshot, id: u64, is_jsonl: bool) -> Result<String, String> {
    let running = snapshot.workers.iter().find(|w| w.job.as_ref().is_some_and(|job| job.id == id));
    if let Some((worker, job)) = running.and_then(|worker| Some((worker, worker.job.as_ref()?))) {
        if is_jsonl {
            return Ok(json::line(worker));
        }
        let took = snapshot.at_ms.since(job.began_ms);
        let (on, took) = (name(worker), show_duration(took));
        let pid = worker.id.pid.unwrap_or_default();
        return Ok(format!(
            "job {id} runs on {on} (PID {pid}) for {took}, attempt {}{}: {}\n",
            job.attempt,
            progress(job),
            short(&job.input)
        ));
    }
    let Some(failure) = snapshot.failures.iter().find(|failure| failure.id == id) else {
        return Err(no_job(snapshot, id));
    };
    Ok(if is_jsonl { json::line(failure) } else { failed(failure) })
}

fn failed(failure: &Failure) -> String {
    let Failure { id, status, why, .. } = failure;
    let verb = match status.as_ref() {
        names::QUARANTINED => "is quarantined",
        _ => "failed",
    };
    let mut text = format!("job {id} {verb}: {}\n", visible(why.as_bytes()));
    let _ = writeln!(text, "input: {}", short(&failure.input));
    for attempt in &failure.attempts {
        let Attempt { attempt: number, worker: by, began_ms, duration_ms, why, .. } = attempt;
        let (worker, generation) = (by.worker, by.generation);
        let pid = by.pid.unwrap_or_default();
        let (began, took) =
            (show_duration((*began_ms).into()), show_duration((*duration_ms).into()));
        let why = visible(why.as_deref().unwrap_or_default().as_bytes());
        let _ = writeln!(
            text,
            "  attempt {number}: {began} after the start, on w{worker}.{generation} (PID {pid}), for {took}: {why}"
        );
        for line in attempt.output().lines() {
            let _ = writeln!(text, "    | {}", visible(line.as_bytes()));
        }
    }
    text
}

fn no_job(snapshot: &Snapshot, id: u64) -> String {
    if !snapshot.run.has_jobs {
        return "this run has no jobs".into();
    }
    let jobs = &snapshot.jobs.tally;
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

/// Checks that the slot exists. Its earlier generations may still have logs, so any generation is
/// accepted.
pub(super) fn check_slot(snapshot: &Snapshot, wanted: WorkerName) -> Result<(), String> {
    let is_there = snapshot.workers.iter().any(|worker| worker.id.worker == wanted.slot);
    is_there.then_some(()).ok_or_else(|| unknown(snapshot, wanted))
}

fn unknown(snapshot: &Snapshot, wanted: WorkerName) -> String {
    let there: Vec<_> = snapshot.workers.iter().take(16).map(name).collect();
    format!("nothing is known of {wanted}: there are {}", there.join(", "))
}

/// Shows what a worker does, and how its predecessor in the slot ended.
///
/// # Errors
/// The snapshot does not hold the worker.
pub(super) fn worker(
    snapshot: &Snapshot,
    wanted: WorkerName,
    is_jsonl: bool,
) -> Result<String, String> {
    let matches = |worker: &&Worker| {
        worker.id.worker == wanted.slot
            && wanted.generation.is_none_or(|generation| {
                generation == worker.id.generation
                    || worker.last.as_ref().is_some_and(|last| last.generation == generation)
            })
    };
    let found: Vec<&Worker> = snapshot.workers.iter().filter(matches).collect();
    if found.is_empty() {
        return Err(unknown(snapshot, wanted));
    }
    let mut text = String::new();
    for worker in found {
        if is_jsonl {
            text.push_str(&json::line(worker));
            continue;
        }
        let up = worker.started_ms.map(|started| snapshot.at_ms.since(started));
        let up = up.map(|up| format!(" for {}", show_duration(up)));
        let pid = worker.id.pid.map(|pid| format!(" (PID {pid})")).unwrap_or_default();
        let state = &worker.state;
        let _ = writeln!(text, "{}{pid}: {state}{}", name(worker), up.unwrap_or_default());
        if let Some(job) = &worker.job {
            let (id, attempt, progress) = (job.id, job.attempt, progress(job));
            let _ =
                writeln!(text, "  job {id}, attempt {attempt}{progress}: {}", short(&job.input));
        }
        if let Some(last) = &worker.last {
            let pid = last.pid.map(|pid| format!(" (PID {pid})")).unwrap_or_default();
            let why = visible(last.why.as_bytes());
            let _ = writeln!(
                text,
                "  before it: w{}.{}{pid} ended: {why}",
                worker.id.worker, last.generation
            );
        }
        if worker.restarts > 0 {
            let _ = writeln!(text, "  replaced {} times", worker.restarts);
        }
    }
    Ok(text)
}

/// Formats a line of a worker's output.
pub(super) fn log(record: &LogLine) -> String {
    let mark = if record.stream == "stderr" { "!" } else { "" };
    let LogLine { worker, generation, line, .. } = record;
    format!("w{worker}.{generation}{mark} {}", visible(line.as_bytes()))
}

pub(super) fn name(worker: &Worker) -> String {
    match worker.id.generation {
        0 => format!("w{}", worker.id.worker),
        generation => format!("w{}.{generation}", worker.id.worker),
    }
}

pub(super) fn jobs(snapshot: &Snapshot) -> String {
    let (jobs, running) = (&snapshot.jobs.tally, snapshot.jobs.running);
    let waiting = jobs.queued + jobs.in_flight.saturating_sub(running);
    let (ok, failed) = (jobs.ok, jobs.not_ok());
    let mut text = format!("{ok} ok, {failed} failed, {running} running, {waiting} waiting");
    for (count, what) in [(jobs.interrupted, "interrupted"), (jobs.not_run, "not run")] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    text
}

/// Returns the first characters of an input, on one line.
fn short(input: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let text = visible(input.as_bytes());
    let cut: String = text.chars().take(CHARACTERS_MAX).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}

fn age(began_unix_ms: Millis) -> String {
    let age = Millis::since_epoch(SystemTime::now()).since(began_unix_ms);
    show_duration(Duration::from_secs(age.as_secs()))
}
