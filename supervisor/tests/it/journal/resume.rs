//! The same command with the same journal resumes: done jobs are not repeated, and none is forgotten.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use crate::support::{Finished, Run, SUPERVISOR, Value, files::Scratch, fixture, tap};

/// A journal, and a log to which the jobs append their input.
struct Workspace {
    scratch: Scratch,
}

impl Workspace {
    fn new() -> Self {
        let scratch = Scratch::new();
        scratch.file("witness", "", 0o644);
        Self { scratch }
    }

    fn journal(&self) -> PathBuf {
        self.scratch.path().join("journal")
    }

    /// What the jobs have logged since the last call, sorted.
    fn witnessed(&self) -> Vec<String> {
        let path = self.scratch.path().join("witness");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, "").unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// A run with a command per line, which logs its input.
    fn each(&self, lines: &str) -> Run {
        let witness = self.scratch.path().join("witness");
        let script = "echo \"$2\" >> \"$1\"; test ! -e \"$1.fails.$2\" && echo \"did $2\"";
        let run = Run::each(["sh", "-c", script, "sh", witness.to_str().unwrap(), "{}"]);
        run.with("-w 2").fed(lines).recorded(&self.journal())
    }

    /// Makes the job with this input fail from now on, or succeed again.
    fn fails(&self, input: &str, fails: bool) {
        let path = self.scratch.path().join(format!("witness.fails.{input}"));
        if fails { fs::write(path, "").unwrap() } else { fs::remove_file(path).unwrap() }
    }

    fn ask(&self, words: &[&str]) -> Output {
        let (verb, rest) = words.split_first().unwrap();
        let mut command = Command::new(SUPERVISOR);
        command.args(["journal", verb]).arg(self.journal()).args(rest).output().unwrap()
    }

    /// The IDs and inputs of the recorded jobs.
    fn jobs(&self) -> Vec<(u64, String)> {
        let out = self.ask(&["ls", "--all", "--format", "jsonl"]).stdout;
        let records = tap::records(str::from_utf8(&out).unwrap());
        let one = |it: &Value| (it["id"].as_u64().unwrap(), it["input"].as_str().unwrap().into());
        records.iter().filter(|it| it["type"] == "job").map(one).collect()
    }
}

fn sorted(run: &Finished) -> Vec<&str> {
    let mut lines = run.lines();
    lines.sort_unstable();
    lines
}

#[test]
fn added_removed_and_moved_lines_run_each_job_once() {
    let dir = Workspace::new();
    let run = dir.each("a\nb\nc\nb\n").finish();
    assert_eq!((run.code(), sorted(&run)), (Some(0), vec!["did a", "did b", "did b", "did c"]));
    assert!(run.stderr.ends_with(": sync batch\n"), "{}", run.stderr);
    assert_eq!(dir.witnessed(), ["a", "b", "b", "c"]);
    // Now there is a third `b` and no `a`.
    let run = dir.each("b\nd\nc\nb\nb\n").finish();
    assert_eq!((run.code(), sorted(&run)), (Some(0), vec!["did b", "did d"]), "{}", run.stderr);
    assert!(run.stderr.contains("journal: 3 done, 2 new, 1 gone\n"), "{}", run.stderr);
    assert_eq!(dir.witnessed(), ["b", "d"]);
    // A line that returns is recognised.
    let run = dir.each("a\nb\nd\nb\nc\nb\n").finish();
    assert_eq!((run.code(), run.lines().len()), (Some(0), 0), "{}", run.stderr);
    assert!(run.stderr.contains("journal: 6 done, 0 new, 0 gone\n"), "{}", run.stderr);
    assert_eq!(dir.witnessed(), [""; 0]);
    let jobs = dir.jobs();
    let numbers: Vec<_> = jobs.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    // The journal is one file, with nothing beside it.
    let files = dir.scratch.files();
    assert_eq!(files.len(), 2, "{files:?}");
}

#[test]
fn resuming_from_a_pipe_reports_at_the_end() {
    let dir = Workspace::new();
    let piped = |lines: &str| {
        let run = Run::each(["echo", "{#}", "{}"]).with("-w 1");
        run.piped(lines).recorded(&dir.journal()).finish()
    };
    assert_eq!(piped("a\nb\n").lines(), ["1 a", "2 b"]);
    let run = piped("c\nb\n");
    // Jobs keep their IDs, and new jobs get new ones.
    assert_eq!(run.lines(), ["3 c"]);
    let printed: Vec<_> = run.stderr.lines().collect();
    assert!(
        printed.last().unwrap().ends_with("journal: 1 done, 1 new, 1 gone; sync batch"),
        "{printed:?}"
    );
    assert_eq!(printed.len(), 2, "{printed:?}");
}

