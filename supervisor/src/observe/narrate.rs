//! The messages on stderr: one line per event, and only for events that a person wants to see.

use std::fmt::Write;

use text::{
    units::{show_duration, show_size},
    utf8::complete,
};

use crate::{settings::Settings, template::INPUT_SEPARATOR};
use pool::{
    event::{Again, Ended, Ending, Event, Next, ShutdownReason},
    exit::{Cause, Status, StopReason},
    job::{Attempt, AttemptEnd, JobEnd, Outcome},
    limits::{Limits, Resource},
    rules::{Intensity, Restart},
};
use records::words::{self, describe, failure};
use text::escape::visible;

/// The line for an event, with its newline; `None` if the event needs none.
#[must_use]
pub fn line(event: &Event, settings: &Settings) -> Option<String> {
    let text = match event {
        Event::Ended(ended) => end(ended, settings)?,
        Event::Unkillable { worker } => {
            format!("{worker} was killed, but the kernel holds it: the run no longer waits for it")
        }
        Event::RollCancelled { worker } => {
            format!("roll called off: the new {worker} did not stay up")
        }
        Event::Paused => "paused: running jobs finish, no others are started".into(),
        Event::Resumed => "resumed".into(),
        Event::ShuttingDown { reason: ShutdownReason::Signal(signal) } => {
            let commands = settings.jobs.as_ref().and_then(|jobs| jobs.commands.as_ref());
            let grace = show_duration(commands.map_or(settings.grace, |commands| commands.grace));
            format!("{signal}: stopping: what runs has {grace} to end, and less after another one")
        }
        Event::ShuttingDown { reason: ShutdownReason::ByUser(ending) } => match ending {
            Ending::Drain => "asked to drain: running jobs finish, no others are started".into(),
            Ending::Stop | Ending::Now => "asked to stop: stopping".into(),
        },
        Event::ShuttingDown { reason: ShutdownReason::Halted { now, .. } } => {
            let running = if *now { "running jobs are stopped" } else { "running jobs finish" };
            format!("enough jobs have ended: {running}, no others are started")
        }
        Event::ShuttingDown { reason: ShutdownReason::Deadline } => {
            "the time for the whole run is over: stopping".into()
        }
        Event::StillSilent { worker } => {
            let patience = settings.jobs.as_ref().map(|jobs| jobs.rules.start_timeout);
            format!(
                "{worker} runs for 3 s and has not spoken the worker protocol; it has {} in all",
                show_duration(patience.unwrap_or_default())
            )
        }
        Event::Retried { id, attempt, again } => retried(*id, attempt, *again),
        Event::Started { .. }
        | Event::Ready { .. }
        | Event::Stopping { .. }
        | Event::Progress { .. }
        | Event::Jobs(_)
        | Event::ShuttingDown { .. } => return None,
    };
    Some(format!("supervisor: {text}\n"))
}

/// The line for a job that failed; `None` for one that succeeded, was interrupted or was not run.
/// `why` replaces the recorded reason by a better one.
#[must_use]
pub fn outcome(outcome: &Outcome, why: Option<String>, runs_commands: bool) -> Option<String> {
    let id = outcome.id;
    let text = match &outcome.end {
        JobEnd::Ok(_) | JobEnd::Interrupted | JobEnd::NotRun => return None,
        JobEnd::TooLong { bytes, cap } => {
            let remedy = match runs_commands {
                true => "give the command the name of a file",
                false => "allow more with --max-frame",
            };
            let [has, may_have] = distinct_sizes(*bytes, *cap);
            format!("job {id} has {has}, and a job may have {may_have}: {remedy}")
        }
        JobEnd::Failed | JobEnd::Crashed => {
            let verb = if outcome.end == JobEnd::Failed { "failed" } else { "is quarantined" };
            let last = outcome.last.as_ref();
            let why = why.or_else(|| last.map(failure)).unwrap_or_default();
            let whom = last.map(|last| format!(" (attempt {}, {})", last.number, last.worker));
            let input = command_input(outcome);
            format!("job {id} {verb}: {why}{}{input}", whom.unwrap_or_default())
        }
    };
    Some(format!("supervisor: {}\n", visible(text.as_bytes())))
}

/// Two sizes in words that differ.
fn distinct_sizes(one: u64, two: u64) -> [String; 2] {
    let shown = [one, two].map(show_size);
    if shown[0] == shown[1] { [one, two].map(|bytes| format!("{bytes} bytes")) } else { shown }
}

/// A colon and the input of a command, or the beginning of it: the output alone seldom identifies
/// the job.
fn command_input(outcome: &Outcome) -> String {
    const BYTES_MAX: usize = 80;
    let is_command = outcome.attempts().any(|attempt| matches!(attempt.end, AttemptEnd::Ran(_)));
    let payload = outcome.payload.as_bytes();
    if !is_command || payload.is_empty() {
        return String::new();
    }
    let shown = &payload[..complete(&payload[..payload.len().min(BYTES_MAX)])];
    let shown = String::from_utf8_lossy(shown).replace(char::from(INPUT_SEPARATOR), " ");
    let more = if payload.len() > BYTES_MAX { "…" } else { "" };
    format!(": {shown}{more}")
}

