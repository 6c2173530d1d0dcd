//! Commands of users: what they do, and why they are refused.

use super::support::{ONE, TWO, ready, ready_under, run, settings};
use crate::{
    model::{ControlCommand, Done, Refusal, WorkerName},
    observers::Message,
};
use pool::{
    Answer, Input, News as WorkerNews, Reply,
    event::{Ending, ShutdownReason},
    job::{Failure, FailureKind},
    rules::Restart,
};

fn name(text: &str) -> WorkerName {
    text.parse().unwrap()
}

fn asked(ending: Ending) -> Option<Input> {
    Some(Input::Shutdown(ShutdownReason::ByUser(ending)))
}

#[test]
fn a_run_drains_and_stops() {
    let (mut run, _) = ready(None);
    let drained = Ok((Done::Draining, asked(Ending::Drain)));
    assert_eq!(run.command(&ControlCommand::Drain), drained);
    assert!(!run.stops.is_requested(), "what runs has as long as it takes");
    for (now, ending) in [(false, Ending::Stop), (true, Ending::Now)] {
        let stopped = Ok((Done::Stopping { now }, asked(ending)));
        assert_eq!(run.command(&ControlCommand::Stop { now }), stopped);
    }
    assert!(run.stops.is_requested());
}

#[test]
fn workers_are_killed_by_name() {
    let (mut run, _) = ready(None);
    let (worker, live) = (name("w9"), vec![name("w1.1"), name("w2.1")]);
    assert_eq!(
        run.command(&ControlCommand::Kill { worker }),
        Err(Refusal::NoSuchWorker { worker, live })
    );
    assert!(run.executor.performed.is_empty());
    let killed = Ok((
        Done::Killed { workers: vec![name("w2.1")] },
        Some(Input::Kill { workers: vec![TWO] }),
    ));
    assert_eq!(run.command(&ControlCommand::Kill { worker: name("w2") }), killed);
    assert!(run.executor.performed.is_empty(), "the pool decides what to do about it");
}

#[test]
fn workers_are_replaced_one_by_one_and_only_where_workers_are_replaced_at_all() {
    let (mut run, _) = ready_under(Restart::Always, None);
    let restarted = Ok((
        Done::Restarting { workers: vec![name("w2.1")] },
        Some(Input::Restart { workers: vec![TWO] }),
    ));
    assert_eq!(run.command(&ControlCommand::Restart { worker: name("w2") }), restarted);
    assert_eq!(run.command(&ControlCommand::Roll), Ok((Done::Rolling, Some(Input::Roll))));
    let (mut once, _) = self::run(settings(Restart::Never, false), None);
    once.step(Input::Timer);
    for command in [ControlCommand::Roll, ControlCommand::Restart { worker: name("w1") }] {
        assert_eq!(once.command(&command), Err(Refusal::CannotReplace));
    }
}

#[test]
fn a_signal_reaches_the_workers_that_are_named_or_all() {
    let (mut run, _) = ready(None);
    let signal = |signal: &str, workers: &[&str]| ControlCommand::Signal {
        signal: signal.into(),
        workers: workers.iter().map(|worker| name(worker)).collect(),
    };
    let sent = Done::Signalled { signal: "SIGHUP".into(), workers: vec![name("w1.1")] };
    assert_eq!(run.command(&signal("HUP", &["w1"])), Ok((sent.clone(), None)));
    assert_eq!(run.command(&signal("1", &[])), Ok((sent, None)), "those that it can reach");
    let refused = run.command(&signal("SIGUSR1", &["w2"])).unwrap_err();
    assert_eq!(refused.to_string(), "SIGUSR1 cannot be sent to w2.1: it runs no command");
    assert!(matches!(run.command(&signal("HUP", &["w9"])), Err(Refusal::NoSuchWorker { .. })));
    assert!(matches!(run.command(&signal("UP", &[])), Err(Refusal::NoSuchSignal { .. })));
    let killed = run.command(&signal("KILL", &["w2"])).unwrap();
    assert_eq!(killed.1, Some(Input::Kill { workers: vec![TWO] }));
}

