//! What a worker says about a job while it runs: its progress is shown wherever the job is, and its
//! output has the job's label.

use std::fs;

use crate::support::{Run, Signal, fixture, runtime_dir::RuntimeDir, tap, until};

#[test]
fn progress_is_shown_while_the_job_runs() {
    let runs = RuntimeDir::new();
    // The job reports its progress and then goes on for ever.
    let job = r#"{"type":"progress","id":%ID%,"fraction":0.4567,"note":"half\u001b[m"}"#;
    let run = Run::of([fixture("vile"), "raw".into()]).with("--workers 1 --name it").jsonl();
    let run = run.with("--events events").given([job]);
    let events = run.scratch.file("events", "", 0o644);
    let run = runs.run(run).start();
    runs.wait_for_run();
    until("progress", || runs.snapshot()["workers"][0]["job"]["progress"]["fraction"] == 0.4567);
    let note = &runs.snapshot()["workers"][0]["job"]["progress"]["note"];
    assert_eq!(note, "half^[[m", "nothing in a note moves a terminal");
    for words in [&["why", "1"][..], &["why", "w1"]] {
        let shown = runs.output(words);
        assert!(shown.contains(", attempt 1, 46% done (half^[[m): "), "{shown}");
    }
    let shown = runs.output(&["ps", "--run", "it"]);
    assert!(shown.contains(" 1 46% "), "{shown}");
    let records = tap::records(&fs::read_to_string(events).unwrap());
    let progress = records.iter().find(|record| record["type"] == "progress").unwrap();
    assert_eq!((&progress["id"], &progress["attempt"]), (&1.into(), &1.into()));
    assert_eq!((&progress["fraction"], &progress["worker"]), (&0.4567.into(), &1.into()));
    run.signal(Signal::SIGINT);
    run.supervisor();
    run.signal(Signal::SIGTERM);
    drop(run);
}

#[test]
fn output_that_a_worker_attributes_to_a_job_of_another_has_no_label() {
    let output = |id| format!(r#"{{"type":"output","id":{id},"stream":1,"text":"of {id}\n"}}"#);
    let reply = r#"{"type":"reply","id":%ID%,"attempt":%ATTEMPT%,"result":"done"}"#;
    let job = [output("1"), output("12345"), reply.into()].join("\t");
    let run = Run::of([fixture("vile"), "raw".into()]).with("--workers 1").jsonl();
    let run = run.given([job]).finish();
    assert_eq!(run.statuses(), ["ok"], "{}", run.stderr);
    let lines = run.records("output");
    let label = |text: &str| &lines.iter().find(|line| line["line"] == text).unwrap()["job"];
    assert_eq!((label("of 1"), label("of 12345").is_null()), (&1.into(), true), "{lines:?}");
}

#[test]
fn a_flood_of_progress_is_thinned_and_odd_fractions_are_bounded() {
    let progress =
        |fraction: &str| format!(r#"{{"type":"progress","id":%ID%,"fraction":{fraction}}}"#);
    let mut messages: Vec<_> = (0..500).map(|_| progress("1e300")).collect();
    messages.push(progress("-7"));
    messages.push(r#"{"type":"reply","id":%ID%,"attempt":%ATTEMPT%,"result":"done"}"#.into());
    let run = Run::of([fixture("vile"), "raw".into()]).with("--workers 1 --events events").jsonl();
    let events = run.scratch.file("events", "", 0o644);
    let run = run.given([messages.join("\t")]).start();
    let mut file = fs::File::open(events).unwrap();
    let run = run.finish();
    assert_eq!(run.statuses(), ["ok"], "{}", run.stderr);
    let text = std::io::read_to_string(&mut file).unwrap();
    let count = tap::records(&text).iter().filter(|record| record["type"] == "progress").count();
    assert!(count <= 3, "{count} records");
}
