//! Plants one violation at a time in books that agree, and checks that it is found.

use super::*;
use crate::books::{Journal, Reported, Rules, Witnessed};

fn line(is_end: bool, job: u64, pid: i32, supervisor: i32) -> Witnessed {
    Witnessed { job, is_end, attempt: 1, pid, supervisor }
}

fn attempt(job: u64, run: usize, pid: i32, cause: &str, settles: &str) -> Attempt {
    let settles = Some(settles).filter(|settles| !settles.is_empty()).map(str::to_owned);
    Attempt { job, run, number: 1, pid, cause: Some(cause.into()), settles }
}

fn reported(job: u64, status: &str, again: bool) -> Reported {
    Reported { job, status: status.into(), again }
}

/// Books without a violation. Job 1 succeeds after it was lost with its supervisor; job 2 crashes
/// twice; job 3 succeeds after its worker was killed; job 4 fails twice, and its record is repeated.
/// The supervisors are 500 and 600, the workers 51 and up.
fn agreeing() -> Books {
    let planted = [Planted::Fine, Planted::Segv, Planted::Slow, Planted::Fails];
    let witnessed = [
        [51, 61].map(|pid| line(false, 1, pid, pid / 10 * 100)).to_vec(),
        vec![line(true, 1, 61, 600), line(false, 2, 62, 600), line(false, 2, 63, 600)],
        vec![line(false, 3, 64, 600), line(false, 3, 65, 600), line(true, 3, 65, 600)],
        [false, true, false, true].map(|is_end| line(is_end, 4, 52, 500)).to_vec(),
    ];
    Books {
        rules: Rules { retries: 1, crash_retries: 1, lost_fails: false },
        submitted: (1..).zip(planted).collect(),
        witnessed: witnessed.concat(),
        journal: Journal {
            runs: vec![500, 600],
            jobs: vec![1, 2, 3, 4],
            attempts: vec![
                attempt(4, 1, 52, "error", ""),
                attempt(4, 1, 52, "error", "failed"),
                attempt(1, 1, 51, "lost", ""),
                attempt(1, 2, 61, "ok", "ok"),
                attempt(2, 2, 62, "signal", ""),
                attempt(2, 2, 63, "signal", "crashed"),
                attempt(3, 2, 64, "outside", ""),
                attempt(3, 2, 65, "ok", "ok"),
            ],
        },
        reported: vec![
            reported(4, "failed", false),
            reported(4, "failed", true),
            reported(1, "ok", false),
            reported(2, "crashed", false),
            reported(3, "ok", false),
        ],
        signals: vec![(64, Signal::SIGKILL)],
        starts: 2,
    }
}

/// The violations after this change to books that agree.
fn found(change: impl FnOnce(&mut Books)) -> Vec<(Kind, Option<u64>)> {
    let mut books = agreeing();
    change(&mut books);
    let violations = violations(&books).into_iter();
    let mut found: Vec<_> = violations.map(|violation| (violation.kind, violation.job)).collect();
    found.dedup();
    found
}

#[test]
fn books_that_agree_have_no_violation() {
    assert_eq!(violations(&agreeing()), []);
}

#[test]
fn a_lost_job_is_found_in_whichever_ledger_it_is_missing() {
    let found_lost = |change: fn(&mut Books)| {
        let found = found(change);
        assert!(found.contains(&(Kind::Lost, Some(1))), "{found:?}");
    };
    found_lost(|books| books.reported.retain(|reported| reported.job != 1));
    found_lost(|books| books.journal.jobs.retain(|job| *job != 1));
    found_lost(|books| books.journal.attempts[3].settles = None);
    found_lost(|books| books.journal.attempts[2].cause = None);
}

#[test]
fn a_phantom_is_found_in_whichever_ledger_it_appears() {
    assert_eq!(found(|b| _ = b.submitted.remove(&1)).first(), Some(&(Kind::Phantom, Some(1))));
    // Only one ledger has job 9.
    let of_9 = [(Kind::Phantom, Some(9))];
    assert_eq!(found(|b| b.journal.jobs.push(9)), of_9);
    assert_eq!(found(|b| b.witnessed.push(line(true, 9, 66, 600))), of_9);
    assert_eq!(found(|b| b.reported.push(reported(9, "ok", false))), of_9);
    // The journal records an end that the job did not witness.
    let without_end = |b: &mut Books| b.witnessed.retain(|l| !(l.job == 3 && l.is_end));
    assert_eq!(found(without_end), [(Kind::Phantom, Some(3))]);
    let without_start = |b: &mut Books| b.witnessed.retain(|l| l.pid != 63);
    assert_eq!(found(without_start), [(Kind::Phantom, Some(2))]);
    let contradicted = |b: &mut Books| b.reported[0].status = "ok".into();
    assert_eq!(found(contradicted), [(Kind::Phantom, Some(4))]);
    let repeated = |b: &mut Books| b.reported.push(reported(3, "ok", true));
    assert_eq!(found(repeated), [(Kind::Phantom, Some(3))]);
}

