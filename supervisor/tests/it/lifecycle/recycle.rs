//! Workers are recycled after a number of jobs, at a size, at an age, or on SIGHUP. The new worker is
//! up before the old one stops, at most half of the workers are replaced at a time, and no job is
//! affected.

use std::collections::BTreeMap;

use crate::support::{Finished, Run, Signal, Value, jobs::is_untouched, tap};

fn work(options: &str) -> Run {
    Run::worker("work").with("--workers 2").with(options).jsonl()
}

/// The number of jobs of each generation of each worker. Every job was done at its first attempt.
fn jobs_of_generations(run: &Finished) -> BTreeMap<(u64, u64), u64> {
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let mut generations = BTreeMap::new();
    for job in run.jobs() {
        assert!(is_untouched(&job), "{job}");
        let attempt = &job["attempts"][0];
        let generation =
            (attempt["worker"].as_u64().unwrap(), attempt["generation"].as_u64().unwrap());
        *generations.entry(generation).or_default() += 1;
    }
    generations
}

/// Whether a worker ended because its successor took over, and not because the run was over.
fn is_replacement(ended: &Value) -> bool {
    ended["next"] == "replaced" && ended["cause"] != "finished"
}

/// Checks that no worker ended before its successor was up, and that no two started at once.
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
                let (worker, generation) = id();
                assert!(started.contains(&(worker, generation + 1)), "no successor yet: {record}");
                assert_eq!((&record["code"], &record["killed"]), (&0.into(), &false.into()));
                live.retain(|one| *one != (worker, generation));
            }
            "ended" => live.retain(|one| *one != id()),
            _ => {}
        }
        most = most.max(live.len());
    }
    // One may still be ending while the next one starts.
    assert!((3..=4).contains(&most), "one at a time is replaced, and some are: {most}");
}

/// The causes recorded for the ends of replaced workers.
fn causes_of_replaced(run: &Finished) -> Vec<Value> {
    let ended = run.records("ended").into_iter();
    let mut causes: Vec<_> =
        ended.filter(is_replacement).map(|ended| ended["cause"].clone()).collect();
    causes.dedup();
    causes
}

#[test]
fn recycle_after_a_number_of_jobs() {
    for depth in ["--depth 1", "--depth 4"] {
        let run = work("--recycle-jobs 5").with(depth).given(vec!["sleep 20"; 100]).finish();
        let generations = jobs_of_generations(&run);
        // At most five jobs each, and both workers take turns.
        assert!(generations.values().all(|jobs| *jobs <= 5), "{generations:?}");
        for worker in [1, 2] {
            let of_it = generations.keys().filter(|generation| generation.0 == worker).count();
            assert!(of_it >= 3, "{worker} of {generations:?}");
        }
        // The last generation of each worker may have ended sooner.
        let last =
            |worker| generations.keys().filter(|generation| generation.0 == worker).max().copied();
        let early = generations
            .iter()
            .filter(|(generation, jobs)| **jobs < 5 && last(generation.0) != Some(**generation));
        assert_eq!(early.count(), 0, "{generations:?}");
        one_by_one_and_new_before_old(&run);
        assert_eq!(causes_of_replaced(&run), ["recycled"]);
        assert!(!run.stderr.contains(" ended: "), "planned, and so no news: {}", run.stderr);
    }
}

#[test]
fn recycle_after_every_job() {
    let run = work("--recycle-jobs 1").given(vec!["sleep 10"; 60]).finish();
    let generations = jobs_of_generations(&run);
    assert_eq!((generations.values().sum::<u64>(), generations.len()), (60, 60));
    one_by_one_and_new_before_old(&run);
}

#[test]
fn recycle_at_a_memory_size() {
    let run = work("--recycle-rss 64M").given(vec!["keep 8; sleep 60"; 60]).finish();
    let generations = jobs_of_generations(&run);
    // About seven jobs reach the size; memory is sampled from time to time.
    assert!(
        generations.len() >= 4 && generations.values().all(|jobs| *jobs <= 20),
        "{generations:?}"
    );
    one_by_one_and_new_before_old(&run);
    assert_eq!(causes_of_replaced(&run), ["recycled"]);
    let small = work("--recycle-rss 1G").given(vec!["keep 1"; 60]).finish();
    assert_eq!(small.records("started").len(), 2);
}

#[test]
fn recycle_at_an_age() {
    let run = work("--recycle-age 300ms").given(vec!["sleep 20"; 150]).finish();
    let generations = jobs_of_generations(&run);
    assert!(generations.len() >= 4, "{generations:?}");
    one_by_one_and_new_before_old(&run);
    assert_eq!(causes_of_replaced(&run), ["recycled"]);
}

#[test]
fn a_recycled_worker_finishes_its_job() {
    let run = work("--recycle-age 200ms --depth 1").given(vec!["sleep 900"; 4]).finish();
    jobs_of_generations(&run);
    one_by_one_and_new_before_old(&run);
}

#[test]
fn a_hang_up_recycles_every_worker() {
    let (run, mut feed) = work("--depth 2").fed_live();
    let run = run.start();
    for id in 1..=60 {
        feed.push("sleep 10");
        if [10, 30].contains(&id) {
            run.job(id - 5);
            run.signal(Signal::SIGHUP);
            let generation = if id == 10 { 2 } else { 3 };
            (1..=2).for_each(|worker| drop(run.stdout.record("started", worker, generation)));
            (1..=2).for_each(|worker| drop(run.stdout.record("ended", worker, generation - 1)));
        }
    }
    drop(feed);
    let run = run.finish();
    let generations = jobs_of_generations(&run);
    assert_eq!(generations.values().sum::<u64>(), 60);
    one_by_one_and_new_before_old(&run);
    assert_eq!(causes_of_replaced(&run), ["rolled"]);
    assert_eq!(run.records("started").len(), 6);
}

/// The most workers that were live at the same time.
fn most_live(run: &Finished) -> usize {
    let (mut live, mut most) = (0, 0);
    for record in tap::records(run.stdout_text()) {
        match record["type"].as_str() {
            Some("started") => live += 1,
            Some("ended") => live -= 1,
            _ => {}
        }
        most = most.max(live);
    }
    most
}

#[test]
fn recycling_replaces_several_workers_at_a_time_once_one_has_come_up() {
    let work = crate::support::fixture("work");
    let run = Run::of(["sh", "-c", "sleep 0.2; exec \"$0\"", &work]).jsonl();
    let run = run.with("--workers 8 --recycle-jobs 1").given(vec!["sleep 5"; 40]).finish();
    let generations = jobs_of_generations(&run);
    assert_eq!(generations.len(), 40);
    let most = most_live(&run);
    // Those that were replaced may still be ending.
    assert!((10..=16).contains(&most), "up to four of eight are replaced at a time: {most}");
}

#[test]
fn a_worker_that_has_reached_its_size_is_sent_no_more_jobs() {
    let run = work("--recycle-rss 64M").given(vec!["keep 8"; 200]).finish();
    let generations = jobs_of_generations(&run);
    assert!(generations.values().all(|jobs| *jobs <= 12), "{generations:?}");
}

#[test]
fn workers_that_are_large_from_the_start_are_kept() {
    let run = work("--recycle-rss 100K").given(vec!["sleep 1"; 200]).finish();
    assert_eq!(run.records("started").len(), 2, "{}", run.stderr);
}