#[test]
fn failed_jobs_run_again_only_with_retry_failed() {
    let dir = Workspace::new();
    dir.fails("b", true);
    let run = dir.each("a\nb\nc\n").finish();
    assert_eq!((run.code(), dir.witnessed().len()), (Some(1), 3), "{}", run.stderr);
    // The job failed before, so the run as a whole fails.
    let run = dir.each("a\nb\nc\n").finish();
    assert_eq!((run.code(), dir.witnessed().len()), (Some(1), 0), "{}", run.stderr);
    assert!(run.stderr.contains("journal: 2 done, 1 failed, 0 new, 0 gone\n"), "{}", run.stderr);
    let reported = "supervisor: 1 failed before and were not run again: --retry-failed runs them\n";
    assert!(run.stderr.ends_with(reported), "{}", run.stderr);
    let run = dir.each("a\nb\nc\n").with("--retry-failed").finish();
    assert_eq!((run.code(), dir.witnessed()), (Some(1), vec!["b".to_owned()]), "{}", run.stderr);
    dir.fails("b", false);
    let run = dir.each("a\nb\nc\n").with("--retry-failed").finish();
    assert_eq!((run.code(), run.lines()), (Some(0), vec!["did b"]), "{}", run.stderr);
    let run = dir.each("a\nb\nc\n").finish();
    assert_eq!((run.code(), run.lines().len()), (Some(0), 0), "{}", run.stderr);
}

#[test]
fn a_changed_program_or_setting_is_refused_unless_accepted() {
    let dir = Workspace::new();
    let run = |program: &[&str], options: &str| {
        let run = Run::each(program).with(options);
        run.with("-w 1").fed("a\n").recorded(&dir.journal()).finish()
    };
    assert_eq!(run(&["echo"], "--timeout 30s --env A=1").code(), Some(0));
    let refused = run(&["echo", "x"], "--timeout 1m --env A=1");
    assert_eq!((refused.code(), refused.lines().len()), (Some(2), 0));
    assert_eq!(
        refused.stderr,
        "supervisor: the journal belongs to another run:\n  \
         program: was [\"echo\"], is [\"echo\", \"x\"]\n  --timeout: was 30s, is 60s\n\
         run it as before, name another file, or continue with --accept-change\n"
    );
    let refused = run(&["echo"], "--timeout 30s --env A=2 --memory 1G");
    assert!(refused.stderr.contains("\n  --env A: was 1, is 2\n  --memory: was not set, is 1G\n"));
    // The same input with another command is another job.
    let accepted = run(&["echo", "x"], "--timeout 30s --env A=1 --accept-change");
    assert_eq!((accepted.code(), accepted.lines()), (Some(0), vec!["x a"]), "{}", accepted.stderr);
    assert!(accepted.stderr.starts_with("supervisor: program: was [\"echo\"], is"));
    // Settings are compared with those of the last run.
    assert_eq!(run(&["echo", "x"], "--timeout 30s --env A=1").lines().len(), 0);
}

#[test]
fn a_rebuilt_worker_counts_as_changed() {
    let dir = Workspace::new();
    let program = dir.scratch.path().join("worker");
    let run = |options: &str| {
        let run = Run::of([&program]).with(options).with("-w 1").given(["echo a"]);
        run.recorded(&dir.journal()).finish()
    };
    fs::copy(fixture("echo"), &program).unwrap();
    assert_eq!(run("").lines(), ["echo a"]);
    fs::remove_file(&program).unwrap();
    fs::copy(fixture("work"), &program).unwrap();
    let refused = run("");
    assert_eq!(refused.code(), Some(2));
    assert!(refused.stderr.contains("\n  the program's file: was "), "{}", refused.stderr);
    let accepted = run("--accept-change");
    assert_eq!((accepted.code(), accepted.lines().len()), (Some(0), 0), "{}", accepted.stderr);
}

