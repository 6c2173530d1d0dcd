//! `supervisor each`: how commands end, what they write, and which orphans they leave.

use std::{
    fs,
    io::Read,
    time::{Duration, Instant},
};

use crate::support::{
    Finished, Run, Signal, Value, can,
    jobs::{causes, is_untouched},
    procfs, send, until,
};

/// The lines of the joblog in job order, split into columns.
fn joblog(run: Run) -> (Finished, Vec<Vec<String>>) {
    let path = run.scratch.file("joblog", "", 0o644);
    let run = run.with("--joblog joblog").start();
    // The directory is removed with the run, so the file is opened before.
    let copy = fs::File::open(path).unwrap();
    let run = run.finish();
    let mut text = String::new();
    { copy }.read_to_string(&mut text).unwrap();
    let mut lines: Vec<Vec<String>> =
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect();
    let head = lines.remove(0).join(" ");
    assert_eq!(
        head,
        "Seq Host Starttime JobRuntime Send Receive Exitval Signal Command Attempt Cause MaxRSS"
    );
    assert!(lines.iter().all(|columns| columns.len() == 12), "{lines:?}");
    lines.sort_by_key(|columns| columns[0].parse::<u64>().unwrap());
    (run, lines)
}

#[test]
fn every_exit_code_reaches_the_joblog() {
    let codes: Vec<String> = (0..256).map(|code| code.to_string()).collect();
    let (run, lines) = joblog(Run::each_sh("exit {}").given(&codes));
    for (code, columns) in lines.iter().enumerate() {
        let cause = if code == 0 { "ok" } else { "exit" };
        let reported = [&columns[6], &columns[7], &columns[8], &columns[9], &columns[10]];
        let expected = [&code.to_string(), "0", &format!("exit {code}"), "1", cause];
        assert_eq!(reported, expected);
    }
    assert_eq!((lines.len(), run.code()), (256, Some(1)));
}

#[test]
fn every_fatal_signal_reaches_the_joblog() {
    // Signals that are ignored by default, or that stop a process.
    let is_deadly = |number: &u32| ![17, 18, 19, 20, 21, 22, 23, 28].contains(number);
    let signals: Vec<String> = (1..=64).filter(is_deadly).map(|n| n.to_string()).collect();
    let kill = "import ctypes, os, sys; n = int(sys.argv[1]); ctypes.CDLL(None).signal(n, 0); \
                os.kill(os.getpid(), n)";
    let run = Run::each(["python3", "-S", "-c", kill, "{}"]).with("--limit core=0");
    let (_, lines) = joblog(run.given(&signals));
    assert_eq!(lines.len(), signals.len());
    for (signal, columns) in signals.iter().zip(&lines) {
        let code = 128 + signal.parse::<u32>().unwrap();
        assert_eq!([&columns[6], &columns[7]], [&code.to_string(), signal]);
        assert_eq!(columns[10], "signal", "{columns:?}");
    }
}

#[test]
fn causes_of_failure_are_distinguished() {
    let bomb = "python3 -S -c 'x=[b\"x\" * (1<<20) for _ in range(1<<12)]'";
    let causes = |lines: &[Vec<String>]| -> Vec<String> {
        lines.iter().map(|columns| columns[10].clone()).collect()
    };
    let jobs = ["exit 3", "kill -9 $$", bomb, "no-such-program", "true"];
    let run = Run::each(["--"; 0]).with("--shell -j 2 -m 256M").given(jobs);
    let (run, lines) = joblog(run);
    let reported = ["exit", "signal", "memory", "exit", "ok"];
    assert_eq!(causes(&lines), reported, "{}", run.stderr);
    let peak: u64 = lines[2][11].parse().unwrap();
    assert!((200 << 10..300 << 10).contains(&peak), "{peak} KiB");
    let run = Run::each(["--"; 0]).with("--shell --timeout 1s").given(["sleep 600"]);
    let (run, lines) = joblog(run);
    assert_eq!(causes(&lines), ["timeout"], "{}", run.stderr);
}

