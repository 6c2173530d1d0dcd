//! Golden forms of every record: a change of what users parse fails here, and shows in review.

mod events;
mod outcomes;
mod snapshot;

use std::time::Duration;

use pool::{
    event::WorkerId,
    exit::{Cause, Evidence, Peak, Sender, Status},
    job::{Attempt, AttemptEnd, Death, Failure, FailureKind, JobEnd, Outcome, Payload},
    signal::Signal,
};
use serde::Serialize;

use crate::json;

const WORKER: WorkerId = WorkerId { slot: 2, generation: 7 };

/// The JSON of a record, for a comparison with a golden text.
fn text(record: &impl Serialize) -> String {
    json::line(record).trim_end().to_owned()
}

fn attempt(number: u32, end: AttemptEnd) -> Attempt {
    Attempt {
        number,
        worker: WORKER,
        pid: 4123,
        began: Duration::from_micros(12_300),
        took: Duration::from_nanos(1_500_290),
        peak_bytes: None,
        hang: None,
        end,
    }
}

fn evidence() -> Evidence {
    Evidence {
        status: Status::Signal { signal: Signal::SEGV, core: true },
        wall: Duration::from_millis(5),
        cpu: Duration::from_micros(3250),
        own_cpu: Duration::ZERO,
        cpu_limit: None,
        peak: Peak { bytes: 99, exact: true },
        says_out_of_memory: false,
        kernel_oom: false,
        left: vec!["sleep".into()],
    }
}

fn death(cause: Cause, last_output: &[u8]) -> Box<Death> {
    Box::new(Death { cause, evidence: Some(evidence()), last_output: last_output.to_vec() })
}

fn crash(number: u32) -> Attempt {
    attempt(number, AttemptEnd::Crashed(death(Cause::Signal(Sender::Itself), b"last words")))
}

fn failed(kind: FailureKind, message: &str) -> AttemptEnd {
    let place = Some("src/main.rs:7:5".into());
    AttemptEnd::Error(Box::new(Failure { kind, message: message.into(), place }))
}

fn outcome(input: &[u8], end: JobEnd, last: Option<Attempt>) -> Outcome {
    let payload = Payload::copy(input);
    let (earlier, again) = (Vec::new(), false);
    Outcome { id: 7, place: 7, position: 9, payload, end, last, earlier, again }
}
