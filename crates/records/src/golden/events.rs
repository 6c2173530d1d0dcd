//! The stream of events, and the records of workers in `--format jsonl`.

use pool::{
    event::{self, Again, Ended, Next, ShutdownReason, Tally},
    exit::{StartFault, StartStep, StopReason},
};

use super::*;
use crate::{
    Event, Millis, Record, RunInfo, WorkerRef,
    events::{begin, end, event, job, skipped},
};

const NOW: Duration = Duration::from_micros(12_300);

fn line(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches('\n').count(), 1);
    text.trim_end().to_owned()
}

fn ended(next: Next) -> Ended {
    let cause = Cause::Signal(Sender::Outside);
    Ended { worker: WORKER, pid: Some(5), cause, evidence: Some(evidence()), next }
}

#[test]
fn golden_events_of_a_run() {
    let run = RunInfo {
        id: "k3f9".into(),
        name: None,
        pid: 1,
        version: "0.1.0".into(),
        title: "true".into(),
        began_unix_ms: Millis::default(),
        workers: 2,
        has_jobs: false,
        total: None,
    };
    let golden = r#"{"type":"begin","schema":1,"id":"k3f9","pid":1,"version":"0.1.0","title":"true","began_unix_ms":0.0,"workers":2,"has_jobs":false}"#;
    assert_eq!(line(|out| begin(&run, out)), golden);
    let jobs = Tally {
        accepted: 8,
        ok: 1,
        failed: 2,
        crashed: 1,
        interrupted: 1,
        not_run: 1,
        queued: 1,
        in_flight: 2,
        retried: 3,
    };
    let counters = r#""accepted":8,"ok":1,"failed":2,"quarantined":1,"interrupted":1,"not_run":1,"queued":1,"in_flight":2,"retried":3}"#;
    let golden = format!(r#"{{"type":"skipped","at_ms":12.3,"skipped":500,{counters}"#);
    assert_eq!(line(|out| skipped(NOW, 500, jobs, out)), golden);
    let golden = format!(r#"{{"type":"end","at_ms":12.3,"status":"gave_up",{counters}"#);
    assert_eq!(line(|out| end(NOW, "gave_up", jobs, out)), golden);
    let stop = event::Event::ShuttingDown { reason: ShutdownReason::Signal(Signal::TERM) };
    let golden = r#"{"type":"shutting_down","at_ms":12.3,"reason":"signal","why":"SIGTERM"}"#;
    assert_eq!(line(|out| event(NOW, &stop, out)), golden);
    let mut none = Vec::new();
    event(NOW, &event::Event::Jobs(jobs), &mut none);
    assert_eq!(none, b"");
}

#[test]
fn golden_events_of_workers() {
    let stopping = |kill| event::Event::Stopping { worker: WORKER, why: StopReason::Recycle, kill };
    let progress = |permyriad, note: &str| event::Event::Progress {
        worker: WORKER,
        id: 17,
        attempt: 1,
        progress: event::Progress { permyriad, note: note.into() },
    };
    let of = |name: &str| format!(r#"{{"type":"{name}","at_ms":12.3,"worker":2,"generation":7}}"#);
    for (happened, golden) in [
        (
            event::Event::Started { worker: WORKER, pid: 5 },
            of("started").replace('}', r#","pid":5}"#),
        ),
        (event::Event::Ready { worker: WORKER }, of("ready")),
        (event::Event::Unkillable { worker: WORKER }, of("unkillable")),
        (event::Event::RollCancelled { worker: WORKER }, of("roll_cancelled")),
        (event::Event::Paused, r#"{"type":"paused","at_ms":12.3}"#.into()),
        (event::Event::Resumed, r#"{"type":"resumed","at_ms":12.3}"#.into()),
        (event::Event::StillSilent { worker: WORKER }, of("silent")),
        (
            progress(4567, "half"),
            of("progress").replace('}', r#","id":17,"attempt":1,"fraction":0.4567,"note":"half"}"#),
        ),
        (
            progress(10_000, ""),
            of("progress").replace('}', r#","id":17,"attempt":1,"fraction":1.0}"#),
        ),
        (stopping(false), of("stopping").replace('}', r#","reason":"recycled"}"#)),
        (stopping(true), of("stopping").replace('}', r#","reason":"recycled","killed":true}"#)),
    ] {
        assert_eq!(line(|out| event(NOW, &happened, out)), golden);
    }
}

#[test]
fn golden_ends_of_workers() {
    let how = r#""worker":2,"generation":7,"pid":5,"cause":"signal","sender":"outside","code":139,"signal":"SIGSEGV","core":true,"wall_ms":5.0,"cpu_ms":3.25,"left_behind":["sleep"],"peak_bytes":99,"peak_exact":true"#;
    let again = event::Event::Ended(ended(Next::Restart(Duration::from_millis(100))));
    let golden =
        format!(r#"{{"type":"ended","at_ms":12.3,{how},"next":"restart","after_ms":100.0}}"#);
    assert_eq!(line(|out| event(NOW, &again, out)), golden);
    let time = "2026-11-21T09:30:15.123Z";
    let done = Event::new(&event::Event::Ended(ended(Next::Done))).unwrap();
    let golden = format!(r#"{{"type":"ended","time":"{time}",{how},"next":"done"}}"#);
    assert_eq!(text(&Record::timed(time.into(), done)), golden);
    let golden = format!(r#"{{"type":"slot",{how},"restarts":6}}"#);
    assert_eq!(text(&Record::new(Event::slot(&ended(Next::Done)))), golden);
    let cause = Cause::CouldNotStart(StartFault { step: StartStep::Exec, errno: 2 });
    let never = Ended { pid: None, cause, evidence: None, ..ended(Next::GaveUp) };
    let golden = r#"{"type":"ended","at_ms":12.3,"worker":2,"generation":7,"cause":"could_not_start","fault":"execute: No such file or directory","next":"gave_up"}"#;
    assert_eq!(line(|out| event(NOW, &event::Event::Ended(never), out)), golden);
}

#[test]
fn golden_output() {
    let output = |line: &'static [u8], job, (continues, partial)| {
        let worker = WorkerRef::new(WORKER, Some(5));
        let line = line.into();
        text(&Record::new(Event::Output {
            worker,
            job,
            stream: "stderr",
            line,
            continues,
            partial,
        }))
    };
    let golden = r#"{"type":"output","worker":2,"generation":7,"pid":5,"job":17,"stream":"stderr","line":"a\u009b31m\"é"}"#;
    assert_eq!(output("a\u{9b}31m\"é".as_bytes(), Some(17), (false, false)), golden);
    let golden = r#"{"type":"output","worker":2,"generation":7,"pid":5,"stream":"stderr","line_base64":"/w==","continues":true,"partial":true}"#;
    assert_eq!(output(b"\xff", None, (true, true)), golden);
}

#[test]
fn golden_retries() {
    let with = |again, golden: &str| {
        let attempt = attempt(1, failed(FailureKind::Error, "no such host"));
        let retried = event::Event::Retried { id: 7, attempt, again };
        let head = r#"{"type":"retried","at_ms":12.3,"id":7,"attempt":1,"worker":2,"generation":7,"pid":4123,"began_ms":12.3,"duration_ms":1.5,"cause":"error","why":"no such host (src/main.rs:7:5)""#;
        assert_eq!(line(|out| event(NOW, &retried, out)), format!("{head},{golden}}}"));
    };
    with(Again::After(Duration::from_millis(100)), r#""retry":"delayed","after_ms":100.0"#);
    with(Again::Alone, r#""retry":"isolated""#);
    with(Again::Next, r#""retry":"requeued""#);
}

#[test]
fn golden_ends_of_jobs() {
    let done = outcome(b"x", JobEnd::Ok(Payload::copy(b"y")), Some(attempt(1, AttemptEnd::Ok)));
    let golden = r#"{"type":"job","at_ms":12.3,"id":7,"position":9,"status":"ok","attempt":1,"worker":2,"generation":7,"pid":4123,"began_ms":12.3,"duration_ms":1.5}"#;
    assert_eq!(line(|out| job(NOW, &done, out)), golden);
    // With an attempt before it, serde writes the record: the form is the same.
    let again = Outcome { earlier: vec![crash(1)], ..done };
    assert_eq!(line(|out| job(NOW, &again, out)), golden);
    let golden = r#"{"type":"job","at_ms":12.3,"id":7,"position":9,"status":"quarantined","attempt":2,"worker":2,"generation":7,"pid":4123,"began_ms":12.3,"duration_ms":1.5,"cause":"signal","sender":"itself","why":"its worker died: code 139 (SIGSEGV, core dumped)","input":"segv"}"#;
    assert_eq!(
        line(|out| job(NOW, &outcome(b"segv", JobEnd::Crashed, Some(crash(2))), out)),
        golden
    );
    let golden = r#"{"type":"job","at_ms":12.3,"id":7,"position":9,"status":"not_run"}"#;
    assert_eq!(line(|out| job(NOW, &outcome(b"x", JobEnd::NotRun, None), out)), golden);
}

#[test]
fn a_long_input_or_message_is_cut_between_characters() {
    let read = |message: &str, input: &[u8]| -> serde_json::Value {
        let last = attempt(1, failed(FailureKind::Panic, message));
        let failed = outcome(input, JobEnd::Failed, Some(last));
        serde_json::from_str(&line(|out| job(NOW, &failed, out))).unwrap()
    };
    let record = read("<script>", "é".repeat(500).as_bytes());
    assert_eq!(record["why"], "panicked: <script> (src/main.rs:7:5)");
    assert_eq!(record["input"], "é".repeat(128));
    let odd = ["x", &"é".repeat(500)].concat();
    assert_eq!(read("", odd.as_bytes())["input"].as_str().unwrap().len(), 255);
    assert_eq!(read("", b"\xff")["input_base64"], "/w==");
    let long = read(&["x", &"é".repeat(1000)].concat(), b"");
    assert_eq!(long["why"], format!("panicked: x{}…", "é".repeat(506)));
}
