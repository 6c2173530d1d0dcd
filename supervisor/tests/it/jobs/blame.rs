//! When a worker dies, exactly the job that it ran is charged. Answered jobs stay done, and
//! prefetched jobs go to another worker as if they had never been sent.

use std::{collections::HashMap, fs, thread};

use crate::support::{
    Finished, Run, Value, fixture,
    jobs::{causes, is_untouched, reformed},
};
use serde_json::json;

#[test]
fn only_the_five_bad_jobs_of_ten_thousand_fail() {
    let bad = [
        (1_000, "segv", "quarantined"),
        (3_000, "abort", "quarantined"),
        (5_000, "exit 3", "quarantined"),
        (7_000, "hang", "failed"),
        (9_000, "leak", "quarantined"),
    ];
    let word = |id| bad.iter().find(|(bad, ..)| *bad == id).map_or("fine", |(_, word, _)| word);
    let text: String = (1..=10_000).map(|id| format!("{}\n", word(id))).collect();
    let run = Run::worker("work").with("--workers 2 --depth 16 --timeout 3s --memory 128M");
    let run = run.jsonl().fed(text).finish();
    let jobs = run.jobs();
    assert_eq!(jobs.len(), 10_000);
    let not_ok: Vec<_> = jobs.iter().filter(|job| job["status"] != "ok").collect();
    let reported = not_ok.iter().map(|job| (job["id"].as_u64().unwrap(), job["status"].clone()));
    assert!(reported.eq(bad.map(|(id, _, status)| (id, json!(status)))), "{not_ok:?}");
    for (job, expected) in not_ok.iter().zip([
        json!({ "cause": "signal", "sender": "itself", "code": 139, "signal": "SIGSEGV" }),
        json!({ "cause": "signal", "sender": "itself", "code": 134, "signal": "SIGABRT" }),
        json!({ "cause": "exit", "code": 3, "signal": null }),
        json!({ "cause": "timeout" }),
        json!({ "cause": "memory", "certainty": "sure" }),
    ]) {
        let last = job["attempts"].as_array().unwrap().last().unwrap();
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(last[field], *value, "{field} of {job}");
        }
        let tries = if job["status"] == "failed" { 1 } else { 2 };
        assert_eq!(causes(job), vec![expected["cause"].as_str().unwrap(); tries], "{job}");
    }
    assert!(jobs.iter().filter(|job| job["status"] == "ok").all(is_untouched));
    assert!(run.summary().starts_with("10000 jobs: 9995 ok, 1 failed, 4 quarantined; "));
    assert_eq!(run.code(), Some(1));
}

#[test]
fn jobs_answered_before_a_death_are_not_repeated() {
    for death in ["segv", "exit 0", "kill", "hang"] {
        // The log shows which jobs started, independently of the records.
        let word = |id| if id == 40 { death } else { "fine" };
        let text: String = (1..=200).map(|id| format!("log log {id}; {}\n", word(id))).collect();
        let run = Run::worker("work").with("--workers 1 --depth 64 --timeout 1s --retries 1");
        let run = run.with("--crash-retries 1 --retry-delay 0").jsonl().fed(text);
        let log = run.scratch.file("log", "", 0o644);
        let run = run.start();
        let jobs: Vec<Value> = (1..=200).map(|id| run.job(id)).collect();
        let begun = begun(&fs::read_to_string(log).unwrap());
        let attempts = |id: usize| jobs[id - 1]["attempts"].as_array().unwrap().len();
        assert!((1..=200).all(|id| begun[&id] == attempts(id)), "{death}: {begun:?}");
        assert!((1..=200).all(|id| id == 40 || is_untouched(&jobs[id - 1])), "{death}");
        assert!(attempts(40) > 1, "{death}: {}", jobs[39]);
        run.finish();
    }
}

