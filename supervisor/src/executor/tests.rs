//! Tests of the executor with real processes and without a pool.

use std::{ffi::OsString, fmt::Write as _, time::Duration};

use nix::sys::signal::SigSet;
use pool::{
    Abilities, Answer, Order, Reply, Unsendable,
    exit::{StartStep, Status},
    job::Payload,
    limits::Limits,
    rules::{Restart, Roll},
};
use process::{
    KillScope, Program,
    spawn::exec_helper::{self, VERB},
};
use protocol::{
    frame,
    wire::{Codec, SupervisorHello, ToSupervisor, VERSION, WorkerHello},
};
use tokio::{runtime::LocalOptions, time::timeout};

use super::{connection::Line, *};
use crate::{
    settings::{Output, Wire, Workers},
    sink::writer::Writer,
};

const WORKER: WorkerId = WorkerId { slot: 1, generation: 1 };
const FRAME_BYTES_MAX: usize = 2000;

/// Turns the test program into the exec helper. The executor starts a worker by executing its own
/// program with the helper's verb as the only argument. The test harness takes the verb for a
/// filter and runs this test, which has the same name. In an ordinary run it does nothing.
#[test]
fn __exec() {
    exec_helper::run_if_called(None);
    assert_eq!(VERB, "__exec", "the name of this test");
}

fn settings(argv: &[&str]) -> Settings {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Settings {
        program: Program {
            argv: argv.iter().map(OsString::from).collect(),
            env: vec![("PATH".into(), path)],
            directory: None,
            limits: Limits::default(),
        },
        workers: Workers::ONE,
        restart: Restart::Never,
        intensity: pool::rules::Intensity::default(),
        roll: Roll::StartFirst,
        grace: Duration::from_secs(5),
        stop_signal: Signal::TERM,
        kill_scope: KillScope::Group,
        output: Output::None,
        jobs: None,
        reports: Vec::new(),
        serve: None,
        name: None,
        notify: None,
    }
}

fn outlet(settings: &Settings) -> Outlet {
    Outlet::new(settings, Writer::open(Vec::new(), false).unwrap(), None)
}

/// An executor of workers that run `argv`. They take jobs if `takes_jobs`.
fn executor(argv: &[&str], takes_jobs: bool) -> Executor {
    let settings = settings(argv);
    let open_files = OpenFiles::raise().unwrap();
    let (outlet, child_news) = (outlet(&settings), SignalFd::new(&SigSet::empty()).unwrap());
    let random = Random::new(1);
    let mut executor =
        Executor::with_random(&settings, open_files, Rc::new(outlet), child_news, random).unwrap();
    executor.starter.line = takes_jobs.then(|| Line {
        wire: Wire::Frames,
        frame_bytes_max: FRAME_BYTES_MAX,
        is_launcher: false,
        buffer: connection::read_buffer(),
    });
    executor
}

/// The next news of the only worker.
async fn next(executor: &mut Executor) -> News {
    let next = timeout(Duration::from_secs(30), executor.next());
    match next.await.expect("an input") {
        Input::Worker { worker: WORKER, news } => news,
        other => panic!("{other:?}"),
    }
}

/// Starts the worker and returns its pid.
async fn start(executor: &mut Executor) -> i32 {
    executor.perform(&Action::Spawn(WORKER));
    match next(executor).await {
        News::Executed { pid } => pid,
        other => panic!("{other:?}"),
    }
}

