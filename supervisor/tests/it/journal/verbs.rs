//! `supervisor journal`: what it lists, shows, exports and refuses.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use crate::support::{
    SUPERVISOR, Value,
    files::Scratch,
    journals::{ENDING, done, ended, job, started},
};
use journal::{Header, OnLost, Opened, Record, Settled, State, Sync, identity::Digest};
use pool::{
    exit::{Cause, Evidence, Peak, Sender, Status},
    job::{AttemptEnd, Death, Failure, FailureKind},
    limits::{Limits, Resource},
    signal::Signal,
};

/// Writes a journal with a job in every state: one run that died, and one that ended.
fn make(path: &Path) {
    let mut header = Header {
        program: vec!["./worker".into(), "a\u{1b}b".into()],
        digest: Some(Digest::of(b"ELF")),
        settings: BTreeMap::from([("--timeout".into(), "30s".into())]),
        limits: Limits::default(),
    };
    header.limits.set(Resource::OpenFiles, 64);
    let begin = |seconds| {
        let opened = Opened::new(path, Sync::Batch).unwrap();
        opened.begin(header.clone(), Duration::from_secs(seconds), OnLost::Rerun).unwrap().0
    };
    let evidence = Evidence {
        status: Status::Signal { signal: Signal::SEGV, core: true },
        wall: Duration::from_millis(5),
        cpu: Duration::from_millis(3),
        own_cpu: Duration::from_millis(2),
        cpu_limit: None,
        peak: Peak { bytes: 3 << 20, exact: true },
        says_out_of_memory: false,
        kernel_oom: false,
        left: Vec::new(),
    };
    let (cause, last_output) = (Cause::Signal(Sender::Itself), b"last\x1b words\n\xff".to_vec());
    let death = Box::new(Death { cause, evidence: Some(evidence), last_output });
    let failure = Box::new(Failure {
        kind: FailureKind::Error,
        message: "no such host".into(),
        place: Some("src/main.rs:7:5".into()),
    });
    let mut store = begin(1_800_000_000);
    let jobs: Vec<_> = ["one", "two", "three \u{202e}", "four", "five"]
        .iter()
        .zip(1..)
        .map(|(payload, number)| job(number, payload.as_bytes()))
        .collect();
    store.append(&jobs).unwrap();
    store.append(&[started(1), started(2), started(4)]).unwrap();
    let crashed = |number, settles| ended(2, number, AttemptEnd::Crashed(death.clone()), settles);
    store.append(&[done(1), crashed(1, None)]).unwrap();
    store.append(&[Record::Sent { first: 1, last: 1 }]).unwrap();
    drop(store);
    let mut store = begin(1_800_000_030);
    store.append(&[started(2), started(3), started(4)]).unwrap();
    let failed = ended(3, 1, AttemptEnd::Error(failure), Some(Settled::Failed));
    store.append(&[crashed(1, Some(Settled::Crashed)), failed]).unwrap();
    store.append(&[Record::Sent { first: 2, last: 3 }]).unwrap();
    store.close(ENDING).unwrap();
}

fn journal<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(SUPERVISOR).arg("journal").args(words).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn path_of(directory: &Scratch, name: &str) -> (PathBuf, String) {
    let path = directory.path().join(name);
    let text = path.to_str().unwrap().to_owned();
    (path, text)
}

/// A journal in version 1 of the format, and its export; both are under version control.
fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journals").join(name)
}

#[test]
fn a_version_1_journal_still_reads_the_same() {
    let scratch = Scratch::new();
    let (path, name) = path_of(&scratch, "v1");
    // Reading does not change the file, but the test does not rely on that.
    fs::copy(kept("v1.journal"), &path).unwrap();
    let (code, jsonl, printed) = journal(["export", "jsonl", &name]);
    assert_eq!((code, printed.as_str()), (Some(0), ""));
    assert_eq!(jsonl, fs::read_to_string(kept("v1.jsonl")).unwrap());
    // A run can continue it.
    let opened = Opened::new(&path, Sync::Batch).unwrap();
    assert_eq!(opened.runs().len(), 2);
    let states = [State::Ok, State::Crashed, State::Failed, State::Running, State::Waiting];
    assert_eq!(opened.recorded().states, states);
    drop(opened);
    // A journal written now exports the same.
    let (today, name) = path_of(&scratch, "today");
    make(&today);
    assert_eq!(journal(["export", "jsonl", &name]).1, jsonl);
}