#[test]
fn a_run_is_paused_and_resumed_if_it_has_jobs() {
    let (mut run, _) = ready(None);
    run.supply_jobs(&["a", "b", "c"]);
    let (done, input) = run.command(&ControlCommand::Pause).unwrap();
    assert_eq!(done, Done::Paused { running: 0 });
    run.step(input.unwrap());
    assert!(run.views.board.is_paused());
    run.reply(ONE, 1);
    assert_eq!(run.views.board.jobs().queued, 1, "the third job is not sent");
    let (done, input) = run.command(&ControlCommand::Resume).unwrap();
    assert_eq!(done, Done::Resumed);
    run.step(input.unwrap());
    assert_eq!((run.views.board.is_paused(), run.views.board.jobs().queued), (false, 0));
    let (mut service, _) = self::run(settings(Restart::Always, false), None);
    service.step(Input::Timer);
    assert_eq!(service.command(&ControlCommand::Pause), Err(Refusal::CannotPause));
}

#[test]
fn a_job_is_cancelled_wherever_it_is() {
    let (mut run, _) = ready(None);
    run.supply_jobs(&["a", "b", "c"]);
    for (job, worker) in [(1, Some(name("w1.1"))), (3, None)] {
        let cancelled =
            Ok((Done::Cancelled { job, worker }, Some(Input::Cancel { id: job, now: false })));
        assert_eq!(run.command(&ControlCommand::Cancel { job, now: false }), cancelled);
    }
    let unknown = Refusal::NoSuchJob { job: 9, accepted: 3 };
    assert_eq!(run.command(&ControlCommand::Cancel { job: 9, now: true }), Err(unknown));
    run.reply(ONE, 1);
    let ended = Refusal::JobEnded { job: 1 };
    assert_eq!(run.command(&ControlCommand::Cancel { job: 1, now: true }), Err(ended));
}

#[test]
fn a_failed_job_is_run_again_under_its_number() {
    let (mut run, _) = ready(None);
    run.supply_jobs(&["a", "b"]);
    assert_eq!(
        run.command(&ControlCommand::Retry { job: 2 }),
        Err(Refusal::JobNotEnded { job: 2 })
    );
    let failure = Failure { kind: FailureKind::Error, message: "no".into(), place: None };
    let answer = Answer::Failed(Box::new(failure));
    let replies = vec![Reply { id: 1, attempt: 1, service_ns: 1, answer }];
    run.worker_news(ONE, WorkerNews::Replies { replies, memory: None, printed: false });
    let (done, input) = run.command(&ControlCommand::Retry { job: 1 }).unwrap();
    assert_eq!(done, Done::Retried { job: 1 });
    let Some(Input::Jobs(jobs)) = &input else { panic!("{input:?}") };
    assert_eq!((jobs[0].id, jobs[0].place), (1, 3));
    run.step(Input::Shutdown(ShutdownReason::ByUser(Ending::Drain)));
    assert_eq!(run.command(&ControlCommand::Retry { job: 1 }), Err(Refusal::Stopping));
}

#[test]
fn the_number_of_workers_is_changed_within_limits() {
    let (mut run, _) = ready(None);
    let scaled = Ok((Done::Scaled { before: 2, workers: 3 }, Some(Input::Scale(3))));
    assert_eq!(run.command(&ControlCommand::ScaleBy { workers: 1 }), scaled);
    assert_eq!(run.views.board.slots().len(), 3);
    let refused = run.command(&ControlCommand::Scale { workers: 9_999_999 });
    assert!(matches!(refused, Err(Refusal::InvalidWorkerCount { workers: 9_999_999, .. })));
}

#[test]
fn a_service_has_no_jobs() {
    let (mut service, _) = run(settings(Restart::Always, false), None);
    service.step(Input::Timer);
    assert_eq!(service.command(&ControlCommand::Retry { job: 1 }), Err(Refusal::NoJobs));
}

#[test]
fn an_observer_receives_the_answer_and_the_pool_the_input() {
    let (mut run, _) = ready(None);
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    let input = run.answer(Message::Command(ControlCommand::Drain, reply));
    assert_eq!((input, answer.try_recv().unwrap()), (asked(Ending::Drain), Ok(Done::Draining)));
}