#[test]
fn a_command_stopped_with_the_run_does_not_count_as_failed() {
    let run = Run::each_sh("echo {}; sleep 600").with("-j 2 --output lines --grace 1s");
    let path = run.scratch.file("joblog", "", 0o644);
    let run = run.with("--joblog joblog").given(["a", "b", "c"]).start();
    until("both run", || run.stdout.text().lines().count() == 2);
    let log = fs::File::open(path).unwrap();
    run.signal(Signal::SIGINT);
    let run = run.finish();
    assert_eq!(run.signal(), Some(Signal::SIGINT));
    assert!(run.summary().contains("2 interrupted, 1 not run"), "{}", run.stderr);
    let mut text = String::new();
    { log }.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("\tshutdown\t")).count(), 2, "{text}");
}

#[test]
fn orphans_of_a_command_are_named_and_killed() {
    let scripts = [
        // The orphan holds the output open.
        "setsid sleep 600 & exit 0",
        // It does not. (Otherwise the launcher might see the child before it closes the output.)
        "exec >/dev/null 2>&1; setsid sleep 600 & exec true",
        // A daemon that has left its parents.
        "exec >/dev/null 2>&1; (setsid sh -c 'sleep 600 & sleep 600' &) ; exit 3",
        "true",
    ];
    let run = Run::each(["--"; 0]).with("--shell -j 1").jsonl().given(scripts).finish();
    let jobs = run.jobs();
    let attempt = |job: &Value| job["attempts"][0].clone();
    assert_eq!(run.statuses(), ["ok", "ok", "failed", "ok"]);
    for (index, leaked) in [(0, true), (1, false), (2, false)] {
        let attempt = attempt(&jobs[index]);
        assert_eq!(attempt.get("leaked").is_some(), leaked, "{attempt}");
        assert!(!attempt["left_behind"].as_array().unwrap().is_empty(), "{attempt}");
        assert!(attempt["wall_ms"].as_f64().unwrap() < 10_000.0, "{attempt}");
    }
    assert_eq!(attempt(&jobs[3]).get("left_behind"), None);
    assert!(run.stderr.contains("job 1 left 1 process: "), "{}", run.stderr);
    assert!(run.stderr.contains(", which held its output open; killed"), "{}", run.stderr);
}

#[test]
fn a_child_that_exits_shortly_after_its_command_is_not_an_orphan() {
    // On a busy machine the child may not end in time.
    until("the end in time of what goes on for a moment", || {
        let run = Run::each(["--"; 0]).with("--shell -j 1").jsonl();
        let run = run.given(["sleep 0.01 & echo said"]).finish();
        let attempt = &run.jobs()[0]["attempts"][0];
        assert_eq!((run.statuses(), &attempt["stdout"]), (vec!["ok".into()], &"said\n".into()));
        attempt.get("left_behind").is_none()
    });
}

#[test]
fn a_reader_that_closes_stdout_ends_the_run_by_sigpipe() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let numbers = (1..=100_000).fold(String::new(), |text, n| text + &n.to_string() + "\n");
    let run = Run::each(["echo"]).with("-j 2").piped(numbers).stdout(writer).start();
    reader.read_exact(&mut [0]).unwrap();
    drop(reader);
    let run = run.finish();
    assert_eq!((run.signal(), run.stderr.as_str()), (Some(Signal::SIGPIPE), ""));
}

#[test]
fn no_command_outlives_a_killed_supervisor() {
    let scripts = ["echo a; setsid sleep 600; true", "echo b; sleep 600 & trap '' TERM; sleep 600"];
    let run = Run::each(["--"; 0]).with("--shell -j 2 --output lines").given(scripts).start();
    until("both run", || run.stdout.text().lines().count() == 2);
    let launchers: Vec<_> = run.workers().iter().map(|child| child.pid).collect();
    assert_eq!(launchers.len(), 2);
    run.signal(Signal::SIGKILL);
    until("the end of the launchers", || launchers.iter().all(|pid| !procfs::is_alive(*pid)));
    // `finish` checks that the commands have ended too.
    assert_eq!(run.finish().signal(), Some(Signal::SIGKILL));
}

