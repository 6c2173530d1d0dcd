//! Workers that violate the protocol, programs that do not speak it, and workers in other languages.
//! Only the worker or job concerned is affected, and the message names the fault.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{
    Finished, Run, Signal,
    jobs::{causes, is_untouched, reformed},
    pid, send,
};
use serde_json::json;

/// A run whose first worker misbehaves in this mode; its replacements do not.
fn vile_once(mode: &[&str], options: &str) -> Finished {
    reformed(mode, "echo").with(options).given(["one", "two", "three"]).finish()
}

#[test]
fn a_malformed_reply_kills_the_worker_and_charges_its_first_job() {
    for (mode, words) in [
        (
            "garbage",
            "protocol error: a frame that is no message: there is no message 1931505518: `no such \
             message!`",
        ),
        ("hostile-length", "protocol error: it announced a frame of 4.0 GiB"),
        ("wrong-id", "protocol error: a reply for job 1000001, which was not its next"),
    ] {
        let run = vile_once(&[mode], "");
        let jobs = run.jobs();
        assert_eq!(causes(&jobs[0]), ["protocol", "ok"], "{mode}: {}", run.stderr);
        assert!(is_untouched(&jobs[1]) && is_untouched(&jobs[2]), "{mode}: {jobs:?}");
        let fault = jobs[0]["attempts"][0]["fault"].as_str().unwrap();
        assert!(words.ends_with(fault), "{fault}");
        let [job] = run.messages()[..] else { panic!("{}", run.stderr) };
        assert!(job.starts_with("supervisor: job 1 (attempt 1, w1.1)") && job.contains(words));
        assert_eq!(run.code(), Some(0));
    }
}

#[test]
fn a_duplicate_reply_kills_the_worker_and_charges_no_job() {
    let run = vile_once(&["twice"], "");
    assert!(run.jobs().iter().all(is_untouched), "{:?}", run.jobs());
    let words = "protocol error: a second reply for job 1";
    assert!(run.stderr.contains(words) && run.code() == Some(0), "{}", run.stderr);
}

#[test]
fn a_late_duplicate_reply_charges_no_job() {
    let run = vile_once(&["again"], "--crash-retries 0");
    assert_eq!((run.statuses(), run.code()), (vec!["ok".into(); 3], Some(0)), "{}", run.stderr);
    let jobs = run.jobs();
    assert!(is_untouched(&jobs[0]) && is_untouched(&jobs[2]), "{jobs:?}");
    assert_eq!(causes(&jobs[1]), ["protocol", "ok"]);
    let words = "protocol error: a second reply for job 1); again, uncharged";
    assert!(run.stderr.contains(words), "{}", run.stderr);
}

#[test]
fn malformed_replies_from_every_worker_quarantine_the_jobs() {
    for mode in ["garbage", "hostile-length", "wrong-id"] {
        let run =
            Run::of([crate::support::fixture("vile"), mode.into()]).with("--workers 2").jsonl();
        let run = run.given(["one", "two", "three"]).finish();
        assert_eq!(
            (run.statuses(), run.code()),
            (vec!["quarantined".into(); 3], Some(1)),
            "{mode}"
        );
        assert!(run.jobs().iter().all(|job| causes(job) == ["protocol"; 2]), "{:?}", run.jobs());
    }
}

#[test]
fn a_truncated_reply_is_discarded_at_every_cut() {
    // The header, the fields before the payload, and "one".
    let frame_bytes = 4 + 36 + 3;
    for cut in 0..=frame_bytes {
        let run = vile_once(&["half", &cut.to_string(), "3"], "");
        let jobs = run.jobs();
        if cut < frame_bytes {
            assert_eq!(causes(&jobs[0]), ["exit", "ok"], "{cut}: {}", run.stderr);
            assert_eq!(jobs[0]["attempts"][0]["code"], 3);
        } else {
            assert!(is_untouched(&jobs[0]), "{jobs:?}");
        }
        assert!(is_untouched(&jobs[1]) && is_untouched(&jobs[2]), "{cut}: {jobs:?}");
        assert_eq!(run.code(), Some(0), "{cut}: {}", run.stderr);
    }
}

