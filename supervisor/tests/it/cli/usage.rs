//! Invalid command lines are refused with one message that names the fault and the remedy, and
//! nothing runs.

use crate::support::{Run, jobs::is_untouched};

/// Checks that the run is refused with this status and one message that contains all of `words`.
fn refused(run: Run, status: i32, words: &[&str]) {
    // If the program started, it would leave a file, and `finish` would find it.
    let run = run.finish();
    assert_eq!(run.code(), Some(status), "{}", run.stderr);
    assert_eq!(run.stdout_text(), "");
    let messages = run.messages();
    assert_eq!(messages.len(), 1, "{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "`{word}` is not in:\n{}", run.stderr);
    }
}

fn started() -> Run {
    Run::sh("echo started > started")
}

#[test]
fn an_invalid_option_is_a_usage_error() {
    for (options, words) in [
        ("--limit ram=5", &["`ram` is not a limit", "there are as, data, cpu, nofile"][..]),
        ("--limit data", &["`data` sets no limit", "write name=value"]),
        ("--limit data=lots", &["`lots` is not a size", "512M"]),
        ("--limit nofile=64k", &["`64k` is not a count", "nofile=256"]),
        ("--limit cpu=1y", &["`1y` is not a duration", "30s"]),
        ("--kill them", &["--kill", "tree, group, leader"]),
        ("--memory 5X", &["`5X` is not a size", "--memory", "512M"]),
        ("--memory M", &["`M` is not a size", "512M"]),
        ("--grace soon", &["`soon` is not a duration", "--grace", "30s"]),
        ("--grace 5y", &["`5y` is not a duration", "30s"]),
        ("--stop-signal NOPE", &["`NOPE` is not a signal", "--stop-signal", "TERM"]),
        ("--stop-signal 65", &["`65` is not a signal", "1 to 64"]),
        ("--workers 0", &["`0` is not a number of workers", "--workers", "1 to 4096", "auto"]),
        ("--workers 4097", &["`4097` is not a number of workers", "1 to 4096"]),
        ("--workers two", &["`two` is not a number of workers", "auto"]),
        ("--restart sometimes", &["sometimes", "--restart", "never, on-failure, always"]),
        ("--retries 3", &["--retries is about jobs", "--restart on-failure"]),
        ("--timeout 3s", &["--timeout is about jobs", "timeout 30s"]),
        ("--roll stop-first", &["--roll", "--restart always"]),
        ("--roll stop-first --restart on-failure", &["--roll", "--restart always"]),
        ("--format jsonl --timestamps", &["--timestamps", "--format jsonl", "carry the time"]),
        ("--format jsonl --output raw", &["--output", "--format jsonl", "as records"]),
        ("--output raw --timestamps", &["--timestamps", "--output raw", "no lines"]),
        ("--env NAME", &["--env `NAME` sets no variable", "NAME=value"]),
        ("--env =value", &["--env `=value` sets no variable", "NAME=value"]),
        ("--no-such-flag", &["--no-such-flag", "--help"]),
    ] {
        refused(started().with(options), 2, words);
    }
}

#[test]
fn a_missing_program_is_a_usage_error() {
    refused(Run::of([""; 0]), 2, &["PROGRAM", "--help"]);
}

#[test]
fn a_variable_with_an_empty_name_is_refused() {
    refused(started().option("--env", "=a=b"), 2, &["--env `=a=b`", "NAME=value"]);
    refused(started().option("--env", ""), 2, &["--env ``", "NAME=value"]);
}

#[test]
fn a_low_open_file_limit_is_refused_with_the_number_of_workers_that_fits() {
    let few = |run: Run| run.after("ulimit -n 64");
    let words = ["100 workers need", "the limit is 64", "at most 3 with --workers", "ulimit -Hn"];
    refused(few(started().with("--workers 100")), 125, &words);
    // The number that the message names is enough.
    let run = few(Run::sh("echo $SUPERVISOR_WORKER").with("--workers 3")).finish();
    assert_eq!((run.lines().len(), run.code()), (6, Some(0)), "{}", run.stderr);
    let jobs = |workers: usize| {
        let run = Run::worker("work").with(&format!("--workers {workers} --depth 1")).jsonl();
        run.after("ulimit -n 150").given(vec!["sleep 300"; workers])
    };
    refused(jobs(99), 125, &["99 workers need", "the limit is 150", "at most 14"]);
    let run = jobs(14).finish();
    assert!(run.jobs().iter().all(is_untouched) && run.code() == Some(0), "{}", run.stderr);
    assert!(run.records("started").len() == 14 && run.messages().is_empty(), "{}", run.stderr);
}

#[test]
fn help_and_version_exit_with_success() {
    for option in ["--help", "-h"] {
        let run = Run::of([""; 0]).with(option).finish();
        assert!(run.stdout_text().contains("--restart") && run.stderr.is_empty());
        assert_eq!(run.code(), Some(0));
    }
}
