//! Workers are replaced by fresh ones, after so many jobs, at such a size or age, or when asked to:
//! the new one is there before the old one goes, one worker after the other, and no job notices.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::collections::BTreeMap;

use support::{Finished, Run, Signal, Value, jobs::is_untouched, tap};

fn work(options: &str) -> Run {
    Run::worker("work").with("--workers 2").with(options).jsonl()
}

/// How many jobs each life did, by worker and life. Every job was done at its first attempt.
fn jobs_of_lives(run: &Finished) -> BTreeMap<(u64, u64), u64> {
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let mut lives = BTreeMap::new();
    for job in run.jobs() {
        assert!(is_untouched(&job), "{job}");
        let attempt = &job["attempts"][0];
        let life = (attempt["worker"].as_u64().unwrap(), attempt["generation"].as_u64().unwrap());
        *lives.entry(life).or_default() += 1;
    }
    lives
}

/// Whether a worker ended to make way for its successor, and not since the run was over.
fn is_replacement(ended: &Value) -> bool {
    ended["next"] == "replaced" && ended["cause"] != "finished"
}

/// No worker went before its successor was there, and no two came up at once.
fn one_by_one_and_new_before_old(run: &Finished) {
    let records = tap::records(run.stdout_text());
    let (mut started, mut live, mut most) = (Vec::new(), Vec::new(), 0);
    for record in &records {
        let id = || (record["worker"].as_u64().unwrap(), record["generation"].as_u64().unwrap());
        match record["type"].as_str().unwrap() {
            "started" => {
                started.push(id());
                live.push(id());
            }
            "ended" if is_replacement(record) => {
                let (worker, life) = id();
                assert!(started.contains(&(worker, life + 1)), "no successor yet: {record}");
                assert_eq!((&record["code"], &record["killed"]), (&0.into(), &false.into()));
                live.retain(|one| *one != (worker, life));
            }
            "ended" => live.retain(|one| *one != id()),
            _ => {}
        }
        most = most.max(live.len());
    }
    // One may end still while the next one starts.
    assert!((3..=4).contains(&most), "one at a time is replaced, and some are: {most}");
}

/// What the ends of replaced workers are said to be for.
fn causes_of_replaced(run: &Finished) -> Vec<Value> {
    let ended = run.records("ended").into_iter();
    let mut causes: Vec<_> =
        ended.filter(is_replacement).map(|ended| ended["cause"].clone()).collect();
    causes.dedup();
    causes
}

#[test]
fn after_so_many_jobs() {
    for depth in ["--depth 1", "--depth 4"] {
        let run = work("--recycle-jobs 5").with(depth).given(vec!["sleep 20"; 100]).finish();
        let lives = jobs_of_lives(&run);
        // Five and no more, and both have their turns.
        assert!(lives.values().all(|jobs| *jobs <= 5), "{lives:?}");
        for worker in [1, 2] {
            let of_it = lives.keys().filter(|life| life.0 == worker).count();
            assert!(of_it >= 3, "{worker} of {lives:?}");
        }
        // The last of each worker may have been let go sooner.
        let last = |worker| lives.keys().filter(|life| life.0 == worker).max().copied();
        let early = lives.iter().filter(|(life, jobs)| **jobs < 5 && last(life.0) != Some(**life));
        assert_eq!(early.count(), 0, "{lives:?}");
        one_by_one_and_new_before_old(&run);
        assert_eq!(causes_of_replaced(&run), ["recycled"]);
        assert!(!run.stderr.contains(" ended: "), "planned, and so no news: {}", run.stderr);
    }
}

#[test]
fn after_every_job() {
    let run = work("--recycle-jobs 1").given(vec!["sleep 10"; 60]).finish();
    let lives = jobs_of_lives(&run);
    assert_eq!((lives.values().sum::<u64>(), lives.len()), (60, 60));
    one_by_one_and_new_before_old(&run);
}

#[test]
fn at_such_a_size() {
    let run = work("--recycle-rss 64M").given(vec!["keep 8; sleep 60"; 60]).finish();
    let lives = jobs_of_lives(&run);
    // Some seven jobs bring it there; its memory is looked at now and then.
    assert!(lives.len() >= 4 && lives.values().all(|jobs| *jobs <= 20), "{lives:?}");
    one_by_one_and_new_before_old(&run);
    assert_eq!(causes_of_replaced(&run), ["recycled"]);
    let small = work("--recycle-rss 1G").given(vec!["keep 1"; 60]).finish();
    assert_eq!(small.records("started").len(), 2);
}

#[test]
fn at_such_an_age() {
    let run = work("--recycle-age 300ms").given(vec!["sleep 20"; 150]).finish();
    let lives = jobs_of_lives(&run);
    assert!(lives.len() >= 4, "{lives:?}");
    one_by_one_and_new_before_old(&run);
    assert_eq!(causes_of_replaced(&run), ["recycled"]);
}

#[test]
fn a_worker_that_is_replaced_finishes_its_job() {
    let run = work("--recycle-age 200ms --depth 1").given(vec!["sleep 900"; 4]).finish();
    jobs_of_lives(&run);
    one_by_one_and_new_before_old(&run);
}

#[test]
fn when_asked_by_a_signal() {
    let (run, mut asker) = work("--depth 2").asked();
    let run = run.start();
    for id in 1..=60 {
        asker.ask("sleep 10");
        if [10, 30].contains(&id) {
            run.job(id - 5);
            run.signal(Signal::SIGHUP);
            let life = if id == 10 { 2 } else { 3 };
            (1..=2).for_each(|worker| drop(run.stdout.record("started", worker, life)));
            (1..=2).for_each(|worker| drop(run.stdout.record("ended", worker, life - 1)));
        }
    }
    drop(asker);
    let run = run.finish();
    let lives = jobs_of_lives(&run);
    assert_eq!(lives.values().sum::<u64>(), 60);
    one_by_one_and_new_before_old(&run);
    assert_eq!(causes_of_replaced(&run), ["rolled"]);
    assert_eq!(run.records("started").len(), 6);
}