#[test]
fn a_job_unread_by_a_dead_worker_without_a_recorder_is_not_charged() {
    // The worker answers one job and exits once the next one is in its pipe.
    let run = vile_once(&["answers-one", "3"], "");
    assert!(run.jobs().iter().all(is_untouched) && run.code() == Some(0), "{}", run.stderr);
    assert!(run.stderr.contains(" ended: code 3; replaced at once"), "{}", run.stderr);
}

#[test]
fn a_worker_that_never_reads_times_out_and_charges_no_job() {
    // The job is larger than the pipe.
    let large = "z".repeat(1 << 20);
    let run = reformed(&["deaf"], "echo").with("--timeout 700ms --retries 1 --retry-delay 0");
    let run = run.fed(format!("{large}\ntwo\n")).finish();
    let jobs = run.jobs();
    assert!(jobs.iter().all(is_untouched) && run.code() == Some(0), "{}", run.stderr);
    assert!(jobs[0]["reply"] == *large && run.stderr.contains("timeout"), "{}", run.stderr);
}

#[test]
fn a_worker_that_closes_its_pipes_is_killed() {
    let run = reformed(&["hang-up"], "echo").given(["one"]).finish();
    assert!(run.jobs().iter().all(is_untouched) && run.code() == Some(0), "{}", run.stderr);
    // It closes both pipes, and either may be noticed first.
    assert!(run.stderr.contains("protocol error: it closed the pipe of its "), "{}", run.stderr);
    let run = vile_once(&["deafens"], "");
    assert!(run.jobs().iter().all(is_untouched) && run.code() == Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("it closed the pipe of its jobs"), "{}", run.stderr);
}

#[test]
fn a_worker_that_closes_its_pipes_does_not_delay_a_stop() {
    let run =
        Run::of([crate::support::fixture("vile"), "hang-up".into()]).with("--workers 1").jsonl();
    let run = run.given(["one"]).start();
    run.first_pids(1);
    run.signal(Signal::SIGINT);
    assert_eq!(run.finish().signal(), Some(Signal::SIGINT));
}

#[test]
fn a_worker_that_floods_before_it_reads_blocks_nobody() {
    let run = vile_once(&["flood"], "");
    assert!(run.jobs().iter().all(is_untouched), "{}", run.stderr);
    let lines = run.records("output");
    // The worker attributes this output to job 1, partly before it is sent that job.
    let is_theirs = |line: &serde_json::Value| line["job"] == 1 || line["job"].is_null();
    assert!(lines.iter().all(|line| is_theirs(line) && line["stream"] == "stdout"));
    let bytes: usize = lines.iter().map(|line| line["line"].as_str().unwrap().len()).sum();
    assert!(bytes > 9_000_000, "{bytes} bytes came out");
}

#[test]
fn an_orphan_that_writes_endlessly_does_not_block_the_run() {
    let run = vile_once(&["leaves-flood", "3"], "");
    let jobs = run.jobs();
    assert_eq!((causes(&jobs[0]), run.code()), (vec!["exit".into(), "ok".into()], Some(0)));
    assert!(is_untouched(&jobs[1]) && is_untouched(&jobs[2]), "{}", run.stderr);
}

#[test]
fn a_worker_may_print_to_stdout() {
    let run =
        Run::of([crate::support::fixture("vile"), "chatter".into()]).with("--workers 1").jsonl();
    let run = run.given((1..=50).map(|n| n.to_string())).finish();
    assert!(run.jobs().iter().all(is_untouched) && run.code() == Some(0), "{}", run.stderr);
    let count =
        |line: &str| run.records("output").iter().filter(|record| record["line"] == line).count();
    assert_eq!((count("good morning"), count("good night")), (1, 1));
    assert!((1..=50).all(|n| count(&format!("about to do {n}")) == 1));
}