/// Waits for the end of the worker, over news of closed pipes.
async fn end(executor: &mut Executor) -> (Option<i32>, ProcessEnd) {
    loop {
        match next(executor).await {
            News::Ended { pid, end, .. } => return (pid, end),
            News::Closed(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn status(end: &ProcessEnd) -> Status {
    end.evidence().unwrap_or_else(|| panic!("{end:?}")).status
}

fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(test);
}

#[test]
fn a_worker_is_started_watched_and_reaped() {
    run(async {
        let mut executor =
            executor(&["/bin/sh", "-c", "echo hello $SUPERVISOR_WORKER; exit 3"], false);
        let pid = start(&mut executor).await;
        assert_eq!(executor.pid(WORKER), Some(pid));
        let (ended, end) = end(&mut executor).await;
        assert_eq!((ended, status(&end)), (Some(pid), Status::Code(3)));
        assert_eq!(executor.pid(WORKER), None);
        let (pieces, _) = executor.outlet.recent();
        let output: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes.to_vec()).collect();
        // The test harness writes a line before it becomes the worker.
        assert!(output.ends_with(b"\nhello 1\n"), "{output:?}");
        // A worker that is gone is left alone.
        executor.perform(&Action::Kill(WORKER));
        executor.perform(&Action::Dismiss(WORKER));
        assert!(executor.try_next().is_none());
    });
}

#[test]
fn a_worker_is_stopped_with_the_stop_signal_and_killed_with_sigkill() {
    for (action, signal) in
        [(Action::Ask(WORKER), Signal::TERM), (Action::Kill(WORKER), Signal::KILL)]
    {
        run(async {
            let mut executor = executor(&["/bin/cat", "/dev/zero"], false);
            start(&mut executor).await;
            executor.perform(&action);
            let (_, end) = end(&mut executor).await;
            assert_eq!(status(&end), Status::Signal { signal, core: false });
        });
    }
}

#[test]
fn a_program_that_does_not_exist_never_started() {
    run(async {
        let mut executor = executor(&["/no/such/program"], true);
        executor.perform(&Action::Spawn(WORKER));
        let (pid, end) = end(&mut executor).await;
        let ProcessEnd::NeverStarted(fault) = end else { panic!("{end:?}") };
        assert!(pid.is_some());
        assert_eq!((fault.step, fault.errno), (StartStep::Exec, libc::ENOENT));
    });
}

#[test]
fn a_withdrawn_start_makes_no_process() {
    run(async {
        let mut executor = executor(&["/bin/cat"], false);
        executor.perform(&Action::Spawn(WORKER));
        executor.perform(&Action::Withdraw(WORKER));
        assert_eq!(end(&mut executor).await, (None, ProcessEnd::Withdrawn));
        // A start that has begun is not withdrawn.
        start(&mut executor).await;
        executor.perform(&Action::Withdraw(WORKER));
        executor.perform(&Action::Kill(WORKER));
        let (pid, end) = end(&mut executor).await;
        assert!(pid.is_some() && end.evidence().is_some());
    });
}

/// A shell command that writes these bytes to the reply pipe.
fn write_reply(bytes: &[u8]) -> String {
    let mut command = String::from("printf '");
    bytes.iter().for_each(|byte| write!(command, "\\{byte:03o}").unwrap());
    command + "' >&4"
}

fn frame_of(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::append(&mut bytes, FRAME_BYTES_MAX, write).unwrap();
    bytes
}

#[test]
fn jobs_are_sent_and_answered_or_reported_as_unsendable() {
    run(async {
        let codec = Codec::Json;
        let hello = WorkerHello { version: VERSION, codec, pid: 1, capabilities: Vec::new() };
        let payload = b"one"[..].into();
        let job = ToWorker::Job { id: 71, attempt: 2, payload };
        let (id, result) = (71, Ok(b"done"[..].into()));
        let reply = ToSupervisor::Reply { id, attempt: 2, service_ns: 7, result };
        let supervisor_hello = SupervisorHello {
            version: VERSION,
            codecs: vec!["bincode".into(), "json".into()],
            max_frame: FRAME_BYTES_MAX as u64,
            worker: WORKER.to_string(),
        };
        let expected = supervisor_hello.to_frame().len()
            + frame_of(|body| codec.write_to_worker(&job, body)).len();
        let script = format!(
            "{}; head -c {expected} <&3 >/dev/null; {}; cat <&3 >/dev/null; exit 7",
            write_reply(&hello.to_frame()),
            write_reply(&frame_of(|body| codec.write_to_supervisor(&reply, body))),
        );
        let mut executor = executor(&["/bin/sh", "-c", &script], true);
        start(&mut executor).await;
        assert_eq!(next(&mut executor).await, News::Hello(Abilities::default()));

        let order = |id, attempt, bytes: &[u8]| {
            let payload = Payload::copy(bytes);
            Order { id, attempt, payload }
        };
        let orders = vec![order(70, 1, &[b'x'; FRAME_BYTES_MAX]), order(71, 2, b"one")];
        executor.perform(&Action::Send { worker: WORKER, resume: false, orders });
        let unsendable = next(&mut executor).await;
        let News::Unsendable { id: 70, why } = unsendable else { panic!("{unsendable:?}") };
        let Unsendable::TooLong { bytes, bytes_max } = why else { panic!("{why:?}") };
        assert!(bytes > bytes_max && bytes_max == FRAME_BYTES_MAX as u64);
        assert_eq!(executor.current_jobs().collect::<Vec<_>>(), [(WORKER, 71)]);

        let answered = next(&mut executor).await;
        let News::Replies { replies, .. } = answered else { panic!("{answered:?}") };
        let answer = Answer::Done(Payload::copy(b"done"));
        assert_eq!(replies, [Reply { id: 71, attempt: 2, service_ns: 7, answer }]);
        assert_eq!(executor.current_jobs().count(), 0);

        executor.perform(&Action::Dismiss(WORKER));
        let (_, end) = end(&mut executor).await;
        assert_eq!(status(&end), Status::Code(7));
    });
}

#[test]
fn a_worker_that_dies_with_a_job_reports_what_it_had_read() {
    run(async {
        let codec = Codec::Json;
        let hello = WorkerHello { version: VERSION, codec, pid: 1, capabilities: Vec::new() };
        let script = format!("{}; exec sleep 1000", write_reply(&hello.to_frame()));
        let mut executor = executor(&["/bin/sh", "-c", &script], true);
        start(&mut executor).await;
        assert!(matches!(next(&mut executor).await, News::Hello(_)));
        let payload = Payload::copy(b"one");
        let orders = vec![Order { id: 71, attempt: 1, payload }];
        executor.perform(&Action::Send { worker: WORKER, resume: false, orders });
        executor.perform(&Action::Kill(WORKER));
        let left = loop {
            match next(&mut executor).await {
                News::Ended { remains, .. } => break remains,
                News::Closed(_) => {}
                other => panic!("{other:?}"),
            }
        };
        // Not even the hello of the supervisor was read.
        assert_eq!((left.started, left.spoke, left.broken), (Some(0), false, None));
        assert!(left.replies.is_empty());
    });
}
