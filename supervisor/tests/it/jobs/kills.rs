//! Killing workers at any time loses no job, repeats only the job that ran, and charges none.

use std::{collections::HashMap, fs};

use crate::support::{
    Finished, Run, Running, Signal, Value,
    jobs::{causes, is_untouched},
    procfs, send, until,
    upstream::{Upstream, sibling},
};

/// Checks that every job is done and that no lost attempt was charged; returns how many attempts were
/// lost.
fn none_is_lost_and_none_charged(run: &Finished, count: usize) -> usize {
    let jobs = run.jobs();
    assert_eq!((jobs.len(), run.code()), (count, Some(0)), "{}", run.stderr);
    let mut lost_attempts = 0;
    for job in &jobs {
        assert_eq!(job["status"], "ok", "{job}");
        let (last, earlier) = job["attempts"].as_array().unwrap().split_last().unwrap();
        assert_eq!(last.get("cause"), None, "{job}");
        for attempt in earlier {
            assert_eq!(
                (&attempt["uncharged"], &attempt["sender"]),
                (&true.into(), &"outside".into())
            );
        }
        lost_attempts += earlier.len();
    }
    lost_attempts
}

/// Kills some worker after every fifty jobs, until the run has ended; returns how many.
fn kill_at_random(run: &mut Running, workers: usize) -> usize {
    const JOBS_BETWEEN: usize = 50;
    // Any seed will do; the same seed gives the same order of slots.
    let supervisor = run.supervisor();
    let (mut random, mut kills) = (0x2545_f491_4f6c_dd1d_u64, 0);
    for target in (1..).map(|nth| nth * JOBS_BETWEEN) {
        until("more jobs, or the end", || {
            run.has_ended() || run.stdout.text().matches("{\"type\":\"job\"").count() >= target
        });
        if run.has_ended() {
            break;
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let slot = 1 + usize::try_from(random % workers as u64).unwrap();
        if let Some(pid) = procfs::worker(supervisor, slot) {
            send(pid, Signal::SIGKILL);
            kills += 1;
        }
    }
    kills
}

#[test]
fn no_url_is_lost_while_workers_are_killed() {
    const URLS: usize = 1000;
    let upstream = Upstream::start(&[]);
    let url = |n| format!("http://{}/delay/10ms?{n}\n", upstream.address);
    let text: String = (1..=URLS).map(url).collect();
    let run = Run::of([sibling("connection_bin")]).with("--workers 4").jsonl().fed(text);
    let mut run = run.start();
    let kills = kill_at_random(&mut run, 4);
    let run = run.finish();
    let lost_attempts = none_is_lost_and_none_charged(&run, URLS);
    let killed = run.records("ended").iter().filter(|ended| ended["signal"] == "SIGKILL").count();
    println!("{kills} kills, {killed} recorded, {lost_attempts} attempts lost");
    // The last kill may have come too late to be recorded.
    assert!(kills >= 5 && killed + 1 >= kills, "{kills} kills, {killed} recorded");
    assert!(lost_attempts <= kills);
    assert!(run.jobs().iter().all(|job| job["reply"] == "answered after 10 ms\n"));
}

/// Runs a thousand jobs of 2 ms that log their start, and kills a worker after 300 starts.
fn killed_after_300(depth: &str) {
    let text: String = (1..=1000).map(|n| format!("log starts {n}; sleep 2\n")).collect();
    let run = Run::worker("work").with("--workers 2 --depth").with(depth).jsonl().fed(text);
    let starts = run.scratch.file("starts", "", 0o644);
    let run = run.start();
    let started = || fs::read_to_string(&starts).unwrap();
    until("300 starts", || started().lines().count() >= 300);
    send(procfs::worker(run.supervisor(), 1).unwrap(), Signal::SIGKILL);
    let all = run.stdout.until("all jobs", |text| {
        (text.matches("{\"type\":\"job\"").count() == 1000).then(started)
    });
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for line in all.lines() {
        *counts.entry(line.split(' ').next().unwrap()).or_default() += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(counts.len() == 1000 && twice.len() <= 1, "depth {depth}: {twice:?}");
    assert!(twice.iter().all(|(_, count)| **count == 2), "depth {depth}: {twice:?}");
    let lost_attempts = none_is_lost_and_none_charged(&run.finish(), 1000);
    // A job may have been killed before it wrote to the log.
    assert!((twice.len()..=1).contains(&lost_attempts), "depth {depth}: {lost_attempts}");
}

#[test]
fn a_killed_worker_loses_no_job_and_repeats_at_most_one() {
    for depth in ["auto", "1", "64"] {
        killed_after_300(depth);
    }
}

#[test]
fn killing_an_idle_worker_charges_no_job() {
    let (run, mut feed) = Run::worker("echo").with("--workers 1").jsonl().fed_live();
    let run = run.start();
    for id in 1..=10 {
        feed.push(&format!("job {id}"));
        let job = run.job(id);
        assert!(is_untouched(&job), "{job}");
        assert_eq!(
            (&job["reply"], &job["attempts"][0]["generation"]),
            (&format!("job {id}").into(), &id.into())
        );
        let pid = job["attempts"][0]["pid"].as_i64().unwrap();
        send(i32::try_from(pid).unwrap(), Signal::SIGKILL);
        if id % 2 == 0 {
            // Every other job comes after the replacement; the rest come before or during it.
            run.stdout.record("started", 1, usize::try_from(id).unwrap() + 1);
        }
    }
    drop(feed);
    let run = run.finish();
    assert_eq!((run.jobs().len(), run.code()), (10, Some(0)), "{}", run.stderr);
    assert_eq!(run.stderr.matches("(SIGKILL, outside)").count(), run.records("ended").len() - 1);
}

#[test]
fn a_job_whose_workers_are_killed_repeatedly_is_quarantined() {
    let run = Run::worker("work").with("--workers 1 --depth 4").jsonl();
    let run = run.given(["a", "print here; hang", "b", "c"]).start();
    for generation in 1..=5 {
        let is_there =
            |record: &Value| record["line"] == "here" && record["generation"] == generation;
        let pid = run.stdout.until("the next generation runs it", |text| {
            let records = crate::support::tap::records(text).into_iter();
            records
                .filter(|record| record["type"] == "output")
                .find(is_there)
                .map(|r| crate::support::pid(&r))
        });
        send(pid, Signal::SIGTERM);
    }
    let run = run.finish();
    let jobs = run.jobs();
    assert_eq!(
        (causes(&jobs[1]), &jobs[1]["status"]),
        (vec!["signal".into(); 5], &"quarantined".into())
    );
    assert!([0, 2, 3].iter().all(|nth| is_untouched(&jobs[*nth])), "{jobs:?}");
}
