//! What `supervisor journal` shows and exports.

use super::{
    super::support::{Run, files::Scratch},
    check, commands,
    filter::{pretty, stable},
    jobs, supervisor, worker,
};

fn recorded(name: &str, run: impl Fn() -> Run) {
    let scratch = Scratch::new();
    let path = scratch.path().join("journal");
    run().recorded(&path).finish();
    let path = path.to_str().unwrap();
    let show = |words: &[&str]| {
        let text = supervisor(&[&["journal"], words].concat());
        text.replace(path, "<journal>")
    };
    let verbs = [
        ("ls", vec!["ls", "--all", path]),
        ("show-runs", vec!["show", path]),
        ("show-job", vec!["show", path, "2"]),
        ("verify", vec!["verify", path]),
        ("export-joblog", vec!["export", "joblog", path]),
    ];
    for (verb, words) in verbs {
        check(&format!("journal-{name}-{verb}"), &stable(&show(&words)));
    }
    let verbs = [
        ("ls-json", vec!["ls", "--all", path, "--format", "jsonl"]),
        ("show-runs-json", vec!["show", path, "--format", "jsonl"]),
        ("export-jsonl", vec!["export", "jsonl", path]),
    ];
    for (verb, words) in verbs {
        check(&format!("journal-{name}-{verb}"), &pretty(show(&words).lines()));
    }
}

#[test]
fn a_journal_of_commands_is_golden() {
    recorded("commands", commands);
}

#[test]
fn a_journal_of_jobs_is_golden() {
    recorded("jobs", jobs);
    recorded("crash", || worker(&["ok", "segv"]));
}
