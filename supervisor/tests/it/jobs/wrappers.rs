//! Workers behind wrappers that do not `exec` them.

use crate::support::{
    Run, fixture,
    jobs::{causes, is_untouched},
};

use super::protocol::others;

/// Wrappers that run `"$@"` as a child: one that passes its descriptors on, one that closes them, and
/// one behind another.
const WRAPPERS: [&str; 3] = [
    "\"$@\"; exit $?",
    "(exec \"$@\" 3<&- 4>&- 5>&-); exit $?",
    "(exec sh -c '\"$@\"; exit $?' sh \"$@\" 3<&- 4>&- 5>&-); exit $?",
];

fn wrapped(wrapper: &str, program: &[&str]) -> Run {
    let words: Vec<&str> = ["sh", "-c", wrapper, "sh"].iter().chain(program).copied().collect();
    Run::of(words).with("--workers 1 --env RUST_BACKTRACE=0").jsonl()
}

#[test]
fn a_worker_behind_a_wrapper_is_a_worker() {
    let all = others().into_iter().map(Vec::from).chain([vec![fixture("echo")]]);
    for program in all {
        let program: Vec<&str> = program.iter().map(String::as_str).collect();
        for wrapper in WRAPPERS {
            let run = wrapped(wrapper, &program).given(["a", "b", "c"]).finish();
            assert_eq!(run.code(), Some(0), "{program:?} behind {wrapper}: {}", run.stderr);
            assert!(run.jobs().iter().all(is_untouched) && run.jobs().len() == 3);
        }
    }
}

#[test]
fn a_crash_behind_a_wrapper_is_charged_to_its_job_alone() {
    let work = fixture("work");
    for wrapper in WRAPPERS {
        let run = wrapped(wrapper, &[&work]).with("--limit core=0");
        let run = run.given(["a", "segv", "b", "exit 3", "c"]).finish();
        let expected = ["ok", "quarantined", "ok", "quarantined", "ok"];
        assert_eq!(run.statuses(), expected, "{wrapper}: {}", run.stderr);
        let jobs = run.jobs();
        assert!([0, 2, 4].iter().all(|nth| is_untouched(&jobs[*nth])), "{jobs:?}");
        assert_eq!(
            (causes(&jobs[1]), causes(&jobs[3])),
            (vec!["exit".into(); 2], vec!["exit".into(); 2])
        );
        // The shell's way to report a signal.
        assert_eq!(jobs[1]["attempts"][0]["code"], 139);
        assert_eq!(jobs[3]["attempts"][0]["code"], 3);
    }
}

#[test]
fn a_wrapper_that_outlives_its_worker_is_killed() {
    let work = fixture("work");
    let run = wrapped("\"$@\"; sleep 1000", &[&work]).with("--crash-retries 0");
    let run = run.given(["a", "exit 3", "b"]).finish();
    assert_eq!(run.statuses(), ["ok", "quarantined", "ok"], "{}", run.stderr);
    assert_eq!(causes(&run.jobs()[1]), ["protocol"]);
}

#[test]
fn a_time_limit_reaches_a_worker_behind_a_wrapper() {
    let work = fixture("work");
    let run = wrapped(WRAPPERS[0], &[&work]).with("--timeout 300ms --grace 1s");
    let run = run.given(["hang", "b"]).finish();
    assert_eq!(run.statuses(), ["failed", "ok"], "{}", run.stderr);
    assert_eq!(causes(&run.jobs()[0]), ["timeout"]);
}
