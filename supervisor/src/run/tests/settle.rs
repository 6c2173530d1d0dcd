//! Outcomes are recorded, committed and shown in this order, and stop the run when they cannot be.

use super::{
    super::{
        handle::{News, Response},
        phase::OutputState,
        record::Known,
    },
    support::{ListLog, ONE, TWO, ready},
};
use crate::{sink::Stream, sink::writer::WriteFailure, source::Batch};
use pool::{Input, event::ShutdownReason};

#[test]
fn an_outcome_is_shown_before_the_events_of_its_step() {
    let (mut run, shown) = ready(None);
    run.supply_jobs(&["a", "b"]);
    assert_eq!(run.sent(), [ONE, TWO]);
    shown.take();
    run.reply(TWO, 2);
    assert_eq!(shown.take(), ["job 2 settled", "1 settled"]);
    assert_eq!(run.edges.outlet.writer().write_queued(), b"reply");
    assert_eq!(run.views.board.jobs().ok, 1);
}

#[test]
fn an_outcome_waits_for_its_commit() {
    let log = ListLog::default();
    let (mut run, shown) = ready(Some(log.clone()));
    run.supply_jobs(&["a"]);
    assert_eq!(run.sent(), [ONE]);
    run.reply(ONE, 1);
    let records = ["job 1", "started 1 attempt 1 on w1.1", "ended 1 attempt 1, the last"];
    assert_eq!(*log.records.borrow(), records);
    assert!(!shown.take().contains(&"job 1 settled".to_owned()));
    assert_eq!(run.edges.outlet.writer().queued(), 0);
    assert_eq!(run.handle(News::Committed(Ok(2))), Response::Step(Input::Timer));
    assert!(shown.take().is_empty(), "its start is committed, and not its end");
    run.take_news(News::Committed(Ok(3)));
    assert_eq!(shown.take(), ["job 1 settled"]);
    assert_eq!(run.edges.outlet.writer().write_queued(), b"reply");
}

#[test]
fn a_job_that_must_not_be_lost_is_sent_after_its_start_is_committed() {
    let log = ListLog { starts_come_first: true, ..ListLog::default() };
    let (mut run, _) = ready(Some(log));
    run.supply_jobs(&["a"]);
    assert!(run.sent().is_empty());
    run.take_news(News::Committed(Ok(2)));
    assert_eq!(run.sent(), [ONE]);
}

#[test]
fn jobs_of_previous_runs_are_not_run_again() {
    let done = |is_written| Known::Settled { id: 7, is_written };
    let known = [("written", done(true)), ("unwritten", done(false))].into();
    let (mut run, _) = ready(Some(ListLog { known, ..ListLog::default() }));
    run.supply_jobs(&["written", "unwritten"]);
    assert!(run.sent().is_empty());
    // The one that was written needs no place in the output.
    assert_eq!(run.edges.input.sequence, 1);
    run.supply_jobs(&["new"]);
    assert_eq!((run.sent(), run.edges.input.sequence), (vec![ONE], 2));
}

#[test]
fn a_failed_log_stops_the_run_and_shows_no_unrecorded_outcome() {
    let log = ListLog::default();
    let (mut run, shown) = ready(Some(log.clone()));
    run.supply_jobs(&["a"]);
    run.reply(ONE, 1);
    shown.take();
    let stop = Input::Shutdown(ShutdownReason::JournalFailed);
    assert_eq!(run.handle(News::Committed(Err("disk full".into()))), Response::Step(stop));
    assert!(shown.take().is_empty());
    let text = String::from_utf8(run.edges.outlet.writer().write_queued()).unwrap();
    assert!(text.contains("disk full") && text.contains("1 more ended"), "{text}");
    let jobs = run.views.board.jobs();
    assert_eq!((jobs.ok, jobs.not_run), (0, 1), "what is not recorded does not count as done");
    let records = log.records.borrow().len();
    run.supply_jobs(&["b"]);
    run.step(Input::Timer);
    assert_eq!(log.records.borrow().len(), records, "a log that failed gathers nothing");
}

#[test]
fn jobs_are_held_back_while_outcomes_have_no_room() {
    let (mut run, _) = ready(None);
    run.edges.outlet.writer().deliver(Stream::Stdout, &mut vec![0; 1 << 20]);
    let hold = run.due_input();
    assert_eq!((&hold, run.edges.output), (&Some(Input::Hold(true)), OutputState::Held));
    run.step(hold.unwrap());
    assert_eq!(run.due_input(), None, "the pool knows");
    run.supply_jobs(&["a"]);
    assert!(run.sent().is_empty());
    assert_eq!(run.handle(News::Room), Response::Wait, "there is none yet");
    run.edges.outlet.writer().write_queued();
    run.take_news(News::Room);
    assert_eq!((run.edges.output, run.sent()), (OutputState::Open, vec![ONE]));
}

#[test]
fn an_output_that_fails_stops_the_run_once() {
    let (mut run, _) = ready(None);
    let stop = Response::Step(Input::Shutdown(ShutdownReason::OutputClosed));
    assert_eq!(run.handle(News::OutputFailed(WriteFailure::Closed)), stop);
    assert_eq!((run.edges.output, run.due_input()), (OutputState::Failed, None));
}

#[test]
fn a_lost_report_is_named() {
    let (mut run, _) = ready(None);
    let stop = Response::Step(Input::Shutdown(ShutdownReason::ReportFailed));
    assert_eq!(run.handle(News::OutputFailed(WriteFailure::Report(0, libc::ENOSPC))), stop);
    let text = String::from_utf8(run.edges.outlet.writer().write_queued()).unwrap();
    assert!(text.starts_with("supervisor: --joblog log cannot be written: "), "{text}");
}

#[test]
fn outcomes_that_are_lost_stop_the_run() {
    let (mut run, _) = ready(None);
    run.edges.output = OutputState::Lost(libc::EIO);
    let stop = Input::Shutdown(ShutdownReason::OutputFailed(libc::EIO));
    assert_eq!((run.due_input(), run.due_input()), (Some(stop), None));
    assert_eq!(run.edges.output, OutputState::Failed);
}

#[test]
fn the_source_ends_once() {
    let (mut run, _) = ready(None);
    assert_eq!(run.handle(News::Batch(Batch::Ended)), Response::Step(Input::SourceEnded));
    assert_eq!(run.handle(News::Batch(Batch::Notice("slow".into()))), Response::Wait);
    assert_eq!(run.edges.outlet.writer().write_queued(), b"supervisor: slow\n");
}
