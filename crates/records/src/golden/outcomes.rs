//! Records of jobs and their attempts.

use pool::{
    command::{Captured, Gap, Ran},
    event::WorkerId,
    exit::{Certainty, ProtocolFault, StartFault, StartStep, StopReason, StopRequest},
    hang::{Hang, Seen},
    limits::Limits,
};
use proptest::prelude::*;
use text::escape::is_obeyed;

use super::*;
use crate::outcome::{Outcome as Record, write};

fn line(outcome: &Outcome) -> String {
    let mut out = Vec::new();
    write(outcome, &"data=64M".parse().unwrap(), &mut out);
    let text = String::from_utf8(out).unwrap();
    text.strip_suffix('\n').unwrap().to_owned()
}

fn of_attempt(attempt: &Attempt) -> String {
    text(&crate::Attempt::new(attempt))
}

fn ran(cause: Cause) -> Ran {
    let gaps = [Gap { at: 2, bytes: 3 }, Gap::default()];
    let output = Captured::new(Payload::copy(b"out\xff"), [0..3, 3..4], gaps);
    Ran { pid: 4123, cause, evidence: Some(evidence()), asked: None, output, leaked: true }
}

#[test]
fn golden_job_that_succeeded() {
    let done = JobEnd::Ok(Payload::copy(b"a \"b\""));
    let mut done = outcome(b"in", done, Some(attempt(1, AttemptEnd::Ok)));
    let golden = r#"{"type":"job","id":7,"position":9,"status":"ok","attempts":[{"attempt":1,"worker":2,"generation":7,"pid":4123,"began_ms":12.3,"duration_ms":1.5}],"reply":"a \"b\""}"#;
    assert_eq!(line(&done), golden);
    done.again = true;
    done.end = JobEnd::Ok(Payload::copy(b"\xff"));
    done.last.iter_mut().for_each(|last| last.peak_bytes = Some(98));
    let golden = r#"{"type":"job","id":7,"position":9,"redelivered":true,"status":"ok","attempts":[{"attempt":1,"worker":2,"generation":7,"pid":4123,"began_ms":12.3,"duration_ms":1.5,"peak_bytes":98}],"reply_base64":"/w=="}"#;
    assert_eq!(line(&done), golden);
}

#[test]
fn golden_quarantined_job() {
    let mut bad = outcome(b"\xfe", JobEnd::Crashed, Some(crash(2)));
    bad.earlier = vec![attempt(1, failed(FailureKind::Panic, "oh \u{1b}"))];
    let golden = r#"{"type":"job","id":7,"position":9,"status":"quarantined","cause":"signal","sender":"itself","attempts":[{"attempt":1,"worker":2,"generation":7,"pid":4123,"began_ms":12.3,"duration_ms":1.5,"cause":"panic","message":"oh \u001b","place":"src/main.rs:7:5"},{"attempt":2,"worker":2,"generation":7,"pid":4123,"began_ms":12.3,"duration_ms":1.5,"cause":"signal","sender":"itself","code":139,"signal":"SIGSEGV","core":true,"wall_ms":5.0,"cpu_ms":3.25,"left_behind":["sleep"],"peak_bytes":99,"peak_exact":true,"last_output":"last words"}],"input_base64":"/g==","limits":{"data":67108864}}"#;
    assert_eq!(line(&bad), golden);
}

#[test]
fn golden_jobs_that_were_not_tried() {
    let long = outcome(b"", JobEnd::TooLong { bytes: 9, cap: 8 }, None);
    let golden = r#"{"type":"job","id":7,"position":9,"status":"too_long","bytes":9,"bytes_max":8,"attempts":[]}"#;
    assert_eq!(line(&long), golden);
    let left = outcome(b"", JobEnd::NotRun, None);
    let golden =
        r#"{"type":"job","id":7,"position":9,"status":"not_run","attempts":[],"input":""}"#;
    assert_eq!(line(&left), golden);
}

#[test]
fn golden_command() {
    let last = attempt(1, AttemptEnd::Ran(Box::new(ran(Cause::CpuLimit))));
    let golden = r#"{"type":"job","id":7,"position":9,"status":"failed","cause":"cpu_limit","attempts":[{"attempt":1,"worker":2,"generation":7,"pid":4123,"began_ms":12.3,"duration_ms":1.5,"cause":"cpu_limit","code":139,"signal":"SIGSEGV","core":true,"wall_ms":5.0,"cpu_ms":3.25,"left_behind":["sleep"],"peak_bytes":99,"peak_exact":true,"stdout":"out","stdout_gap":{"at":2,"bytes":3},"stderr_base64":"/w==","leaked":true}],"input":"x"}"#;
    assert_eq!(line(&outcome(b"x", JobEnd::Failed, Some(last))), golden);
}

