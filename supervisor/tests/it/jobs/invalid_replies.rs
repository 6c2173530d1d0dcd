//! Replies that are sound frames with invalid content fail their job, and the worker goes on.

use crate::support::{Run, fixture, jobs::causes};

/// A run of one worker that answers each job with the messages in its payload.
fn raw(jobs: &[&str]) -> Run {
    Run::of([fixture("vile"), "raw".into()]).with("--workers 1").jsonl().given(jobs)
}

fn reply(rest: &str) -> String {
    format!(r#"{{"type":"reply","id":%ID%,"attempt":%ATTEMPT%{rest}}}"#)
}

#[test]
fn an_invalid_reply_fails_its_job_and_its_worker_goes_on() {
    let good = reply(r#","result":"good""#);
    let object = reply(r#","result":{"a":1}"#);
    let surrogate = reply(r#","result":"\ud83d\u001b lone""#);
    let float = good.replace("%ID%", "%ID%.0");
    let run = raw(&[&good, &object, &surrogate, &float]).finish();
    assert_eq!(run.statuses(), ["ok", "failed", "failed", "ok"], "{}", run.stderr);
    assert_eq!(run.code(), Some(1));
    let jobs = run.jobs();
    for (job, reason) in [
        (&jobs[1], r#"its reply is invalid: "result" must be a string, not an object: `{"type":"#),
        (&jobs[2], r#"its reply is invalid: "result" is not text: "#),
    ] {
        assert_eq!(causes(job), ["error"], "{job}");
        let message = job["attempts"][0]["message"].as_str().unwrap();
        assert!(message.starts_with(reason), "{message}");
    }
    assert!(jobs.iter().all(|job| job["attempts"][0]["generation"] == 1), "{jobs:?}");
    assert_eq!(run.records("started").len(), 1, "one worker did it all");
    assert!(run.stderr.contains(r#""result" must be a string, not an object"#), "{}", run.stderr);
}

#[test]
fn an_invalid_reply_is_tried_again_like_any_failure() {
    let run = raw(&[&reply(r#","result":3"#)]).with("--retries 2 --retry-delay 0").finish();
    assert_eq!(causes(&run.jobs()[0]), ["error"; 3], "{}", run.stderr);
}

#[test]
fn a_reply_without_a_readable_id_ends_its_worker_in_words() {
    let nameless = reply(r#","result":"x""#).replace("%ID%", "\"%ID%\"");
    let run = raw(&[&nameless]).with("--crash-retries 0").finish();
    let job = &run.jobs()[0];
    assert_eq!((causes(job), run.code()), (vec!["protocol".into()], Some(1)), "{}", run.stderr);
    let fault = job["attempts"][0]["fault"].as_str().unwrap();
    let words = r#"a frame that is no message: "id" must be a whole number that is not negative, not a string: `{"type":"reply","id":"1""#;
    assert!(fault.starts_with(words), "{fault}");
    assert!(run.stderr.contains(words), "{}", run.stderr);
}

#[test]
fn an_invalid_hello_is_named_by_its_field() {
    let hello = r#"{"type":"hello","version":1,"codec":"msgpack","pid":1}"#;
    let script = format!("printf '\\066\\0\\0\\0%s' '{hello}' >&4; sleep 1000");
    let run = Run::sh(&script).with("--workers 1").given(["one"]).finish();
    assert_eq!(run.code(), Some(2), "{}", run.stderr);
    let last = run.messages().pop().unwrap();
    let words =
        r#"its first frame is no hello: "codec" must be "bincode" or "json", not "msgpack""#;
    assert!(last.contains(words) && last.contains(&format!("`{hello}`")), "{last}");
}
