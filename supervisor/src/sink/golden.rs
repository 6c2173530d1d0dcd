//! Golden files of every record, one JSON text per line, serialised from fixed values. The tests of
//! the built program have golden files of what real processes produce.

use std::{fmt::Write, sync::Arc, time::Duration};

use super::{
    Origin, Stream, events,
    lines::Line,
    record::{Record, Who, push},
    reports::Export,
};
use crate::about::About;
use pool::{
    command::{Captured, Gap, Ran},
    event::{Again, Ended, Ending, Event, Mute, Next, ShutdownReason, Tally, WorkerId},
    exit::{
        Asked, Cause, Certainty, Evidence, Peak, Pipe, ProtocolFault, Sender, StartFault,
        StartStep, Status, StopReason,
    },
    hang::{Hang, Seen},
    job::{Attempt, AttemptEnd, Death, Failure, FailureKind, JobEnd, Outcome, Payload},
    limits::Limits,
    signal::Signal,
};

const WORKER: WorkerId = WorkerId { slot: 2, life: 7 };
const NOW: Duration = Duration::from_micros(12_300);

/// Compares a text with its golden file, wherever this module lies.
fn check(name: &str, text: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn evidence(status: Status) -> Evidence {
    Evidence {
        status,
        wall: Duration::from_micros(5_125),
        cpu: Duration::from_micros(3_250),
        own_cpu: Duration::ZERO,
        peak: Peak { bytes: 99, exact: true },
        says_out_of_memory: false,
        kernel_oom: false,
        left: vec!["sleep".into()],
    }
}

/// One of each kind.
fn causes() -> Vec<Cause> {
    let asked = [
        StopReason::Shutdown,
        StopReason::Roll,
        StopReason::Recycle,
        StopReason::SecondOpinion,
        StopReason::Cancelled,
        StopReason::Scale,
        StopReason::Finished,
        StopReason::Timeout,
        StopReason::Memory,
        StopReason::Protocol(ProtocolFault::Garbage),
    ];
    let asked = asked.map(|why| Cause::AskedToStop(Asked { why, killed: false }));
    let faults = [
        ProtocolFault::Silence,
        ProtocolFault::Hello,
        ProtocolFault::Version(9),
        ProtocolFault::FrameTooLong(1 << 30),
        ProtocolFault::Closed(Pipe::Jobs),
        ProtocolFault::Closed(Pipe::Replies),
        ProtocolFault::Garbage,
        ProtocolFault::WrongReply { id: 9 },
        ProtocolFault::SecondReply { id: 9 },
        ProtocolFault::Recorder,
    ];
    let start = StartFault { step: StartStep::Exec, errno: libc::ENOENT };
    let mut causes = vec![
        Cause::Exit,
        Cause::Signal(Sender::Itself),
        Cause::Signal(Sender::Outside),
        Cause::Memory(Certainty::Sure),
        Cause::Memory(Certainty::Likely),
        Cause::CpuLimit,
        Cause::CouldNotStart(start),
        Cause::Timeout,
        Cause::AskedToStop(Asked { why: StopReason::Shutdown, killed: true }),
    ];
    causes.extend(asked);
    causes.extend(faults.map(Cause::Protocol));
    causes
}

fn ends() -> Vec<Ended> {
    let killed = Status::Signal { signal: Signal::KILL, core: true };
    let end = |cause, next| {
        let evidence =
            (!matches!(cause, Cause::CouldNotStart(_))).then(|| evidence(Status::Code(3)));
        Ended { worker: WORKER, pid: Some(5), cause, evidence, next }
    };
    let mut ends: Vec<_> = causes().into_iter().map(|cause| end(cause, Next::Done)).collect();
    let nexts = [
        Next::Again(Duration::from_millis(1500)),
        Next::Replaced,
        Next::NotNeeded,
        Next::Done,
        Next::GaveUp,
    ];
    ends.extend(nexts.map(|next| end(Cause::Exit, next)));
    let evidence = Some(evidence(killed));
    ends.push(Ended { evidence, ..end(Cause::Signal(Sender::Outside), Next::Done) });
    ends.push(Ended { pid: None, evidence: None, ..end(Cause::Timeout, Next::Done) });
    ends
}

fn attempt(number: u32, end: AttemptEnd) -> Attempt {
    let (began, took) = (NOW, Duration::from_nanos(1_500_290));
    Attempt { number, worker: WORKER, pid: 4123, began, took, peak_bytes: None, hang: None, end }
}

fn death(cause: Cause, last_output: &[u8]) -> Box<Death> {
    let evidence = Some(evidence(Status::Signal { signal: Signal::SEGV, core: true }));
    Box::new(Death { cause, evidence, last_output: last_output.to_vec() })
}

fn failure(kind: FailureKind, place: Option<&str>) -> AttemptEnd {
    let (message, place) = ("no such host".into(), place.map(String::from));
    AttemptEnd::Error(Box::new(Failure { kind, message, place }))
}

fn ran(status: Status, cause: Cause, gap: Gap) -> AttemptEnd {
    let output = Captured::new(Payload::copy(b"out\nerr\xff"), [0..4, 4..8], [gap, Gap::default()]);
    let (evidence, leaked) = (Some(evidence(status)), gap.bytes > 0);
    AttemptEnd::Ran(Box::new(Ran { pid: 5, cause, evidence, asked: None, output, leaked }))
}

fn hang() -> Hang {
    let seen = |pid, state, wchan: Option<&str>, stack: &[&str]| Seen {
        pid,
        name: "sleep".into(),
        state,
        wchan: wchan.map(String::from),
        stack: stack.iter().copied().map(String::from).collect(),
    };
    let processes =
        vec![seen(5, 'S', Some("do_wait"), &["do_wait", "kernel_wait4"]), seen(6, 'R', None, &[])];
    let window = Duration::from_millis(500);
    Hang { window, cpu: Duration::from_millis(400), unserved: Duration::from_micros(20), processes }
}

/// Attempts that end in every way.
fn attempts() -> Vec<Attempt> {
    let mut all: Vec<Attempt> = vec![
        attempt(1, AttemptEnd::Ok),
        attempt(2, failure(FailureKind::Error, None)),
        attempt(3, failure(FailureKind::Panic, Some("a.rs:1"))),
        attempt(4, AttemptEnd::Timeout(death(Cause::Timeout, b"last words"))),
        attempt(5, AttemptEnd::Crashed(death(Cause::Memory(Certainty::Likely), b"\xff"))),
        attempt(6, AttemptEnd::Returned(death(Cause::Signal(Sender::Outside), b""))),
        attempt(7, AttemptEnd::Lost),
        attempt(8, ran(Status::Code(0), Cause::Exit, Gap::default())),
        attempt(9, ran(Status::Code(3), Cause::Exit, Gap { at: 4, bytes: 100 })),
    ];
    all[3].hang = Some(Box::new(hang()));
    all[1].peak_bytes = Some(98);
    all
}

fn outcome(id: u64, end: JobEnd, last: Option<Attempt>, earlier: Vec<Attempt>) -> Outcome {
    let payload = Payload::copy(b"input");
    Outcome { id, place: id, position: id + 1, payload, end, last, earlier, again: false }
}

/// Jobs that end in every way.
fn outcomes() -> Vec<Outcome> {
    let ok = || JobEnd::Ok(Payload::copy(b"a \"reply\""));
    let last = |number: usize| attempts().into_iter().nth(number - 1);
    let mut all = vec![
        outcome(1, ok(), last(1), Vec::new()),
        outcome(2, ok(), last(1), attempts().split_off(6)),
        outcome(3, JobEnd::Failed, last(3), attempts()),
        outcome(4, JobEnd::Failed, last(4), Vec::new()),
        outcome(5, JobEnd::Crashed, last(5), Vec::new()),
        outcome(6, ok(), last(8), Vec::new()),
        outcome(7, JobEnd::Failed, last(9), Vec::new()),
        outcome(8, JobEnd::NotRun, None, Vec::new()),
        outcome(9, JobEnd::TooLong { bytes: 9, cap: 8 }, None, Vec::new()),
    ];
    all[0].again = true;
    all[1].again = true;
    all[3].payload = Payload::copy(b"\xfe");
    all[8].payload = Payload::copy(b"");
    all
}

#[test]
fn records_of_workers_are_golden() {
    let time = || String::from("<time>");
    let mut text = String::new();
    let mut add = |record: &Record<'_>| text += &written(|out| push(out, record));
    add(&Record::Started { time: time(), who: Who::new(WORKER, Some(5)) });
    add(&Record::Undead { time: time(), who: Who::new(WORKER, None) });
    let ends = ends();
    ends.iter().for_each(|ended| add(&Record::ended(time(), ended)));
    ends.iter().take(1).for_each(|ended| add(&Record::task(ended)));
    for (stream, job, text, continues, ended) in [
        (Stream::Stdout, None, &b"text \x1b"[..], false, true),
        (Stream::Stderr, Some(9), b"\xff", true, false),
    ] {
        let origin = Origin { worker: WORKER, pid: 5, stream, job };
        add(&Record::output(origin, Line { text, continues, ended }));
    }
    check("records-of-workers", &text);
}

#[test]
fn records_of_jobs_are_golden() {
    let limits: Limits = "data=512M,cpu=30s".parse().unwrap_or_default();
    let mut export = Export::jsonl(limits);
    let text = outcomes()
        .iter()
        .fold(String::new(), |text, outcome| text + &written(|out| export.outcome(outcome, out)));
    check("records-of-jobs", &text);
    let mut export = Export::joblog(Duration::from_secs(1_800_000_000));
    let head = written(|out| export.begin(out));
    let text = outcomes()
        .iter()
        .fold(head, |text, outcome| text + &written(|out| export.outcome(outcome, out)));
    check("joblog", &text);
}

#[test]
fn events_are_golden() {
    let worker = WORKER;
    let mut all = vec![
        Event::Started { worker, pid: 5 },
        Event::Ready { worker },
        Event::Undead { worker },
        Event::RollCalledOff { worker },
        Event::StillSilent { worker },
        Event::Jobs(Tally::default()),
    ];
    all.extend(causes().into_iter().filter_map(|cause| match cause {
        Cause::AskedToStop(Asked { why, killed: kill }) => {
            Some(Event::Stopping { worker, why, kill })
        }
        _ => None,
    }));
    all.extend(ends().into_iter().map(Event::Ended));
    all.extend(
        attempts()
            .into_iter()
            .zip([Again::Alone, Again::Next].into_iter().cycle())
            .map(|(attempt, again)| Event::TriedAgain { id: 9, attempt, again }),
    );
    let again = Again::After(Duration::from_millis(250));
    all.push(Event::TriedAgain { id: 9, attempt: attempt(1, AttemptEnd::Lost), again });
    all.extend(reasons().into_iter().map(|reason| Event::ShuttingDown { reason }));
    let mut text = written(|out| events::begin(&about(), out));
    for event in &all {
        text += &written(|out| events::event(NOW, event, out));
    }
    for outcome in outcomes() {
        text += &written(|out| events::job(NOW, &outcome, out));
    }
    let jobs = Tally { accepted: 3, ok: 1, failed: 1, in_flight: 1, ..Tally::default() };
    text += &written(|out| events::skipped(NOW, 500, jobs, out));
    text += &written(|out| events::end(NOW, "failed", jobs, out));
    check("events", &text);
}

fn about() -> Arc<About> {
    Arc::new(About {
        id: "x7k2".into(),
        name: Some("name".into()),
        pid: 5,
        version: "0.1.0".into(),
        title: "./program".into(),
        began_unix_ms: 1_800_000_000_000,
        workers: 4,
        has_jobs: true,
        total: Some(3),
    })
}

fn reasons() -> Vec<ShutdownReason> {
    let start = StartFault { step: StartStep::Spawn, errno: libc::EAGAIN };
    vec![
        ShutdownReason::Signal(Signal::TERM),
        ShutdownReason::OutputClosed,
        ShutdownReason::OutputFailed(libc::ENOSPC),
        ShutdownReason::ReportFailed,
        ShutdownReason::CannotStart(start),
        ShutdownReason::NotAWorker(Mute::Ended(Status::Code(3))),
        ShutdownReason::NotAWorker(Mute::Fault(ProtocolFault::Hello)),
        ShutdownReason::Deadline,
        ShutdownReason::Halted { now: false },
        ShutdownReason::Halted { now: true },
        ShutdownReason::JournalFailed,
        ShutdownReason::SourceFailed,
        ShutdownReason::Asked(Ending::Drain),
        ShutdownReason::Asked(Ending::Stop),
        ShutdownReason::Asked(Ending::Now),
    ]
}

#[test]
fn words_for_people_are_golden() {
    let mut text = String::new();
    for ended in ends() {
        let words = crate::words::describe(ended.cause, ended.evidence.as_ref());
        let _ = writeln!(text, "{}: {words}", ended.cause);
    }
    for attempt in attempts() {
        let cause = crate::words::cause(&attempt.end);
        let _ = writeln!(text, "{cause}: {}", crate::words::failure(&attempt).escape_debug());
    }
    for reason in reasons() {
        let _ = writeln!(text, "{}", crate::words::shutdown(reason));
    }
    check("words", &text);
}