#[test]
fn a_job_that_is_settled_twice_is_found() {
    assert_eq!(found(|b| b.journal.jobs.push(4)), [(Kind::Twice, Some(4))]);
    assert_eq!(found(|b| b.reported[1].again = false), [(Kind::Twice, Some(4))]);
    let once_more = attempt(3, 2, 65, "ok", "ok");
    assert_eq!(found(|b| b.journal.attempts.push(once_more)), [(Kind::Twice, Some(3))]);
    // The job was settled in the first run.
    assert_eq!(found(|b| b.witnessed[11].supervisor = 600), []);
    let started_again = |b: &mut Books| b.witnessed[10].supervisor = 600;
    assert_eq!(found(started_again), [(Kind::Twice, Some(4))]);
}

#[test]
fn a_start_without_a_reason_is_found() {
    let one_more = |b: &mut Books| b.witnessed.push(line(false, 3, 66, 600));
    // The death of the supervisor explains one more start, but not two.
    assert_eq!(found(one_more), []);
    let two_more = |b: &mut Books| (0..2).for_each(|_| one_more(b));
    assert_eq!(found(two_more), [(Kind::Starts, Some(3))]);
    assert_eq!(found(|b| b.starts = 1), [(Kind::Starts, Some(1))]);
    // Lost jobs count as failed, so they must not start again.
    assert_eq!(found(|b| b.rules.lost_fails = true), [(Kind::Starts, Some(1))]);
}

#[test]
fn wrong_blame_is_found() {
    // Job 3 is charged with a crash like that of job 2; and no signal was sent to its worker.
    let cause = |at: usize, cause: &'static str| {
        move |b: &mut Books| b.journal.attempts[at].cause = Some(cause.into())
    };
    assert_eq!(found(cause(6, "signal")), [(Kind::Blame, Some(3))]);
    assert_eq!(found(|b| b.signals.clear()), [(Kind::Blame, Some(3))]);
    assert_eq!(found(cause(2, "timeout")), [(Kind::Blame, Some(1))]);
    // The recorded cause is not the planted one.
    assert_eq!(found(cause(4, "exit")), [(Kind::Blame, Some(2))]);
    // A job that was given up too early, and one that was retried too often.
    assert_eq!(found(|b| b.rules.retries = 2), [(Kind::Blame, Some(4))]);
    assert_eq!(found(|b| b.rules.crash_retries = 0), [(Kind::Blame, Some(2))]);
    assert!(found(cause(6, "not begun")).contains(&(Kind::Blame, Some(3))));
    let settles = |b: &mut Books| b.journal.attempts[2].settles = Some("failed".into());
    assert!(found(settles).contains(&(Kind::Blame, Some(1))));
    // In the last run no job was lost and no worker was asked to stop.
    assert!(found(cause(6, "lost")).contains(&(Kind::Blame, Some(3))));
    assert!(found(cause(6, "asked to stop: killed")).contains(&(Kind::Blame, Some(3))));
}

#[test]
fn a_failure_is_explained_by_a_broken_worker_and_by_no_other() {
    // Job 3 also fails, in the worker in which job 5 ended.
    let fail = |books: &mut Books, breaks: Planted| {
        books.submitted.insert(5, breaks);
        books.witnessed.extend([line(false, 5, 66, 600), line(true, 5, 66, 600)]);
        books.witnessed.extend([line(false, 3, 66, 600), line(true, 3, 66, 600)]);
        books.journal.jobs.push(5);
        books.journal.attempts.insert(6, attempt(5, 2, 66, "ok", "ok"));
        books.journal.attempts.insert(7, attempt(3, 2, 66, "error", ""));
        books.reported.push(reported(5, "ok", false));
    };
    assert_eq!(found(|books| fail(books, Planted::Breaks)), []);
    assert_eq!(found(|books| fail(books, Planted::Fine)), [(Kind::Blame, Some(3))]);
}