/// Checks that the program is refused as a worker, with these words, the remedy, and no job done.
fn no_worker(run: Run, words: &str, has_remedy: bool) {
    let begun = Instant::now();
    let run = run.jsonl().given(["one", "two"]).finish();
    assert_eq!(run.code(), Some(2), "{}", run.stderr);
    let last = run.messages().pop().unwrap().to_owned();
    assert!(last.contains(words), "`{words}` is not in {last}");
    let remedy = "run it once per job: supervisor each ";
    assert_eq!(last.contains(remedy), has_remedy, "{last}");
    assert!(run.records("job").iter().all(|job| job["status"] == "not_run"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_program_without_the_protocol_is_refused_with_a_remedy() {
    for workers in ["--workers 1", "--workers 3"] {
        let ended = "cat ended (code 0) without speaking the worker protocol; to run it once";
        no_worker(Run::of(["cat"]).with(workers), ended, true);
        let ended = "true ended (code 0) without speaking the worker protocol";
        no_worker(Run::of(["true"]).with(workers), ended, true);
        let ended = "ended (code 134, SIGABRT";
        let aborts = Run::sh("kill -ABRT $$").with("--limit core=0 --start-timeout 500ms");
        no_worker(aborts.with(workers), ended, true);
        let raise = "raise --start-timeout if what it needs comes up later; -m 1.0 GiB may be less";
        let fails = Run::sh("exit 3").with("--start-timeout 500ms -m 1G");
        no_worker(fails.with(workers), raise, true);
        let silent = "said nothing for 500 ms: it does not speak the worker protocol";
        let sleeps = Run::of(["sleep", "1000"]).with("--start-timeout 500ms");
        no_worker(sleeps.with(workers), silent, true);
        let vile =
            |mode: &str| Run::of([crate::support::fixture("vile"), mode.into()]).with(workers);
        no_worker(vile("mute").with("--start-timeout 500ms"), silent, true);
        no_worker(vile("version"), "it speaks version 99, and this supervisor version 1", false);
        let script = "printf 'hello, world\\n' >&4; sleep 1000";
        no_worker(Run::sh(script).with(workers), "its first frame is no hello", true);
    }
}

#[test]
fn workers_that_fail_until_what_they_need_is_there_are_started_again() {
    let script = "[ -e up ] || { echo missing >&2; exit 1; }; exec \"$0\"";
    let words = ["sh".into(), "-c".into(), script.into(), crate::support::fixture("echo")];
    let run = Run::of(words).with("--workers 2").jsonl().given(["a"]);
    let run = run.start();
    run.stdout.record("ended", 1, 2);
    std::fs::write(run.scratch_path().join("up"), "").unwrap();
    run.job(1);
    std::fs::remove_file(run.scratch_path().join("up")).unwrap();
    let run = run.finish();
    assert_eq!((run.code(), run.statuses()), (Some(0), vec!["ok".to_owned()]), "{}", run.stderr);
}

#[test]
fn time_without_a_processor_does_not_count_when_a_worker_starts() {
    // Each needs 0.1 s of a processor to start, and forty share one: none is ready within 1 s.
    let script = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; exec \"$0\"";
    let words = ["sh".into(), "-c".into(), script.into(), crate::support::fixture("work")];
    let run = Run::of(words).with("--workers 40 --start-timeout 1s --depth 1").jsonl();
    let run = run.under(["taskset", "-c", "0"]).given(vec!["sleep 20"; 200]).finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    assert!(run.jobs().iter().all(is_untouched), "{}", run.stderr);
    assert!(!run.stderr.contains("did not speak"), "{}", run.stderr);
}

#[test]
fn a_worker_that_exits_right_after_its_hello_counts_as_a_worker() {
    for _ in 0..15 {
        let run = vile_once(&["before-read", "3"], "");
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        assert!(run.jobs().iter().all(is_untouched), "{:?}", run.jobs());
    }
}

#[test]
fn a_mute_worker_is_replaced_while_the_other_does_the_jobs() {
    let script = "[ $SUPERVISOR_WORKER = 2 ] || exec sleep 1000; exec \"$0\"";
    let run =
        Run::of(["sh", "-c", script, &crate::support::fixture("work")]).with("--workers 2").jsonl();
    let run = run.with("--start-timeout 300ms").given(["sleep 400", "sleep 400", "c"]).finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    assert!(run.jobs().iter().all(|job| is_untouched(job) && job["attempts"][0]["worker"] == 2));
    let words = "ended: code 137 (SIGKILL, protocol error: it did not speak); again in ";
    assert!(run.stderr.contains("w1.1 (PID ") && run.stderr.contains(words), "{}", run.stderr);
}

#[test]
fn a_first_worker_killed_before_its_hello_does_not_condemn_the_program() {
    for signal in ["KILL", "TERM"] {
        let script = format!("[ -s lives ] && exec \"$0\"; echo 1 > lives; kill -{signal} $$");
        let words = ["sh".into(), "-c".into(), script, crate::support::fixture("echo")];
        let run = Run::of(words).with("--workers 1").jsonl();
        run.scratch.file("lives", "", 0o644);
        let run = run.given(["a"]).finish();
        assert_eq!(run.code(), Some(0), "{}", run.stderr);
        assert!(run.jobs().iter().all(is_untouched), "{:?}", run.jobs());
    }
}

#[test]
fn a_silent_first_worker_is_reported_once() {
    let script = "sleep 3.4; exec \"$0\"";
    let run =
        Run::of(["sh", "-c", script, &crate::support::fixture("echo")]).with("--workers 2").jsonl();
    let run = run.given(["a"]).finish();
    assert_eq!(run.code(), Some(0));
    let note = "has not spoken the worker protocol; it has 30";
    let notes = run.messages().iter().filter(|line| line.contains(note)).count();
    assert_eq!(notes, 1, "{}", run.stderr);
}

/// The example workers in other languages whose interpreter is installed.
pub(super) fn others() -> Vec<[String; 2]> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/worker/examples");
    let all = [("python3", "worker.py"), ("node", "worker.js")];
    let found = all.into_iter().filter(|(program, _)| {
        let is_there = Command::new(program).arg("--version").output().is_ok();
        if !is_there {
            eprintln!("NOT TRIED: {program} is not installed");
        }
        is_there
    });
    let path = |script| examples.join(script).canonicalize().unwrap().to_str().unwrap().to_owned();
    found.map(|(program, script)| [program.to_owned(), path(script)]).collect()
}

#[test]
fn a_worker_labels_no_output_with_a_job_that_it_does_not_have() {
    let Some([python, path]) = others().into_iter().find(|[program, _]| program == "python3")
    else {
        return;
    };
    let forge = "import sys\ntext = open(sys.argv[1]).read()\n\
                 say = \"[write({'type': 'output', 'id': id, 'stream': 1, 'text': 'said'}) \
                 for id in (12345, job['id'])]\"\n\
                 exec(text.replace('def work(payload):', 'def work(payload):\\n    ' + say))";
    let run = Run::of([python.as_str(), "-c", forge, &path]).with("--workers 1").jsonl();
    let run = run.given(["a"]).finish();
    assert_eq!(run.statuses(), ["ok"], "{}", run.stderr);
    let jobs: Vec<_> = run.records("output").iter().map(|it| it["job"].as_u64()).collect();
    assert_eq!(jobs, [None, Some(1)]);
}

#[test]
fn workers_in_other_languages_report_results_and_errors() {
    for worker in others() {
        let mut text = "añb\nfail\n\\xff\n\nlast".replace("\\xff", "?").into_bytes();
        let odd = text.iter().position(|byte| *byte == b'?').unwrap();
        text[odd] = 0xff;
        let run = Run::of(&worker).with("--workers 2").jsonl().fed(&text).finish();
        assert_eq!(run.statuses(), ["ok", "failed", "ok", "ok", "ok"], "{}", run.stderr);
        let jobs = run.jobs();
        let replies = [0, 3, 4].map(|nth| jobs[nth]["reply"].as_str().unwrap().to_owned());
        assert_eq!(
            (replies, &jobs[2]["reply_base64"]),
            (["bña", "", "tsal"].map(Into::into), &json!("/w=="))
        );
        let message = jobs[1]["attempts"][0]["message"].as_str().unwrap();
        assert!(message.contains("Error: as you wish"), "{message}");
        let many: String = (1..=2000).map(|n| format!("{n}\n")).collect();
        let run = Run::of(&worker).with("--workers 2").jsonl().fed(many).finish();
        let jobs = run.jobs();
        assert!(jobs.len() == 2000 && jobs.iter().all(is_untouched));
    }
}

#[test]
fn workers_in_other_languages_are_replaced_when_killed() {
    for worker in others() {
        let (run, mut feed) = Run::of(&worker).with("--workers 1").jsonl().fed_live();
        let run = run.start();
        for id in 1..=3 {
            feed.push("abc");
            let job = run.job(id);
            assert!(is_untouched(&job) && job["reply"] == "cba", "{job}");
            assert_eq!(job["attempts"][0]["generation"], id);
            let generation = usize::try_from(id).unwrap();
            send(pid(&run.stdout.record("started", 1, generation)), Signal::SIGKILL);
            // Otherwise the dying worker might still read the next job.
            run.stdout.record("ended", 1, generation);
        }
        drop(feed);
        assert_eq!(run.finish().code(), Some(0));
    }
}

#[test]
fn a_child_that_inherits_the_variable_is_not_a_worker() {
    let connection = crate::support::upstream::sibling("connection_bin");
    let others = others().into_iter().map(|worker| worker.join(" "));
    for program in others.chain([crate::support::fixture("echo")]) {
        let job = format!("sh {program} || echo child ended with $?");
        let run = Run::worker("work").with("--workers 1").jsonl().given(["a", &job, "c"]).finish();
        assert!(run.jobs().iter().all(is_untouched) && run.jobs().len() == 3, "{}", run.stderr);
        let output = run.records("output");
        let says = |words: &str| {
            let lines = output.iter().filter_map(|record| record["line"].as_str());
            lines.into_iter().any(|line| line.contains(words))
        };
        assert!(says("was started by a worker") && says("child ended with "), "{output:?}");
    }
    // A program with another purpose does that instead.
    let script = "\"$0\" --version; exec \"$1\"";
    let program = [connection.to_str().unwrap(), &crate::support::fixture("echo")];
    let run = Run::of(["sh", "-c", script, program[0], program[1]]).with("--workers 1").jsonl();
    let run = run.given(["a"]).finish();
    assert!(run.records("output")[0]["line"].as_str().unwrap().starts_with("connection_bin "));
    assert_eq!(run.statuses(), ["ok"]);
}

#[test]
fn a_worker_inherits_only_its_pipes_and_its_recorder() {
    let script = "\"$0\"; exec \"$1\"";
    let programs = [crate::support::fixture("report"), crate::support::fixture("echo")];
    let run = Run::of(["sh", "-c", script, &programs[0], &programs[1]]).with("--workers 2").jsonl();
    let run = run.after("exec 7</dev/null 9</etc/passwd 5>&1").fed("a\n").start();
    let report = run.stdout.report(1);
    let descriptors = report["descriptors"].as_object().unwrap();
    let wire = report["env"]["SUPERVISOR_WIRE"].as_str().unwrap();
    let shell = report["ppid"].to_string();
    assert_eq!(wire, format!("{shell}:3:4:5"));
    assert_eq!(descriptors.keys().collect::<Vec<_>>(), ["0", "1", "2", "3", "4", "5"], "{report}");
    assert!(descriptors.values().all(|fd| fd["nonblocking"] == false), "{report}");
    let target = |fd: &str| descriptors[fd]["target"].as_str().unwrap();
    assert_eq!(target("0"), "/dev/null");
    assert!(["1", "2", "3", "4"].iter().all(|fd| target(fd).starts_with("pipe:")), "{report}");
    assert!(target("5").starts_with("/memfd:"), "{report}");
    assert_eq!(run.finish().statuses(), ["ok"]);
}