#[test]
fn journal_retry_runs_a_job_under_its_original_settings() {
    let dir = Workspace::new();
    dir.fails("b c", true);
    let run = dir.each("a\nb c\n").with("--timeout 30s --retries 1 --retry-delay 1ms").finish();
    assert_eq!((run.code(), dir.witnessed().len()), (Some(1), 3), "{}", run.stderr);
    let retry = |words: &[&str]| {
        let out = dir.ask(&[&["retry"], words].concat());
        let texts = [out.stdout, out.stderr].map(|text| String::from_utf8(text).unwrap());
        (out.status.code(), texts)
    };
    let number = dir.jobs().iter().find(|(_, input)| input == "b c").unwrap().0.to_string();
    let (code, [out, printed]) = retry(&[&number]);
    assert_eq!((code, out.as_str(), dir.witnessed().len()), (Some(1), "", 1), "{printed}");
    dir.fails("b c", false);
    let (code, [out, printed]) = retry(&[&number]);
    assert_eq!((code, out.as_str()), (Some(0), "did b c\n"), "{printed}");
    let (code, [_, printed]) = retry(&[&number]);
    assert_eq!((code, printed.contains("is done: there is nothing")), (Some(2), true), "{printed}");
    let (code, [_, printed]) = retry(&["77"]);
    assert_eq!((code, printed.contains("they are 1 to 2")), (Some(2), true), "{printed}");
    let shown = String::from_utf8(dir.ask(&["show", &number]).stdout).unwrap();
    assert!(shown.contains("attempt 1 of run 3"), "{shown}");
    // The run resumes as usual.
    let run = dir.each("a\nb c\n").with("--timeout 30s --retries 1 --retry-delay 1ms").finish();
    assert_eq!((run.code(), dir.witnessed().len() - 1), (Some(0), 0), "{}", run.stderr);
}

#[test]
fn journal_retry_keeps_the_evidence_of_earlier_attempts() {
    let dir = Workspace::new();
    let once = dir.scratch.file("once", "", 0o644);
    let job = format!("once {}; print words", once.display());
    let run = Run::worker("work").with("-w 2 --memory 64M").given(["exit 3", &job, "echo"]);
    let run = run.recorded(&dir.journal()).finish();
    assert_eq!((run.code(), run.lines()), (Some(1), vec!["echo"]), "{}", run.stderr);
    let shown = String::from_utf8(dir.ask(&["show", "1"]).stdout).unwrap();
    assert!(shown.contains("its worker died: code 3") && shown.contains("data"), "{shown}");
    let out = dir.ask(&["retry", "2"]);
    assert_eq!(
        (out.status.code(), str::from_utf8(&out.stdout).unwrap()),
        (Some(0), &*(job + "\n"))
    );
    let out = dir.ask(&["retry", "1"]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
}

#[test]
fn a_journal_has_one_writer_and_needs_jobs() {
    let dir = Workspace::new();
    let (run, mut feed) = Run::worker("work").with("-w 1").fed_live();
    let run = run.jsonl().recorded(&dir.journal()).start();
    feed.push("echo");
    run.stdout.until("a job", |text| text.contains("\"job\"").then_some(()));
    let other = Run::worker("work").given(["echo"]).recorded(&dir.journal()).finish();
    assert_eq!(other.code(), Some(5), "{}", other.stderr);
    assert!(other.stderr.contains("is being written by another supervisor"), "{}", other.stderr);
    drop(feed);
    assert_eq!(run.finish().code(), Some(0));
    let none = Run::sh("true").recorded(&dir.journal()).finish();
    assert_eq!(none.code(), Some(2));
    assert!(none.stderr.contains("--journal is about jobs"), "{}", none.stderr);
    let text = dir.scratch.file("text", "not a journal, whatever its name", 0o644);
    let refused = Run::worker("work").given(["echo"]).recorded(&text).finish();
    assert_eq!(refused.code(), Some(5), "{}", refused.stderr);
    assert!(refused.stderr.contains("text is not a journal: "), "{}", refused.stderr);
}

#[test]
fn an_oversized_job_is_refused_in_every_run() {
    let dir = Workspace::new();
    let long = "x".repeat(9000);
    let run = || {
        let run = Run::worker("echo").with("--max-frame 8k -w 1").jsonl();
        run.fed(format!("a\n{long}\nb\n")).recorded(&dir.journal()).finish()
    };
    let (first, second) = (run(), run());
    let statuses = |run: &Finished| -> Vec<String> {
        run.records("job").iter().map(|job| format!("{}{}", job["id"], job["status"])).collect()
    };
    let mut all = statuses(&first);
    all.sort();
    assert_eq!(all, ["1\"ok\"", "2\"too_long\"", "3\"ok\""], "{}", first.stderr);
    assert_eq!((second.code(), statuses(&second)), (Some(1), vec!["2\"too_long\"".into()]));
    let out = dir.ask(&["retry", "2"]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
}