#[test]
fn a_job_that_kills_workers_before_they_note_it_costs_itself_alone() {
    for workers in ["--workers 1", "--workers 4"] {
        let text = "poison\n".to_owned() + &"fine\n".repeat(50);
        let run = Run::of([fixture("vile"), "unclaimed".into(), "SIGSEGV".into()])
            .with(workers)
            .with("--depth 4")
            .jsonl();
        let run = run.fed(text).finish();
        let jobs = run.jobs();
        assert_eq!(jobs[0]["status"], "quarantined", "{}", run.stderr);
        assert_eq!(causes(&jobs[0]), ["signal"; 2], "{}", jobs[0]);
        assert!(jobs[1..].iter().all(|job| job["status"] == "ok"), "{}", run.stderr);
        assert_eq!((jobs.len(), run.code()), (51, Some(1)));
    }
}

/// How often each job started, by the log.
fn begun(log: &str) -> HashMap<usize, usize> {
    let mut begun = HashMap::new();
    for line in log.lines() {
        let id = line.split(' ').next().unwrap().parse().unwrap();
        *begun.entry(id).or_insert(0) += 1;
    }
    begun
}

/// How a worker ends, and the cause that its attempt must have.
const ENDS: [(&str, &str); 7] = [
    ("SIGSEGV", "signal"),
    ("SIGABRT", "signal"),
    ("SIGKILL", "signal"),
    ("SIGTERM", "signal"),
    ("0", "exit"),
    ("3", "exit"),
    ("SIGSTOP", "timeout"),
];

/// Tries every end at one point, concurrently. It hits the first of three jobs.
fn each_end(point: &[&str], check: impl Fn(&str, &str, &Finished) + Sync) {
    thread::scope(|scope| {
        for (end, cause) in ENDS {
            let check = &check;
            scope.spawn(move || {
                let mode: Vec<_> = point.iter().copied().chain([end]).collect();
                let run = reformed(&mode, "echo").with("--depth 16 --retries 1 --retry-delay 0");
                let limit = if cause == "timeout" { "--timeout 2s --grace 500ms" } else { "" };
                let run = run.with(limit).given(["one", "two", "three"]).finish();
                assert_eq!((run.code(), run.jobs().len()), (Some(0), 3), "{end}: {}", run.stderr);
                assert!(run.jobs()[1..].iter().all(is_untouched), "{end}: {:?}", run.jobs());
                check(end, cause, &run);
            });
        }
    });
}

/// Checks that no job is charged.
fn each_end_charges_nobody(point: &[&str], generation: u64) {
    each_end(point, |end, cause, run| {
        let job = &run.jobs()[0];
        assert!(is_untouched(job), "{end}: {job}");
        let by = job["attempts"][0]["generation"].as_u64().unwrap();
        // On a busy machine a healthy worker may also time out before it starts the job.
        assert!(by == generation || cause == "timeout" && by > generation, "{end}: {job}");
    });
}

/// Checks that the first job is charged, or that an end from outside is recorded as uncharged.
fn each_end_charges_the_first(point: &[&str]) {
    each_end(point, |end, cause, run| {
        let job = &run.jobs()[0];
        assert_eq!(causes(job), [cause, "ok"], "{end}: {job}");
        let attempt = &job["attempts"][0];
        assert_eq!((&attempt["worker"], &attempt["generation"]), (&json!(1), &json!(1)));
        let is_outside = ["SIGKILL", "SIGTERM"].contains(&end);
        assert_eq!(attempt["uncharged"] == true, is_outside, "{end}: {job}");
        let again = match cause {
            _ if is_outside => "again, uncharged",
            "timeout" => "again at once",
            _ => "once more, alone in a fresh worker",
        };
        assert!(run.stderr.contains(again), "{end}: {}", run.stderr);
        match end.strip_prefix("SIG") {
            _ if cause == "timeout" => {}
            Some(_) => assert_eq!(attempt["signal"], end, "{job}"),
            None => assert_eq!(attempt["code"].to_string(), end, "{job}"),
        }
        if !is_outside && cause == "signal" {
            assert_eq!(attempt["sender"], "itself", "{job}");
        }
    });
}