#[test]
fn a_killed_launcher_loses_no_job_and_leaves_no_process() {
    let script = "echo $$; if [ $SUPERVISOR_ATTEMPT = 1 ]; then sleep 600 & sleep 600; fi";
    let run = Run::each_sh(script).with("-j 1 --output lines").given(["x"]).start();
    until("it runs", || run.stdout.text().lines().count() == 1);
    let launcher = run.workers()[0].pid;
    // By then the launcher has reported which process runs the job.
    procfs::until_idle(launcher, Duration::from_millis(50));
    send(launcher, Signal::SIGKILL);
    let run = run.finish();
    assert_eq!((run.code(), run.lines().len()), (Some(0), 2), "{}", run.stderr);
    assert!(run.stderr.contains("job 1 (attempt 1, w1.1)"), "{}", run.stderr);
    assert!(run.stderr.contains("again, uncharged"), "{}", run.stderr);
}

#[test]
fn output_follows_the_selected_format() {
    let script = "printf '%s\\n' {} out; echo err >&2; printf end";
    let of = |options: &str| {
        let run = Run::each_sh(script).with(options).with("-k -j 4").given(["b", "a"]).finish();
        let own = |line: &&str| !line.contains("jobs: ");
        let stderr: Vec<String> = run.stderr.lines().filter(own).map(str::to_owned).collect();
        (run.stdout_text().to_owned(), stderr)
    };
    let errors = || vec!["err".to_owned(); 2];
    assert_eq!(of(""), ("b\nout\nenda\nout\nend".into(), errors()));
    let tagged = "b\tb\nb\tout\nb\tenda\ta\na\tout\na\tend";
    assert_eq!(of("--tag"), (tagged.into(), vec!["b\terr".into(), "a\terr".into()]));
    assert_eq!(of("--output none"), (String::new(), Vec::new()));
    for options in ["--output lines", "--lb"] {
        let (stdout, stderr) = of(options);
        let mut lines: Vec<_> = stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!((lines, stderr), (vec!["a", "b", "end", "end", "out", "out"], errors()));
    }
    let (stdout, _) = of("--output raw");
    assert_eq!((stdout.len(), stdout.matches("end").count()), (18, 2));
}

#[test]
fn output_files_are_written_for_each_attempt() {
    let script = "echo {} $SUPERVISOR_ATTEMPT; echo err >&2; [ $SUPERVISOR_ATTEMPT = 2 ]";
    let run = Run::each_sh(script).with("--retries 1 --retry-delay 0s");
    let directory = std::env::temp_dir().join(format!("supervisor-each-{}", std::process::id()));
    let run = run.option("--output", format!("files:{}", directory.display()));
    let dry = Run::each_sh("true").with("--dry-run");
    let dry =
        dry.option("--output", format!("files:{}", directory.display())).given(["x"]).finish();
    assert!(dry.code() == Some(0) && !directory.exists(), "{}", dry.stderr);
    let run = run.given(["x", "y"]).finish();
    let again = Run::each_sh("true").option("--output", format!("files:{}", directory.display()));
    let again = again.given(["x"]).finish();
    assert_eq!(again.code(), Some(2));
    assert!(again.stderr.contains("it holds output of another run, such as "), "{}", again.stderr);
    let mut files: Vec<(String, String)> = fs::read_dir(&directory)
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    fs::remove_dir_all(&directory).unwrap();
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    assert_eq!(
        files[..3],
        [file("1.1.stderr", "err\n"), file("1.1.stdout", "x 1\n"), file("1.stderr", "err\n")]
    );
    assert_eq!(files[3], file("1.stdout", "x 2\n"), "the last attempt");
    assert_eq!((files.len(), run.code(), run.stdout_text()), (8, Some(0), ""));
}

#[test]
fn limits_apply_before_the_first_instruction_on_a_single_core() {
    let jobs: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
    let run = Run::each_sh("[ $(ulimit -n) = 77 ] || exit 9").with("-j 2 --limit nofile=77");
    let run = run.under(["taskset", "-c", "0"]).given(&jobs).finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    assert!(run.summary().starts_with("3000 jobs: 3000 ok"), "{}", run.summary());
}

