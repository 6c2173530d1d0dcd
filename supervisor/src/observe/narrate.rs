//! What is said, on stderr, of what happens: one line an event, and only of what a person who
//! looks on would want to know.

use std::fmt::Write;

use worker::quantity::show_duration;

use super::words::describe;
use crate::{
    event::{Ended, Event, Next, ShutdownReason},
    exit::{Cause, Status},
    limits::{Limits, Resource},
    settings::{Restart, Settings},
};

/// The line for an event, with its newline; `None` where there is nothing to say.
#[must_use]
pub fn line(event: &Event, settings: &Settings) -> Option<String> {
    let text = match event {
        Event::Ended(ended) => end(ended, settings)?,
        Event::Undead { worker } => {
            format!("{worker} was killed, but the kernel holds it; its slot is given up")
        }
        Event::RollCalledOff { worker } => {
            format!("roll called off: the new {worker} did not stay up")
        }
        Event::ShuttingDown { reason: ShutdownReason::Signal(signal) } => {
            format!("{signal}: stopping")
        }
        Event::Started { .. }
        | Event::Ready { .. }
        | Event::Stopping { .. }
        | Event::ShuttingDown { .. } => return None,
    };
    Some(format!("supervisor: {text}\n"))
}

fn end(ended: &Ended, settings: &Settings) -> Option<String> {
    let hint = limit_hint(ended, &settings.program.limits);
    let is_news = match (ended.next, ended.cause) {
        // The run's end says it once for all, or the table.
        (Next::Done, Cause::CouldNotStart(_) | Cause::AskedToStop(_)) => false,
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
    match ended.next {
        Next::Again(delay) if delay.is_zero() => text.push_str("; replaced at once"),
        Next::Again(delay) => {
            let _ = write!(text, "; again in {}", show_duration(delay));
        }
        Next::Replaced => text.push_str("; its successor has the slot"),
        Next::NotNeeded => text.push_str("; its predecessor keeps the slot"),
        Next::GaveUp => text.push_str("; given up: ten died before they were ready"),
        Next::Done => {}
    }
    if let Some(hint) = hint {
        let _ = write!(text, "; {hint}");
    }
    Some(text)
}

/// A limit can bite after the exec: the loader ends with 127, or a signal.
fn limit_hint(ended: &Ended, limits: &Limits) -> Option<String> {
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

/// Below this, an ordinary program may not come to its `main`.
fn small(resource: Resource) -> u64 {
    match resource {
        Resource::AddressSpace => 2 << 30,
        Resource::OpenFiles => 16,
        _ => 8 << 20,
    }
}