#[test]
fn a_death_before_the_first_read_charges_no_job() {
    each_end_charges_nobody(&["before-read"], 2);
}

#[test]
fn a_death_while_reading_a_job_charges_no_job() {
    each_end_charges_nobody(&["mid-frame"], 2);
}

#[test]
fn a_death_between_a_job_and_its_reply_charges_the_job() {
    each_end_charges_the_first(&["before-reply"]);
}

#[test]
fn a_death_within_a_reply_header_charges_the_job() {
    each_end_charges_the_first(&["half", "2"]);
}

#[test]
fn a_death_within_a_reply_charges_the_job() {
    each_end_charges_the_first(&["mid-reply"]);
}

#[test]
fn a_death_after_a_reply_charges_no_job() {
    each_end_charges_nobody(&["after-reply"], 1);
}

#[test]
fn a_death_while_a_job_runs_charges_that_job() {
    thread::scope(|scope| {
        for (end, cause) in ENDS {
            scope.spawn(move || {
                let is_outside = ["SIGKILL", "SIGTERM"].contains(&end);
                let run = Run::worker("work").with("--workers 1 --depth 16 --crash-retries 0");
                let limit = if cause == "timeout" { "--timeout 2s --grace 500ms" } else { "" };
                let die = format!("die {end}");
                let run = run.jsonl().with(limit).given(["a", "b", &die, "c", "d"]).finish();
                let jobs = run.jobs();
                assert!([0, 1, 3, 4].iter().all(|nth| is_untouched(&jobs[*nth])), "{jobs:?}");
                // A job whose worker is killed from outside is retried, but not for ever.
                let tries = if is_outside { 5 } else { 1 };
                assert_eq!(causes(&jobs[2]), vec![cause; tries], "{end}");
                let status = if cause == "timeout" { "failed" } else { "quarantined" };
                assert_eq!((&jobs[2]["status"], run.code()), (&json!(status), Some(1)), "{end}");
            });
        }
    });
}

#[test]
fn a_job_that_killed_its_worker_is_retried_alone_in_a_fresh_worker() {
    let run = Run::worker("work").with("--workers 1 --depth 16").jsonl();
    let mut words = vec!["fine"; 100];
    words[30] = "segv";
    let run = run.given(&words).finish();
    let jobs = run.jobs();
    let bad = &jobs[30];
    assert_eq!(causes(bad), ["signal", "signal"]);
    let second = &bad["attempts"][1]["generation"];
    assert_ne!(bad["attempts"][0]["generation"], *second);
    let others = jobs.iter().filter(|job| job["id"] != 31);
    for other in others {
        assert!(is_untouched(other) && other["attempts"][0]["generation"] != *second, "{other}");
    }
}

#[test]
fn a_quarantined_job_carries_its_evidence() {
    let words = "print last words; complain of pain; keep 20; die SIGBUS";
    let run = Run::worker("work").with("--workers 1 --limit core=0").jsonl().given([words]);
    let run = run.finish();
    let job = run.jobs().remove(0);
    assert_eq!((&job["status"], &job["cause"]), (&json!("quarantined"), &json!("signal")));
    assert_eq!((&job["input"], job["attempts"].as_array().unwrap().len()), (&json!(words), 2));
    for attempt in job["attempts"].as_array().unwrap() {
        assert_eq!((&attempt["signal"], &attempt["code"]), (&json!("SIGBUS"), &json!(135)));
        let last = attempt["last_output"].as_str().unwrap();
        assert!(last.contains("last words\n") && last.contains("of pain\n"), "{last}");
        assert!(attempt["peak_bytes"].as_u64().unwrap() > 20 << 20, "{attempt}");
    }
    let parked =
        "supervisor: job 1 is quarantined: its worker died: code 135 (SIGBUS) (attempt 2, w1.2)";
    assert!(run.messages().contains(&parked), "{}", run.stderr);
}
