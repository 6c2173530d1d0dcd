//! Where a journal is, and where its jobs were run.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::support::{Run, SUPERVISOR, files::Scratch};

/// Runs the supervisor in a directory and returns its status, stdout and stderr.
fn supervisor(directory: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(SUPERVISOR).args(words).current_dir(directory).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Two directories, each with a file `x`.
fn two(scratch: &Scratch) -> [std::path::PathBuf; 2] {
    ["a", "b"].map(|name| {
        let directory = scratch.path().join(name);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("x"), name).unwrap();
        directory
    })
}

#[test]
fn a_journal_of_another_directory_skips_no_work_silently() {
    let scratch = Scratch::new();
    let [a, b] = two(&scratch);
    let words = ["each", "--journal", "../journal", "cat", ":::", "x"];
    assert_eq!(supervisor(&a, &words).1, "a");
    let (code, out, error) = supervisor(&b, &words);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{error}");
    let change = format!("directory: was {}, is {}", a.display(), b.display());
    assert!(error.contains(&change) && error.contains("--accept-change"), "{error}");
    // With the option it goes on, and says so.
    let accept =
        ["each", "--journal", "../journal", "--accept-change", "cat", ":::", "x", "/dev/null"];
    let (code, _, error) = supervisor(&b, &accept);
    assert_eq!(code, Some(0), "{error}");
    assert!(error.contains(&change) && error.contains("1 done, 1 new"), "{error}");
}

#[test]
fn a_retry_happens_in_the_directory_of_its_run() {
    let scratch = Scratch::new();
    let [a, b] = two(&scratch);
    fs::write(a.join("prog"), "#!/bin/sh\ncat \"$1\" && [ -e go ]\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(a.join("prog"), mode).unwrap();
    let words = ["each", "--journal", "../journal", "./prog", "{}", ":::", "x"];
    assert_eq!(supervisor(&a, &words).0, Some(1));
    fs::write(a.join("go"), "").unwrap();
    let (code, out, error) = supervisor(&b, &["journal", "retry", "../journal", "1"]);
    assert_eq!((code, out.as_str()), (Some(0), "a"), "{error}");
    // The right command continues: nothing was recorded that differs from it.
    let (code, _, error) = supervisor(&a, &words);
    assert_eq!(code, Some(0), "{error}");
}

#[test]
fn a_retry_that_cannot_run_its_program_records_nothing() {
    let scratch = Scratch::new();
    let [a, _] = two(&scratch);
    fs::copy("/bin/false", a.join("prog")).unwrap();
    let words = ["each", "--journal", "../journal", "./prog", "{}", ":::", "x"];
    assert_eq!(supervisor(&a, &words).0, Some(1));
    let runs = || {
        let (_, out, _) =
            supervisor(scratch.path(), &["journal", "show", "journal", "--format", "jsonl"]);
        out.lines().count()
    };
    fs::rename(a.join("prog"), a.join("away")).unwrap();
    let (code, _, error) = supervisor(scratch.path(), &["journal", "retry", "journal", "1"]);
    assert_eq!((code, runs()), (Some(127), 1), "{error}");
    fs::remove_dir_all(&a).unwrap();
    let (code, _, error) = supervisor(scratch.path(), &["journal", "retry", "journal", "1"]);
    assert_eq!((code, runs()), (Some(2), 1), "{error}");
    assert!(error.contains("which cannot be entered"), "{error}");
}

#[test]
fn an_exported_joblog_has_the_commands_of_the_live_one() {
    let scratch = Scratch::new();
    let words = [
        "each",
        "--journal",
        "j",
        "--joblog",
        "live",
        "--shell",
        "echo {1}-{2} {%}",
        ":::",
        "a",
        "b c",
        ":::",
        "1",
    ];
    assert_eq!(supervisor(scratch.path(), &words).0, Some(0));
    let (_, exported, _) = supervisor(scratch.path(), &["journal", "export", "joblog", "j"]);
    let live = fs::read_to_string(scratch.path().join("live")).unwrap();
    let commands = |text: &str| {
        let column = |line: &str| line.split('\t').nth(8).unwrap().to_owned();
        let mut commands: Vec<_> = text.lines().map(column).collect();
        commands.sort();
        commands
    };
    assert_eq!(commands(&exported), commands(&live));
    assert!(commands(&live).iter().any(|command| command.contains("echo a-1")), "{live}");
}

#[test]
fn a_journal_that_was_emptied_is_announced() {
    let run = || Run::each(["echo"]).with("-j 1");
    let scratch = Scratch::new();
    let journal = scratch.path().join("journal");
    let first = run().recorded(&journal).given(["a"]).finish();
    assert!(!first.stderr.contains("empty file"), "{}", first.stderr);
    fs::write(&journal, "").unwrap();
    let again = run().recorded(&journal).given(["a"]).finish();
    assert!(again.stderr.contains("the journal was an empty file"), "{}", again.stderr);
    fs::hard_link(&journal, scratch.path().join("second")).unwrap();
    let refused = run().recorded(&journal).given(["a"]).finish();
    assert_eq!(refused.code(), Some(5));
    assert!(refused.stderr.contains("has 2 names (hard links)"), "{}", refused.stderr);
}