#[test]
fn ls_lists_unfinished_and_failed_jobs() {
    let scratch = Scratch::new();
    let (path, name) = path_of(&scratch, "run.journal");
    make(&path);
    let (code, text, printed) = journal(["ls", &name]);
    assert_eq!((code, printed.as_str()), (Some(0), ""));
    let (summary, list) = text.split_once('\n').unwrap();
    let counts = "2 runs, 5 jobs: 1 ok, 1 failed, 1 quarantined, 1 lost, 1 waiting";
    assert_eq!(summary, format!("{name}: {counts}"));
    let lines: Vec<Vec<&str>> =
        list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["job", "state", "tries", "took", "input", "why"]);
    assert_eq!(lines[1][..5], ["2", "quarantined", "2", "1.3", "ms"]);
    assert!(list.contains("its worker died: code 139 (SIGSEGV, core dumped)"), "{list}");
    assert!(list.contains("three <U+202E>") && list.contains("no such host (src/main.rs:7:5)"));
    assert_eq!(lines[3], ["4", "lost", "2", "four"]);
    assert_eq!(lines.len(), 4);
    let (_, text, _) = journal(["ls", "--state", "waiting", &name]);
    assert_eq!(text.lines().count(), 3);
    let (_, text, _) = journal(["ls", "--all", "--format", "jsonl", &name]);
    assert_eq!(text, journal(["export", "jsonl", &name]).1);
    let records: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let states: Vec<_> = records.iter().map(|record| record["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["ok", "quarantined", "failed", "interrupted", "not_run"]);
    assert_eq!(records[1]["limits"]["nofile"], 64);
    // Times count from the start of the first run.
    assert_eq!(records[1]["attempts"][1]["began_ms"], 30_012.3);
    assert_eq!(records[3]["attempts"][0]["cause"], "lost");
}

#[test]
fn show_prints_attempts_evidence_and_settings() {
    let scratch = Scratch::new();
    let (path, name) = path_of(&scratch, "run.journal");
    make(&path);
    let (code, text, _) = journal(["show", &name, "2", "4"]);
    assert_eq!(code, Some(0));
    for wanted in [
        "job 2: quarantined\n  number 2 in the input of run 1; known by ",
        "    input:\n      | two\n",
        "attempt 1 of run 1, by w2.7 (PID 4123), began after 12 ms: took 1.3 ms: its worker died: \
         code 139 (SIGSEGV, core dumped)\n    lived 5.0 ms, used 3.0 ms of CPU, peak memory 3.0 MiB\n",
        "    last output:\n      | last^[ words\n      | \\xff\n",
        "limits in force: ",
        "job 4: lost\n",
        "began after 12 ms: the supervisor died while it ran\n",
        "began after 12 ms: its end is not recorded\n",
    ] {
        assert!(text.contains(wanted), "{wanted}\n---\n{text}");
    }
    let (_, text, _) = journal(["show", &name]);
    let times = "began 2027-01-15T08:00:30Z, ended 2027-01-15T08:01:00Z with status 1; sync batch";
    assert!(text.contains(times), "{text}");
    assert!(text.contains("began 2027-01-15T08:00:00Z, died; sync batch"), "{text}");
    assert!(text.contains("  program: ./worker a^[b\n  --timeout: 30s\n"), "{text}");
    let (_, text, _) = journal(["show", "--format", "jsonl", &name]);
    let run: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&run["program"][1], &run["type"]), (&"a\u{1b}b".into(), &"run".into()));
    assert!(text.is_ascii() && !text.contains('\u{1b}'));
    let (code, _, printed) = journal(["show", &name, "6"]);
    assert_eq!(code, Some(2));
    assert!(printed.contains("there is no job 6 in this journal: they are 1 to 5"), "{printed}");
}