/// The lines about what a command left behind, and about output of it that is missing, if output is
/// wanted.
#[must_use]
pub fn leftovers(outcome: &Outcome, wants_output: bool) -> Option<String> {
    let Some(AttemptEnd::Ran(ran)) = outcome.last.as_ref().map(|last| &last.end) else {
        return None;
    };
    let (id, mut text) = (outcome.id, String::new());
    if let Some(left) = words::left(ran.evidence.as_ref()) {
        let held = if ran.leaked { ", which held its output open" } else { "" };
        let _ = writeln!(text, "supervisor: job {id} {left}{held}; killed");
    }
    if wants_output {
        let gaps = ran.output.gaps().into_iter().zip(["stdout", "stderr"]);
        for (gap, stream) in gaps.filter(|(gap, _)| gap.bytes > 0) {
            let size = show_size(gap.bytes);
            let _ = writeln!(text, "supervisor: job {id}: {size} of its {stream} are left out");
        }
    }
    Some(text).filter(|text| !text.is_empty())
}

fn retried(id: u64, attempt: &Attempt, again: Again) -> String {
    let when = match again {
        Again::After(delay) if delay.is_zero() => "again at once".into(),
        Again::After(delay) => format!("again in {}", show_duration(delay)),
        Again::Alone => "once more, alone in a fresh worker".into(),
        Again::Next => "again, uncharged".into(),
    };
    let (number, worker) = (attempt.number, attempt.worker);
    let why = visible(failure(attempt).as_bytes());
    format!("job {id} (attempt {number}, {worker}): {why}; {when}")
}

fn end(ended: &Ended, settings: &Settings) -> Option<String> {
    let hint = limit_hint(ended, &settings.program.limits);
    let left = words::left(ended.evidence.as_ref());
    let is_news = match (ended.next, ended.cause) {
        _ if left.is_some() => true,
        // The end of the run says this once, or the table does.
        (Next::Done, Cause::CouldNotStart(_)) => false,
        // The table has every end; a run with jobs has none, and says who did not end by itself.
        (Next::Done, Cause::AskedToStop(asked)) => {
            let is_wanted = matches!(asked.why, StopReason::Killed | StopReason::Cancelled);
            asked.killed && !is_wanted && settings.jobs.is_some()
        }
        // A planned replacement is no news.
        (_, Cause::AskedToStop(asked)) if is_planned(asked.why) && !asked.killed => false,
        (Next::Done, _) => settings.restart != Restart::Never || hint.is_some(),
        _ => true,
    };
    if !is_news {
        return None;
    }
    let mut text = format!("{}", ended.worker);
    if let Some(pid) = ended.pid {
        let _ = write!(text, " (PID {pid})");
    }
    let _ = write!(text, " ended: {}", describe(ended.cause, ended.evidence.as_ref()));
    if let Some(left) = left {
        let _ = write!(text, "; {left}; killed");
    }
    match ended.next {
        Next::Restart(delay) if delay.is_zero() => text.push_str("; replaced at once"),
        Next::Restart(delay) => {
            let _ = write!(text, "; again in {}", show_duration(delay));
        }
        Next::Replaced => text.push_str("; its successor has the slot"),
        Next::NotNeeded => text.push_str("; its predecessor keeps the slot"),
        Next::GaveUp => {
            let Intensity { crashes, period } = settings.intensity;
            let _ = write!(
                text,
                "; given up after {crashes} crashes within {}: supervisor kill w{} starts it again",
                show_duration(period),
                ended.worker.slot
            );
        }
        Next::Done => {}
    }
    if let Some(hint) = hint {
        let _ = write!(text, "; {hint}");
    }
    Some(text)
}

fn is_planned(why: StopReason) -> bool {
    matches!(why, StopReason::Recycle | StopReason::IsolatedRetry | StopReason::Finished)
}

/// A hint that a resource limit may have ended the program as it started: the dynamic loader then
/// exits with 127 or by a signal.
pub(super) fn limit_hint(ended: &Ended, limits: &Limits) -> Option<String> {
    const STARTUP_CPU_MS: u128 = 20;
    let evidence = ended.evidence.as_ref()?;
    let looks_so = match evidence.status {
        Status::Code(code) => code == 127,
        Status::Signal { .. } => matches!(ended.cause, Cause::Signal(_) | Cause::Memory(_)),
    };
    let at_once = evidence.cpu.as_millis() < STARTUP_CPU_MS;
    let limit = [Resource::AddressSpace, Resource::Data, Resource::Stack, Resource::OpenFiles]
        .into_iter()
        .find(|resource| limits.get(*resource).is_some_and(|value| value < small(*resource)))
        .filter(|_| looks_so && at_once)?;
    Some(format!(
        "the limit {name} may be below what the program needs to start: raise it",
        name = limit.name()
    ))
}

/// The value of a limit below which an ordinary program may not reach `main`.
fn small(resource: Resource) -> u64 {
    match resource {
        Resource::AddressSpace => 2 << 30,
        Resource::OpenFiles => 16,
        _ => 8 << 20,
    }
}
