//! The control protocol: lines of JSON between a run and its clients. Fields may be added; none
//! changes its meaning or is removed while [`SCHEMA`] stays the same.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use records::SCHEMA;

use crate::model::{ControlCommand, WorkerName};

/// The longest request, in bytes.
pub const REQUEST_BYTES_MAX: usize = 4096;

/// A line that replaces records of a stream that the client read too slowly.
pub const GAP: &[u8] = b"{\"type\":\"gap\"}\n";

/// The one line that a client sends.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Request {
    /// The version of the protocol that the client speaks.
    pub schema: u32,
    /// What the client wants.
    #[serde(flatten)]
    pub query: Query,
}

/// What a client may ask of a run.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Query {
    /// One [`Snapshot`](records::Snapshot).
    #[serde(rename = "look")]
    Snapshot,
    /// A [`Snapshot`](records::Snapshot) per line, twice a second; the last one
    /// shows how the run ended.
    Watch,
    /// Events from now on, a line for each.
    Events,
    /// Recent output of workers, a line for each line of it.
    Logs {
        /// Only output of this worker.
        #[serde(default)]
        worker: Option<WorkerName>,
        /// Continue with what workers write from now on.
        #[serde(default)]
        follow: bool,
    },
    /// Change the run; answered with [`Done`](crate::model::Done) and a sentence.
    #[serde(rename = "act")]
    Command(ControlCommand),
}

/// The first line of an answer; the lines of a stream follow it.
#[derive(Serialize, Debug)]
#[serde(untagged)]
pub enum Answer<'a, T> {
    /// What the client asked for; nothing for a stream.
    Ok {
        /// The answer.
        ok: T,
    },
    /// Why the run refused.
    Error(WithMessage<'a, crate::model::Refusal>),
}

/// A value with the sentence for people beside its code.
#[derive(Serialize, Debug)]
pub struct WithMessage<'a, T> {
    #[serde(flatten)]
    value: &'a T,
    message: String,
}

impl<'a, T: fmt::Display> From<&'a T> for WithMessage<'a, T> {
    fn from(value: &'a T) -> Self {
        Self { value, message: value.to_string() }
    }
}

/// What a client reads of the answer to a command. The other fields depend on the command.
#[derive(Clone, Deserialize, Debug)]
pub struct Performed {
    /// The code of what was done, such as `killed`.
    pub done: String,
    /// The same as a sentence.
    pub message: String,
}

/// What a client reads of a refusal. The other fields depend on the code.
#[derive(Clone, Deserialize, Debug)]
pub struct Refused {
    /// The code of the refusal, such as `no_such_worker`.
    pub error: String,
    /// The same as a sentence.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Done, Refusal};
    use fuzz::{Checked, Did, Target};

    #[test]
    fn a_request_is_one_flat_object() {
        let kill = ControlCommand::Kill { worker: WorkerName { slot: 2, generation: Some(7) } };
        let request = Request { schema: SCHEMA, query: Query::Command(kill) };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(
            text,
            r#"{"schema":1,"ask":"act","act":"kill","worker":{"slot":2,"generation":7}}"#
        );
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        let stop: Request =
            serde_json::from_str(r#"{"schema":1,"ask":"act","act":"stop"}"#).unwrap();
        assert_eq!(stop.query, Query::Command(ControlCommand::Stop { now: false }));
    }

    #[test]
    fn an_answer_has_a_code_for_programs_and_a_sentence_for_people() {
        let worker = WorkerName { slot: 9, generation: None };
        let refusal = Refusal::NoSuchWorker { worker, live: Vec::new() };
        let answer = Answer::<()>::Error((&refusal).into());
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"error":"no_such_worker","worker":{"slot":9,"generation":null},"live":[],"message":"there is no worker w9: there are none"}"#
        );
        let done = Done::Scaled { before: 2, workers: 3 };
        let answer = Answer::Ok { ok: WithMessage::from(&done) };
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"ok":{"done":"scaled","before":2,"workers":3,"message":"2 -> 3 workers from now on"}}"#
        );
    }

    #[test]
    fn every_refusal_has_a_code_and_a_message() {
        let refusals = [
            Refusal::NoJobs,
            Refusal::Stopping,
            Refusal::RunOver,
            Refusal::PermissionDenied,
            Refusal::NoSuchJob { job: 9, accepted: 3 },
            Refusal::JobEnded { job: 2 },
            Refusal::JobNotEnded { job: 2 },
            Refusal::JobTooLong { job: 2 },
            Refusal::InputNotKept { job: 2, input_bytes: 9000, kept_bytes: 4096 },
        ];
        let mut codes = Vec::new();
        for refusal in &refusals {
            let text = serde_json::to_string(&Answer::<()>::Error(refusal.into())).unwrap();
            let read: Refused = serde_json::from_str(&text).unwrap();
            assert_eq!(read.message, refusal.to_string());
            codes.push(read.error);
        }
        let expected = [
            "no_jobs",
            "stopping",
            "run_over",
            "permission_denied",
            "no_such_job",
            "job_ended",
            "job_not_ended",
            "job_too_long",
            "input_not_kept",
        ];
        assert_eq!(codes, expected);
    }

    fn requests() -> Target {
        let seeds = [
            r#"{"schema":1,"ask":"act","act":"kill","worker":{"slot":2,"generation":7}}"#,
            r#"{"schema":1,"ask":"act","act":"scale","workers":4}"#,
            r#"{"schema":1,"ask":"act","act":"retry","job":12}"#,
            r#"{"schema":1,"ask":"act","act":"stop","now":true}"#,
            r#"{"schema":1,"ask":"logs","worker":null,"follow":true}"#,
            r#"{"schema":1,"ask":"look"}"#,
        ];
        let words =
            &["null", "{", "}", "\"ask\":", "\"act\":", "\\u0000", "[", "true", "1e9", "\"drain\""];
        Target { name: "requests", seeds: seeds.map(|seed| seed.as_bytes().to_vec()).into(), words }
    }

    /// A request is read back from what is written of it.
    fn check(input: &[u8], write: impl Fn(&Request) -> Vec<u8>) -> Checked {
        let Ok(request) = serde_json::from_slice::<Request>(input) else { return Ok(Did::Refuse) };
        match serde_json::from_slice::<Request>(&write(&request)) {
            Ok(again) if again == request => Ok(Did::Accept),
            again => Err(format!("{request:?} is read back as {again:?}")),
        }
    }

    #[test]
    fn any_bytes_are_a_request_or_refused() {
        requests().fuzz(|input| check(input, |request| serde_json::to_vec(request).unwrap()));
    }

    #[test]
    fn a_request_that_loses_its_schema_would_be_found() {
        requests().finds(|input| {
            check(input, |request| {
                let request = Request { schema: SCHEMA, ..request.clone() };
                serde_json::to_vec(&request).unwrap()
            })
        });
    }
}