#[test]
fn export_joblog_has_a_line_for_each_attempt() {
    let scratch = Scratch::new();
    let (path, name) = path_of(&scratch, "run.journal");
    make(&path);
    let (_, text, _) = journal(["export", "joblog", &name]);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines[0][..3], ["Seq", "Host", "Starttime"]);
    assert_eq!((lines[2][0], lines[2][2], lines[2][6]), ("2", "1800000000.012", "139"));
    assert_eq!((lines[3][0], lines[3][2], lines[3][8]), ("2", "1800000030.012", "two"));
    assert_eq!(lines.len(), 1 + 6);
}

#[test]
fn damage_is_reported_by_row_and_refused() {
    let scratch = Scratch::new();
    let (path, name) = path_of(&scratch, "run.journal");
    make(&path);
    let (code, text, _) = journal(["verify", &name]);
    assert!(code == Some(0) && text.ends_with("every row is as it was written\n"), "{text}");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(12).position(|window| window == b"no such host").unwrap();
    bytes[at] ^= 4;
    fs::write(&path, &bytes).unwrap();
    let (code, text, _) = journal(["verify", &name]);
    let row = "row 5 of attempts is not what was written: its sum does not fit";
    assert!(code == Some(5) && text == format!("{row}\n"), "{text}");
    let (code, text, printed) = journal(["ls", &name]);
    assert_eq!((code, text.as_str()), (Some(5), ""));
    let remedy = "take a copy from before that, or begin again with another file";
    assert_eq!(printed, format!("supervisor: the journal {name} is damaged: {row}; {remedy}\n"));
    for (name, why) in [("absent", "unable to open"), (SUPERVISOR, "it is no SQLite file")] {
        let (code, _, printed) = journal(["ls", name]);
        assert!(code == Some(5) && printed.contains(why), "{printed}");
    }
}

#[test]
fn a_live_journal_can_be_read_but_not_written() {
    let scratch = Scratch::new();
    let (path, name) = path_of(&scratch, "run.journal");
    let opened = Opened::new(&path, Sync::Batch).unwrap();
    let (mut store, _) =
        opened.begin(Header::default(), Duration::from_secs(1), OnLost::Rerun).unwrap();
    store.append(&[job(1, b"x"), started(1)]).unwrap();
    let (code, text, printed) = journal(["ls", &name]);
    assert_eq!((code, printed.as_str()), (Some(0), ""));
    assert!(
        text.starts_with(&format!("{name}: 1 run, 1 job: 1 running; being written\n")),
        "{text}"
    );
    let refused = Opened::new(&path, Sync::Batch).unwrap_err().to_string();
    assert!(refused.contains("is being written by another supervisor: wait until"), "{refused}");
    store.append(&[done(1)]).unwrap();
    store.close(ENDING).unwrap();
    assert!(journal(["ls", &name]).1.ends_with("1 run, 1 job: 1 ok\n"));
}

#[test]
fn a_pipe_is_no_journal_and_is_not_waited_for() {
    let scratch = Scratch::new();
    let (path, name) = path_of(&scratch, "pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for words in [&["ls", &name][..], &["show", &name], &["verify", &name], &["retry", &name, "1"]]
    {
        let (code, _, printed) = journal(words);
        assert_eq!(code, Some(5), "{words:?}");
        assert!(printed.contains("is not a journal: it is no regular file"), "{printed}");
    }
    // Nor is one beside it.
    let (path, name) = path_of(&scratch, "journal");
    make(&path);
    let lock = scratch.path().join("journal-lock");
    nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(journal(["ls", &name]).0, Some(0));
}
