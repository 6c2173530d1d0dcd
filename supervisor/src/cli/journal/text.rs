//! Formats a journal as text: its summary, its list of jobs, and the details of a job.

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::Path,
};

use journal::{Account, Attempted, Run, Settled};
use pool::{exit::Evidence, job::AttemptEnd, limits::Limits};
use records::{JournalRun, json, words};
use supervisor::sink::reports::wall_clock;
use text::{
    columns::{Column, Layout, cut_middle},
    escape::visible,
    units::{show_duration, show_size},
};

use super::StateArgument;

/// The columns of the list of jobs, and the widths that they would like to have: the list is printed
/// while the journal is read.
const COLUMNS: [(Column, usize); 6] = [
    (Column::word("job"), 9),
    (Column::word("state"), 11),
    (Column::number("tries").omitted_by_rank(2), 5),
    (Column::number("took").omitted_by_rank(1), 8),
    (Column::text("input"), 40),
    (Column::text("why"), 120),
];

/// Number of jobs in each state.
#[derive(Default)]
pub(super) struct Counts([u64; 7]);

impl Counts {
    pub(super) fn add(&mut self, state: StateArgument) {
        self.0[state as usize] += 1;
    }

    pub(super) fn all(&self) -> u64 {
        self.0.iter().sum()
    }
}

const STATES: [&str; 7] =
    ["ok", "failed", "quarantined", "running", "lost", "interrupted", "waiting"];

fn name(state: StateArgument) -> &'static str {
    STATES[state as usize]
}

/// Returns the first line, such as `run.journal: 2 runs, 1000 jobs: 997 ok, 3 failed`.
pub(super) fn summary(
    file: &Path,
    runs: &[Run],
    counts: &Counts,
    is_live: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let some = counts.0.iter().zip(STATES).filter(|(count, _)| **count > 0);
    let some: Vec<_> = some.map(|(count, state)| format!("{count} {state}")).collect();
    let plural = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let jobs = plural(usize::try_from(counts.all()).unwrap_or(usize::MAX), "job");
    let list = if some.is_empty() { String::new() } else { format!(": {}", some.join(", ")) };
    let live = if is_live { "; being written" } else { "" };
    let file = visible(file.as_os_str().as_encoded_bytes());
    writeln!(out, "{file}: {}, {jobs}{list}{live}", plural(runs.len(), "run"))
}

/// The largest width of an input in a list.
const INPUT_WIDTH_MAX: usize = 200;

/// The layout of a list of jobs for a terminal of this width.
pub(super) fn layout(width: Option<usize>) -> Layout {
    let (columns, widths) = (COLUMNS.map(|(column, _)| column), COLUMNS.map(|(_, width)| width));
    Layout::new(&columns, &widths, width)
}

/// Returns the line of a job in a list.
pub(super) fn line(state: StateArgument, account: &Account, layout: &Layout) -> String {
    let last = account.attempts.last();
    let took = last.filter(|last| last.has_ended && last.attempt.end != AttemptEnd::Lost);
    let took = took.map(|last| show_duration(last.attempt.took)).unwrap_or_default();
    let (job, tries) = (account.job.to_string(), account.attempts.len().to_string());
    let input = visible(account.payload.as_bytes());
    let input = cut_middle(&input, INPUT_WIDTH_MAX).into_owned();
    layout.line(&[job, name(state).into(), tries, took, input, why(last)])
}

/// Returns why a job did not succeed; empty if it did.
fn why(last: Option<&Attempted>) -> String {
    match last {
        Some(last) if !matches!(last.settles, Some(Settled::Ok(_))) && last.has_ended => {
            visible(words::failure(&last.attempt).as_bytes())
        }
        _ => String::new(),
    }
}

/// Writes everything that is recorded about a job.
pub(super) fn account(state: StateArgument, account: &Account, limits: &Limits, out: &mut Vec<u8>) {
    let mut text = String::new();
    let Account { job, run, position, digest, .. } = account;
    let _ = writeln!(text, "job {job}: {}", name(state));
    let _ = writeln!(text, "  number {position} in the input of run {run}; known by {digest}");
    block(&mut text, "input", account.payload.as_bytes());
    for tried in &account.attempts {
        attempt(&mut text, tried);
    }
    let limits: Vec<_> =
        limits.iter().map(|(limit, value)| format!("{} {value}", limit.name())).collect();
    if matches!(state, StateArgument::Quarantined) && !limits.is_empty() {
        let _ = writeln!(text, "  limits in force: {}", limits.join(", "));
    }
    out.extend_from_slice(text.as_bytes());
}