#[test]
fn commands_see_their_job_in_the_environment() {
    let script = "echo $SUPERVISOR_JOB $SUPERVISOR_ATTEMPT $SUPERVISOR_SLOT/$SUPERVISOR_WORKERS \
                  ${SUPERVISOR_WIRE-none} ${SUPERVISOR_WORKER-none}; [ $SUPERVISOR_ATTEMPT = 2 ]";
    let run = Run::each_sh(script).with("-j 1 --retries 3 --retry-delay 0s").given(["x"]).finish();
    assert_eq!((run.stdout_text(), run.code()), ("1 2 1/1 none none\n", Some(0)));
    assert!(run.summary().contains("1 tried again"), "{}", run.summary());
}

#[test]
fn the_input_can_be_passed_on_stdin() {
    let long = "x".repeat(1 << 20);
    let run = Run::each(["wc", "-c"]).with("--stdin -k").piped(format!("{long}\n\nabc\n")).finish();
    assert_eq!(run.stdout_text(), "1048576\n0\n3\n");
    // A command that does not read its input does not block the run.
    let run = Run::each(["true"]).with("--stdin").piped(format!("{long}\n")).finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    // Without `--stdin` there is nothing to read.
    let run = Run::each_sh("wc -c # {}").piped("a\nb\n").finish();
    assert_eq!(run.stdout_text(), "0\n0\n");
}

#[test]
fn an_input_with_a_zero_byte_fails_unless_passed_on_stdin() {
    let run = Run::each(["echo"]).jsonl().piped("a\0b\nc\n").finish();
    assert_eq!(run.statuses(), ["failed", "ok"]);
    let message = run.jobs()[0]["attempts"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("zero byte") && message.contains("--stdin"), "{message}");
    let run = Run::each(["echo"]).with("-0 -k").piped("a\0b c\0").finish();
    assert_eq!(run.stdout_text(), "a\nb c\n");
}

#[test]
fn a_missing_program_is_reported_before_any_job_runs() {
    let run = Run::each(["no-such-program"]).given(["x"]).finish();
    assert_eq!((run.code(), run.stdout_text()), (Some(127), ""));
    assert!(run.stderr.contains("no-such-program: not found in PATH"), "{}", run.stderr);
    // If the input names the program, only that job fails.
    let run = Run::each(["{}"]).jsonl().given(["no-such-program", "true"]).finish();
    assert_eq!((run.statuses(), run.code()), (vec!["failed".into(), "ok".into()], Some(1)));
    assert_eq!(causes(&run.jobs()[0]), ["could_not_start"]);
    assert!(is_untouched(&run.jobs()[1]), "{:?}", run.jobs());
}

#[test]
fn delay_spaces_out_job_starts() {
    let begun = Instant::now();
    let run = Run::each(["true"]).with("-j 4 --delay 100ms").given(["a", "b", "c"]).finish();
    // The simulation checks the distance between any two starts.
    assert!(begun.elapsed() >= Duration::from_millis(200), "{}", run.stderr);
    assert_eq!(run.code(), Some(0));
}

#[test]
fn max_fail_halt_and_deadline_stop_the_run() {
    let jobs = || (1..=1000).map(|n| n.to_string());
    let run = Run::each_sh("exit 1").with("-j 2 --max-fail 3").given(jobs()).finish();
    assert_eq!(run.code(), Some(3), "{}", run.stderr);
    let run =
        Run::each_sh("sleep {}").with("-j 2 --halt now,success=1").given(["0", "600"]).finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let run = Run::each(["sleep"]).with("--deadline 300ms --grace 1s").given(["600"]).finish();
    assert_eq!(run.code(), Some(124), "{}", run.stderr);
}

