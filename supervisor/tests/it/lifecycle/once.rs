//! Jobs that must not be begun twice: `--at-most-once`, and `--on-lost fail` across runs.

#[cfg(feature = "journal")]
use crate::support::Signal;
use crate::support::{Run, Running};

/// How often each job began, by the log that the jobs write.
fn begun(run: &Running) -> Vec<String> {
    let log = std::fs::read_to_string(run.scratch_path().join("log")).unwrap_or_default();
    log.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn at_most_once_begins_no_job_again_after_a_kill_from_outside() {
    for death in ["kill", "die SIGTERM", "segv", "fail x", "exit 3"] {
        let run = Run::worker("work").with("--workers 1 --at-most-once").jsonl();
        run.scratch.file("log", "", 0o644);
        let run = run.given([&format!("log log a; {death}"), "log log b"]).start();
        let (first, second) = (run.job(1), run.job(2));
        assert_eq!(first["attempts"].as_array().unwrap().len(), 1, "{death}: {first}");
        assert_ne!(first["status"], "ok");
        assert_eq!(second["status"], "ok", "{death}");
        assert_eq!(begun(&run), ["a", "b"], "{death}");
        run.finish();
    }
}

#[test]
fn at_most_once_contradicts_retries() {
    for options in ["--retries 1", "--crash-retries 2", "--journal j --retry-failed"] {
        let run = Run::worker("work").with("--at-most-once").with(options).given(["a"]).finish();
        assert_eq!(run.code(), Some(2), "{options}: {}", run.stderr);
        assert!(run.stderr.contains("--at-most-once begins no job twice"), "{}", run.stderr);
    }
}

#[cfg(feature = "journal")]
#[test]
fn a_job_that_must_not_run_twice_has_failed_when_the_run_is_stopped() {
    for option in ["--on-lost fail", "--at-most-once"] {
        let scratch = crate::support::files::Scratch::new();
        let journal = scratch.path().join("run.journal");
        let log = scratch.path().join("log").display().to_string();
        let jobs = [format!("log {log} a; print on; hang"), format!("log {log} b")];
        let work = || {
            let run = Run::worker("work").with("--workers 1 --grace 200ms --depth 1").jsonl();
            run.with(option).recorded(&journal)
        };
        let run = work().given(&jobs).start();
        run.printed("on");
        run.signal(Signal::SIGTERM);
        assert_eq!(run.finish().statuses(), ["failed", "not_run"], "{option}");
        let run = work().given(&jobs).finish();
        assert_eq!(run.code(), Some(1), "{option}: {}", run.stderr);
        let log = std::fs::read_to_string(scratch.path().join("log")).unwrap();
        let begun: Vec<_> = log.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(begun, ["a", "b"], "{option}: {}", run.stderr);
    }
}

#[cfg(feature = "journal")]
#[test]
fn a_journal_tells_an_interrupted_job_from_one_that_was_never_begun() {
    let scratch = crate::support::files::Scratch::new();
    let journal = scratch.path().join("run.journal");
    let run = Run::worker("work").with("--workers 1 --grace 200ms --depth 1").recorded(&journal);
    let run = run.jsonl().given(["print on; hang", "b"]).start();
    run.printed("on");
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().statuses(), ["interrupted", "not_run"]);
    let mut list = std::process::Command::new(crate::support::SUPERVISOR);
    let list = list.args(["journal", "ls"]).arg(&journal).output().unwrap();
    let text = String::from_utf8(list.stdout).unwrap();
    assert!(text.contains("2 jobs: 1 interrupted, 1 waiting"), "{text}");
    assert!(
        text.lines().any(|line| line.starts_with("1 ") && line.contains("interrupted")),
        "{text}"
    );
}