fn attempt(text: &mut String, tried: &Attempted) {
    let attempt = &tried.attempt;
    let (number, run, worker, pid) = (attempt.number, tried.run, attempt.worker, attempt.pid);
    let began = show_duration(attempt.began);
    let how = match (tried.has_ended, &attempt.end) {
        (false, _) => "its end is not recorded".into(),
        (true, AttemptEnd::Lost) => words::failure(attempt),
        (true, _) => format!(
            "took {}: {}",
            show_duration(attempt.took),
            visible(words::failure(attempt).as_bytes())
        ),
    };
    let _ = writeln!(
        text,
        "  attempt {number} of run {run}, by {worker} (PID {pid}), began after {began}: {how}"
    );
    match &attempt.end {
        AttemptEnd::Timeout(death) | AttemptEnd::Crashed(death) | AttemptEnd::Requeued(death) => {
            death.evidence.iter().for_each(|evidence| measured(text, evidence));
            block(text, "last output", &death.last_output);
        }
        AttemptEnd::Ran(ran) => {
            ran.evidence.iter().for_each(|evidence| measured(text, evidence));
            block(text, "stdout", ran.output.stdout());
            block(text, "stderr", ran.output.stderr());
            if let Some(left) = words::left(ran.evidence.as_ref()) {
                let _ = writeln!(text, "    {left}");
            }
        }
        AttemptEnd::Ok | AttemptEnd::Error(_) | AttemptEnd::Lost => {
            if let Some(peak) = attempt.peak_bytes {
                let _ = writeln!(text, "    peak memory {}", show_size(peak));
            }
        }
    }
    if let Some(Settled::Ok(reply)) = &tried.settles {
        block(text, "reply", reply.as_bytes());
    }
}

fn measured(text: &mut String, evidence: &Evidence) {
    let Evidence { wall, cpu, peak, .. } = evidence;
    let (wall, cpu) = (show_duration(*wall), show_duration(*cpu));
    let _ = writeln!(text, "    lived {wall}, used {cpu} of CPU, peak memory {peak}");
}

/// Appends bytes line by line, with control characters made visible.
fn block(text: &mut String, name: &str, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let _ = writeln!(text, "    {name}:");
    for line in bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n') {
        let _ = writeln!(text, "      | {}", visible(line));
    }
}

/// Writes a paragraph about each run.
pub(super) fn runs(runs: &[Run], is_live: bool, out: &mut impl Write) -> io::Result<()> {
    for run in runs {
        let end = match (run.ended, run.status) {
            (Some(ended), Some(status)) => {
                format!("ended {} with status {status}", wall_clock(ended))
            }
            _ if is_live && run.number == runs.len() as u64 => "runs".into(),
            _ => "died".into(),
        };
        let (number, pid, started) = (run.number, run.pid, wall_clock(run.started));
        writeln!(out, "run {number}: PID {pid}, began {started}, {end}; sync {}", run.sync)?;
        let words: Vec<_> = run.header.program.iter().map(|w| visible(w.as_bytes())).collect();
        writeln!(out, "  program: {}", words.join(" "))?;
        for (name, value) in &run.header.settings {
            writeln!(out, "  {}: {}", visible(name.as_bytes()), visible(value.as_bytes()))?;
        }
    }
    Ok(())
}

/// Writes a JSON record for each run.
pub(super) fn runs_jsonl(runs: &[Run], out: &mut impl Write) -> io::Result<()> {
    runs.iter().try_for_each(|run| out.write_all(json::line(&record(run)).as_bytes()))
}

fn record(run: &Run) -> JournalRun<'_> {
    let header = &run.header;
    JournalRun {
        kind: "run",
        run: run.number,
        began_unix_ms: run.started.into(),
        ended_unix_ms: run.ended.map(Into::into),
        exit_status: run.status,
        pid: run.pid,
        version: &run.version,
        sync: &run.sync,
        program: &header.program,
        digest: header.digest.map(|digest| digest.to_string()),
        settings: &header.settings,
        limits: header.limits.iter().map(|(limit, value)| (limit.name(), value)).collect(),
    }
}