#[test]
fn a_run_that_halts_with_what_it_was_for_has_succeeded() {
    let code = |halt: &str, jobs: &[&str]| {
        let run = Run::each_sh("[ {} = a ] || exit 3").with("-j 1 --halt").with(halt);
        run.given(jobs).finish().code()
    };
    assert_eq!(code("now,success=1", &["b", "a", "a"]), Some(0));
    assert_eq!(code("soon,done=2", &["a", "a", "a"]), Some(0));
    assert_eq!(code("soon,done=2", &["b", "a", "a"]), Some(3));
    assert_eq!(code("now,fail=1", &["a", "b", "a"]), Some(3));
}

#[test]
fn a_command_that_ends_well_after_its_time_has_failed_in_the_joblog() {
    let script = "trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let (run, lines) = joblog(Run::each_sh(script).with("--timeout 200ms").given(["x"]));
    assert_eq!(
        ([&lines[0][6], &lines[0][7], &lines[0][10]], run.code()),
        ([&"124".to_owned(), &"0".to_owned(), &"timeout".to_owned()], Some(1))
    );
}

#[test]
fn a_command_that_ignores_term_is_killed_after_the_grace_period() {
    let script = "trap '' TERM; while :; do sleep 0.05; done";
    let run = Run::each_sh(script).with("--timeout 200ms --grace 200ms").jsonl().given(["x"]);
    let run = run.finish();
    let job = &run.jobs()[0];
    assert_eq!((causes(job), &job["attempts"][0]["code"]), (vec!["timeout".into()], &137.into()));
    assert_eq!(run.code(), Some(1));
}

#[test]
fn an_unwritable_joblog_ends_the_run() {
    let words = "--joblog /dev/full cannot be written: No space left on device";
    let run = Run::each(["true"]).with("--joblog /dev/full").given(["x"]).finish();
    assert_eq!((run.code(), run.stderr.matches(words).count()), (Some(5), 1), "{}", run.stderr);
    let run = Run::each(["true"]).with("--joblog /nowhere/log").given(["x"]).finish();
    assert_eq!((run.code(), run.stdout_text()), (Some(125), ""));
    let printed = "supervisor: --joblog /nowhere/log cannot be written: No such file or directory (os error 2): name another file\n";
    assert_eq!(run.stderr, printed);
}

#[test]
fn a_joblog_write_error_that_arrives_late_still_fails_the_run() {
    if !can(&["strace", "-V"]) {
        return;
    }
    let run = Run::each(["true"]).with("--joblog /dev/full").given(["x"]);
    let printed = run.scratch.file("said", "", 0o644);
    // Writes to these two files are delayed.
    let late = "exec strace -D -f -o /dev/null -P /dev/full -P said -e trace=write \
                -e inject=write:delay_enter=300000 \"$0\" \"$@\" 2> said";
    let run = run.under(["sh", "-c", late]).start();
    let mut printed = fs::File::open(printed).unwrap();
    assert_eq!(run.finish().code(), Some(5));
    let mut text = String::new();
    printed.read_to_string(&mut text).unwrap();
    assert!(text.contains("--joblog /dev/full cannot be written: "), "{text}");
}

#[test]
fn junit_lists_failures_and_reruns() {
    let run = Run::each_sh("echo '<'{}'>'; [ $SUPERVISOR_ATTEMPT = 2 ] && [ {} = a ]");
    let path = run.scratch.file("report", "", 0o644);
    let run = run.with("--retries 1 --retry-delay 0s --report junit:report -j 1");
    let run = run.given(["a", "b"]).start();
    let report = fs::File::open(path).unwrap();
    run.finish();
    let mut text = String::new();
    { report }.read_to_string(&mut text).unwrap();
    for words in [
        "<testsuite name=\"supervisor\" tests=\"2\" failures=\"1\" skipped=\"0\" errors=\"0\"",
        "<testcase classname=\"job 1\" name=\"echo ",
        "<flakyFailure message=\"attempt 1: code 1\"/>",
        "<failure message=\"attempt 2: code 1\"/>\n<rerunFailure message=\"attempt 1: code 1\"/>",
        "<system-out>&lt;a&gt;&#10;</system-out>",
        "</testsuites>",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}