#[test]
fn golden_attempt_at_its_time_limit() {
    let seen = Seen {
        pid: 8,
        name: "node".into(),
        state: 'S',
        wchan: Some("ep_poll".into()),
        stack: vec!["do_epoll_wait".into()],
    };
    let hang = Hang {
        window: Duration::from_millis(500),
        cpu: Duration::from_millis(1),
        unserved: Duration::from_millis(2),
        processes: vec![seen, Seen { wchan: None, stack: Vec::new(), ..seen_without() }],
    };
    let end = AttemptEnd::Timeout(Box::new(Death {
        cause: Cause::Timeout,
        evidence: None,
        last_output: b"\xa9 cut".to_vec(),
    }));
    let late = Attempt { hang: Some(Box::new(hang)), peak_bytes: Some(98), ..attempt(3, end) };
    let golden = r#"{"attempt":3,"worker":2,"generation":7,"pid":4123,"began_ms":12.3,"duration_ms":1.5,"cause":"timeout","peak_bytes":98,"last_output":" cut","hang":{"kind":"asleep","window_ms":500.0,"cpu_ms":1.0,"cpu_wait_ms":2.0,"processes":[{"pid":8,"name":"node","state":"S","wchan":"ep_poll","stack":["do_epoll_wait"]},{"pid":9,"name":"sh","state":"S"}]}}"#;
    assert_eq!(of_attempt(&late), golden);
}

fn seen_without() -> Seen {
    Seen { pid: 9, name: "sh".into(), state: 'S', wchan: None, stack: Vec::new() }
}

#[test]
fn golden_causes_of_attempts() {
    let asked = StopRequest { why: StopReason::Cancelled, killed: true };
    let fault = StartFault { step: StartStep::Exec, errno: 2 };
    let without_evidence = |cause| {
        let ran = Ran { evidence: None, leaked: false, output: Captured::none(), ..ran(cause) };
        AttemptEnd::Ran(Box::new(ran))
    };
    let memory = Box::new(Death {
        cause: Cause::Memory(Certainty::Likely),
        evidence: None,
        last_output: Vec::new(),
    });
    let garbage = Cause::Protocol(ProtocolFault::Garbage);
    let garbage = Death { cause: garbage, evidence: None, last_output: b"\xff".to_vec() };
    for (end, golden) in [
        (AttemptEnd::Lost, r#""cause":"lost","uncharged":true}"#),
        (
            without_evidence(Cause::AskedToStop(asked)),
            r#""cause":"cancelled","killed":true,"uncharged":true,"stdout":"","stderr":""}"#,
        ),
        (
            without_evidence(Cause::CouldNotStart(fault)),
            r#""cause":"could_not_start","fault":"execute: No such file or directory","stdout":"","stderr":""}"#,
        ),
        (AttemptEnd::Crashed(memory), r#""cause":"memory","certainty":"likely"}"#),
        (
            AttemptEnd::Requeued(Box::new(garbage)),
            r#""cause":"protocol","fault":"a frame that is no message","uncharged":true,"last_output_base64":"/w=="}"#,
        ),
    ] {
        let head = r#"{"attempt":1,"worker":2,"generation":7,"pid":4123,"began_ms":12.3,"duration_ms":1.5,"#;
        assert_eq!(of_attempt(&attempt(1, end)), format!("{head}{golden}"));
    }
}

proptest! {
    #[test]
    fn a_record_written_by_hand_is_what_serde_writes(
        (id, position, number, pid) in any::<(u64, u64, u32, i32)>(),
        (peak_bytes, again) in any::<(Option<u64>, bool)>(),
        (slot, generation) in any::<(u32, u32)>(),
        (began, took, unit) in (0u64..1 << 50, 0u64..1 << 50, 0u32..15),
        reply in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "\\PC{0,40}".prop_map(String::into_bytes),
            ".{0,40}".prop_map(String::into_bytes),
            "[ -~]{0,80}".prop_map(String::into_bytes),
        ],
    ) {
        let unit = 10u64.pow(unit);
        let nanos = |nanos: u64| Duration::from_nanos(nanos / unit * unit);
        let last = Attempt {
            number,
            worker: WorkerId { slot, generation },
            pid,
            began: nanos(began),
            took: nanos(took),
            peak_bytes,
            ..attempt(1, AttemptEnd::Ok)
        };
        let end = JobEnd::Ok(Payload::copy(&reply));
        let done = Outcome { id, position, again, ..outcome(b"", end, Some(last)) };
        let by_hand = line(&done);
        prop_assert!(!by_hand.chars().any(is_obeyed));
        prop_assert_eq!(by_hand, text(&Record::new(&done, &Limits::default())));
    }
}
