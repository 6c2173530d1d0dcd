//! Signals: stop, stop again, suspend, roll, report.

use std::time::Duration;

use tokio::time::{Instant, advance};

use super::{
    super::{
        Run,
        handle::{News, Response},
        phase::Phase,
    },
    support::{ListLog, ONE, Recorder, ready, run, settings},
};
use pool::{Action, Input, RunEnd, event::ShutdownReason, rules::Restart, signal::Signal};
use process::signals::Request;

const TERM: Request = Request::Stop(Signal::TERM);

fn stopped(signal: Signal) -> RunEnd {
    RunEnd::Stopped(ShutdownReason::Signal(signal))
}

fn shutdown(signal: Signal) -> Response {
    Response::Step(Input::Shutdown(ShutdownReason::Signal(signal)))
}

fn with_clock(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    { runtime }.enable_time().start_paused(true).build().unwrap().block_on(test);
}

/// A run whose workers have ended.
fn closing() -> Run<Recorder> {
    let (mut run, _) = ready(None);
    run.begin_closing(RunEnd::Well);
    run
}

#[test]
fn a_signal_stops_the_workers() {
    let (mut run, _) = ready(None);
    assert_eq!(run.handle(News::Request(TERM)), shutdown(Signal::TERM));
    run.take_news(News::Request(TERM));
    let performed = std::mem::take(&mut run.executor.performed);
    assert!(performed.contains(&Action::Dismiss(ONE)) || performed.contains(&Action::Ask(ONE)));
}

#[test]
fn a_first_signal_gives_the_rest_of_the_output_the_grace_period() {
    with_clock(async {
        let mut run = closing();
        assert_eq!(run.phase, Phase::Writing { end: RunEnd::Well, deadline: None });
        assert_eq!(run.handle(News::Request(TERM)), Response::Wait);
        let deadline = Some(Instant::now() + Duration::from_secs(5));
        assert_eq!(run.phase, Phase::Writing { end: stopped(Signal::TERM), deadline });
        // The timer may fire too early.
        assert_eq!(run.handle(News::Deadline), Response::Wait);
        advance(Duration::from_secs(5)).await;
        assert_eq!(run.handle(News::Deadline), Response::Leave);
    });
}

#[test]
fn a_second_signal_waits_for_no_output() {
    with_clock(async {
        let mut run = closing();
        for response in [Response::Wait, Response::Wait] {
            assert_eq!(run.handle(News::Request(TERM)), response, "both are one request");
        }
        advance(Duration::from_secs(2)).await;
        assert_eq!(run.handle(News::Request(TERM)), Response::Leave);
    });
}

#[test]
fn a_run_that_was_stopped_has_the_grace_period_for_its_output() {
    with_clock(async {
        let (mut run, shown) = ready(None);
        run.take_news(News::Request(TERM));
        advance(Duration::from_secs(2)).await;
        shown.take();
        run.begin_closing(stopped(Signal::TERM));
        assert_eq!(shown.take(), ["closing"]);
        assert!(run.phase.deadline().is_some());
        assert_eq!(run.handle(News::Request(TERM)), Response::Leave, "asked before and again");
    });
}

#[test]
fn while_the_journal_closes_a_first_signal_changes_nothing() {
    with_clock(async {
        let mut run = closing();
        run.phase = Phase::Committing { end: RunEnd::Failed };
        assert_eq!(run.handle(News::Request(TERM)), Response::Wait);
        assert_eq!(run.phase, Phase::Committing { end: RunEnd::Failed });
        advance(Duration::from_secs(2)).await;
        assert_eq!(run.handle(News::Request(TERM)), Response::Leave);
    });
}

#[test]
fn a_failed_journal_is_how_a_closing_run_ends() {
    let mut run = ready(Some(ListLog::default())).0;
    run.begin_closing(RunEnd::Well);
    assert_eq!(run.handle(News::Committed(Err("disk full".into()))), Response::Wait);
    assert_eq!(run.phase.end(), Some(RunEnd::Stopped(ShutdownReason::JournalFailed)));
}

#[test]
fn suspended_time_does_not_count() {
    with_clock(async {
        let (mut run, _) = ready(None);
        assert_eq!(run.handle(News::Request(Request::Suspend)), Response::Suspend);
        let before = run.clock.now();
        advance(Duration::from_secs(60)).await;
        run.clock.skip(Duration::from_secs(60));
        assert_eq!(run.clock.now(), before);
    });
}

#[test]
fn a_dead_warden_ends_everything() {
    for mut run in [ready(None).0, closing()] {
        assert_eq!(run.handle(News::Request(Request::Abandoned)), Response::Abandon);
    }
}

#[test]
fn hup_rolls_services_and_stops_everything_else() {
    let (mut service, shown) = run(settings(Restart::Always, false), None);
    service.step(Input::Timer);
    shown.take();
    assert_eq!(service.handle(News::Request(Request::HangUp)), Response::Step(Input::Roll));
    assert_eq!(shown.take(), ["roll requested"]);
    let (mut jobs, _) = ready(None);
    assert_eq!(jobs.handle(News::Request(Request::HangUp)), shutdown(Signal::HUP));
}

#[test]
fn usr1_prints_what_runs() {
    let (mut run, _) = ready(None);
    assert_eq!(run.handle(News::Request(Request::Report)), Response::Wait);
    let text = String::from_utf8(run.edges.outlet.writer().write_queued()).unwrap();
    assert!(text.contains("w1.1 ") && text.contains("jobs: 0 done"), "{text}");
}
