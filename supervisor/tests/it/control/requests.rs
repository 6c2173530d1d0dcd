//! Requests over the control socket show and change a live run, and malformed clients do not disturb
//! it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    process::{Command, Stdio},
};

use crate::support::{
    Run, Running, SUPERVISOR, Signal, Value, procfs, runtime_dir::RuntimeDir, until,
};

/// Starts jobs that run until the file `go` exists; the first fails at once.
fn busy(runs: &RuntimeDir, jobs: usize) -> Running {
    let run =
        Run::each_sh("echo out {}; [ {} != 1 ] || exit 5; while [ ! -e go ]; do sleep 0.01; done");
    let run = runs.run(run.with("-j 2 --name it"));
    let run = run.given((1..=jobs).map(|job| job.to_string())).start();
    runs.wait_for_run();
    until("two that run", || {
        runs.snapshot()["jobs"]["running"] == 2 && runs.snapshot()["jobs"]["failed"] == 1
    });
    run
}

#[test]
fn ps_and_why_show_running_and_failed_jobs() {
    let runs = RuntimeDir::new();
    let run = busy(&runs, 6);
    let snapshot = runs.snapshot();
    assert_eq!(
        (&snapshot["run"]["name"], &snapshot["run"]["pid"]),
        (&"it".into(), &run.pid().into())
    );
    let running = runs.running();
    let shown = runs.output(&["ps"]);
    assert!(
        shown.contains("(it), PID ") && shown.contains("0 ok, 1 failed, 2 running, 3 waiting"),
        "{shown}"
    );
    let why = runs.output(&["why", "1"]);
    assert!(why.starts_with("job 1 failed: code 5\n") && why.contains("| out 1"), "{why}");
    let record: Value =
        serde_json::from_str(&runs.output(&["why", "1", "--format", "jsonl"])).unwrap();
    assert_eq!(record["attempts"][0]["attempt"], 1);
    let reported = runs.output(&["why", &running]);
    assert!(reported.starts_with(&format!("job {running} runs on w")), "{reported}");
    assert!(runs.output(&["why", "w1"]).starts_with("w1.1 (PID "));
    assert!(runs.output(&["logs"]).contains(" out 1\n"));
    for (words, reported) in [
        (&["why", "99"][..], "there is no job 99: they are numbered from 1 to 6"),
        (&["why", "6"], "job 6 is done or waits"),
        (&["why", "w9"], "nothing is known of w9: there are w1.1, w2.1"),
        (&["logs", "w9"], "nothing is known of w9: there are w1.1, w2.1"),
        (&["kill", "w9"], "there is no worker w9: there are w1.1, w2.1"),
        (&["cancel", "99"], "there is no job 99"),
        (&["retry", &running], "is not done yet"),
        (&["ps", "--run", "other"], "there is no run `other`: there are "),
    ] {
        assert!(runs.refusal(words).contains(reported), "{}", runs.refusal(words));
    }
    fs::write(run.scratch_path().join("go"), "").unwrap();
    until("its end", || procfs::stat(run.pid()).is_none_or(|s| s.state == 'Z'));
    fs::remove_file(run.scratch_path().join("go")).unwrap();
    assert_eq!(run.finish().code(), Some(1));
    assert_eq!(
        runs.refusal(&["stop"]),
        "supervisor: no run is live: start one with supervisor run or supervisor each\n"
    );
    assert_eq!(fs::read_dir(runs.path()).unwrap().count(), 0, "nothing is left of it");
}

#[test]
fn queued_and_running_jobs_can_be_cancelled_and_failed_jobs_retried() {
    let runs = RuntimeDir::new();
    let run = busy(&runs, 6);
    // One job runs, one waits or was prefetched, and one that failed is retried.
    let running = runs.running();
    let printed = runs.output(&["cancel", &running]);
    assert!(printed.starts_with(&format!("job {running} is ended, on w")), "{printed}");
    assert_eq!(runs.output(&["cancel", "6"]), "job 6 is not begun\n");
    until("its end", || runs.snapshot()["jobs"]["failed"] == 2);
    let reported = runs.output(&["why", &running]);
    assert!(reported.starts_with(&format!("job {running} failed: cancelled\n")), "{reported}");
    assert_eq!(runs.output(&["retry", "1"]), "job 1 is done again\n");
    fs::write(run.scratch_path().join("go"), "").unwrap();
    let end = |run: &Running| procfs::stat(run.pid()).is_none_or(|stat| stat.state == 'Z');
    until("its end", || end(&run));
    fs::remove_file(run.scratch_path().join("go")).unwrap();
    let run = run.finish();
    // One was cancelled, 1 and 7 failed, and 6 never started.
    assert!(run.stderr.contains("7 jobs: 3 ok, 3 failed, 1 not run"), "{}", run.stderr);
}

#[test]
fn workers_can_be_killed_and_scaled_up_and_down() {
    let runs = RuntimeDir::new();
    let run = Run::sh("echo up; exec sleep 1000").with("--restart always --name it").jsonl();
    let run = runs.run(run).start();
    run.stdout.line(1, "up");
    run.ready();
    assert_eq!(runs.output(&["kill", "w1"]), "w1.1 killed\n");
    run.stdout.record("started", 1, 2);
    assert_eq!(runs.output(&["scale", "3"]), "1 -> 3 workers from now on\n");
    (2..=3).for_each(|worker| drop(run.stdout.record("started", worker, 1)));
    assert_eq!(runs.output(&["scale", "1"]), "3 -> 1 worker from now on\n");
    for worker in 2..=3 {
        assert_eq!(run.stdout.record("ended", worker, 1)["cause"], "scaled_down");
    }
    assert_eq!(runs.output(&["scale", "2"]), "1 -> 2 workers from now on\n");
    run.stdout.record("started", 2, 2);
    assert!(runs.refusal(&["scale", "9999999"]).contains("9999999"));
    assert_eq!(runs.output(&["stop"]), "asked to stop\n");
    let run = run.finish();
    assert_eq!(run.code(), Some(3), "{}", run.stderr);
    assert!(run.stderr.contains("asked to stop: stopping"), "{}", run.stderr);
}

#[test]
fn drain_finishes_running_jobs_and_stop_now_kills_them() {
    for (words, done) in [(&["drain"][..], 2), (&["stop", "--now"], 0)] {
        let runs = RuntimeDir::new();
        let run = Run::each_sh("echo up; sleep 0.5; echo {}").with("-j 2 --output lines --name it");
        let run = runs.run(run).given((1..=9).map(|job| job.to_string())).start();
        until("both run", || run.stdout.text().matches("up").count() == 2);
        runs.output(words);
        let run = run.finish();
        assert_eq!(run.code(), Some(3), "{}", run.stderr);
        assert_eq!(
            run.lines().iter().filter(|line| **line != "up").count(),
            done,
            "{}",
            run.stderr
        );
    }
}

#[test]
fn logs_and_events_follow_a_run_until_it_ends() {
    let runs = RuntimeDir::new();
    let run = Run::sh("read x < fifo; echo one; echo two >&2").with("--name it");
    let fifo = run.scratch.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let run = runs.run(run).start();
    runs.wait_for_run();
    let follow = |words: &[&str]| {
        let mut command = Command::new(SUPERVISOR);
        command.args(words).env("SUPERVISOR_RUNTIME_DIR", runs.path()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let (logs, events) = (follow(&["logs", "-f"]), follow(&["events"]));
    // The address of the socket goes through a descriptor; its name is that of the file.
    let name = format!("/{}", runs.socket().file_name().unwrap().display());
    until("both are connected", || {
        let table = fs::read_to_string("/proc/net/unix").unwrap();
        table.lines().filter(|line| line.ends_with(&name)).count() >= 3
    });
    // This request comes after theirs and has been answered.
    assert_eq!(runs.snapshot()["schema"], 1);
    fs::write(&fifo, "\n").unwrap();
    let printed = String::from_utf8(logs.wait_with_output().unwrap().stdout).unwrap();
    assert!(printed.contains("w1.1 one\n") && printed.contains("w1.1! two\n"), "{printed}");
    let printed = String::from_utf8(events.wait_with_output().unwrap().stdout).unwrap();
    let last: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(last["type"], "end", "{printed}");
    assert_eq!(run.finish().code(), Some(0));
}

#[test]
fn ps_lists_a_dead_run_once() {
    let runs = RuntimeDir::new();
    let run = runs.run(Run::sh("echo up; exec sleep 1000").with("--name it")).start();
    until("up", || run.stdout.text().contains("up"));
    runs.wait_for_run();
    run.signal(Signal::SIGKILL);
    drop(run.finish());
    // Only `ps` reports dead runs.
    assert!(runs.refusal(&["stop"]).contains("no run is live"));
    let shown = runs.output(&["ps"]);
    assert!(shown.contains("(it)") && shown.contains(" gone "), "{shown}");
    assert_eq!(runs.output(&["ps"]), "no run is live\n");
    assert_eq!(fs::read_dir(runs.path()).unwrap().count(), 0);
}

#[test]
fn a_run_that_is_still_starting_is_not_reported_as_dead() {
    let runs = RuntimeDir::new();
    fs::create_dir(runs.path()).unwrap();
    // The socket exists, but nothing listens on it yet.
    let socket = runs.path().join("abcd.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert_eq!(runs.output(&["ps"]), "no run is live\n");
    assert!(socket.exists());
}

#[test]
fn closed_and_silent_connections_are_cleaned_up() {
    let runs = RuntimeDir::new();
    let run = runs.run(Run::sh("echo up; exec sleep 1000").with("--name it")).start();
    until("up", || run.stdout.text().contains("up"));
    runs.wait_for_run();
    let socket = runs.socket();
    for _ in 0..100 {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(b"{\"schema\":1,\"ask\":\"logs\",\"follow\":true}\n").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert_eq!(answer, "{\"ok\":null}\n");
    }
    // This connection sends nothing; the server accepted it before the next one, which is answered.
    let silent = UnixStream::connect(&socket).unwrap();
    runs.output(&["stop"]);
    assert_eq!(run.finish().code(), Some(3));
    assert_eq!(fs::read_dir(runs.path()).unwrap().count(), 0, "nothing is left of it");
    drop(silent);
}

#[test]
fn malformed_and_silent_clients_do_not_disturb_the_run() {
    let runs = RuntimeDir::new();
    let run = runs.run(Run::sh("echo up; exec sleep 1000").with("--name it")).start();
    until("up", || run.stdout.text().contains("up"));
    runs.wait_for_run();
    let socket = runs.socket();
    assert_eq!(fs::metadata(runs.path()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let answer = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        // The server may close the connection before everything is written.
        let _ = stream.write_all(bytes);
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    };
    for (bytes, reported) in [
        (&b"nonsense\n"[..], "invalid request"),
        (b"{\"schema\":1,\"ask\":\"tea\"}\n", "invalid request"),
        (b"{\"schema\":9,\"ask\":\"look\"}\n", "speaks version 1, and not 9"),
        (&[b'x'; 10_000], "at most 4096 bytes"),
        (b"\xff\xfe\n", "invalid request"),
        (b"\n", "invalid request"),
    ] {
        let line = answer(bytes);
        assert!(line.starts_with("{\"error\":") && line.contains(reported), "{line}");
    }
    // Sixty clients send nothing, and three never read.
    let silent: Vec<_> = (0..60).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let deaf: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.write_all(b"{\"schema\":1,\"ask\":\"events\"}\n").unwrap();
            stream
        })
        .collect();
    assert_eq!(runs.snapshot()["schema"], 1);
    drop((silent, deaf));
    // A half-closed client still gets its answer.
    let mut half = UnixStream::connect(&socket).unwrap();
    half.write_all(b"{\"schema\":1,\"ask\":\"look\"}").unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = String::new();
    half.read_to_string(&mut all).unwrap();
    assert!(all.starts_with("{\"ok\":"), "{all}");
    runs.output(&["stop"]);
    assert_eq!(run.finish().code(), Some(3));
}

#[test]
fn a_run_without_a_control_socket_continues() {
    let runs = RuntimeDir::new();
    fs::write(runs.path(), "a file").unwrap();
    let run = runs.run(Run::sh("echo up")).finish();
    assert_eq!((run.lines()[0], run.code()), ("[1] up", Some(0)));
    assert!(
        run.stderr.starts_with("supervisor: the run has no control socket: "),
        "{}",
        run.stderr
    );
}

#[test]
fn commands_need_a_run_name_when_several_runs_are_live() {
    let runs = RuntimeDir::new();
    let start = |name: &str| {
        let run = Run::sh("echo up; exec sleep 1000").with(&format!("--name {name}"));
        let run = runs.run(run).start();
        until("up", || run.stdout.text().contains("up"));
        run
    };
    let (first, second) = (start("one"), start("two"));
    let several = runs.refusal(&["stop"]);
    assert!(several.contains("say which with --run: "), "{several}");
    assert!(several.contains("(one)") && several.contains("(two)"), "{several}");
    let all = runs.output(&["ps"]);
    assert_eq!(all.lines().count(), 3, "{all}");
    let mut ps = Command::new("sh");
    ps.args(["-c", "\"$0\" ps >/dev/full", SUPERVISOR]);
    assert_eq!(ps.env("SUPERVISOR_RUNTIME_DIR", runs.path()).status().unwrap().code(), Some(5));
    runs.output(&["stop", "--run", "one"]);
    assert_eq!(first.finish().code(), Some(3));
    runs.output(&["stop"]);
    assert_eq!(second.finish().code(), Some(3));
}

#[test]
fn retry_refuses_a_job_whose_input_was_truncated() {
    let runs = RuntimeDir::new();
    let body =
        "printf %s {} | wc -c; [ {} != wait ] || until [ -e go ]; do sleep 0.01; done; false";
    let run = runs.run(Run::each_sh(body).with("-j 2 --name it"));
    let run = run.given(["a".repeat(4000), "b".repeat(5000), "wait".into()]).start();
    runs.wait_for_run();
    until("two that failed", || runs.snapshot()["jobs"]["failed"] == 2);
    assert_eq!(runs.output(&["retry", "1"]), "job 1 is done again\n");
    let reported = "job 2 has an input of 5000 bytes, of which 4096 are kept";
    assert!(runs.refusal(&["retry", "2"]).contains(reported));
    until("a third", || runs.snapshot()["jobs"]["failed"] == 3);
    fs::write(run.scratch_path().join("go"), "").unwrap();
    until("its end", || procfs::stat(run.pid()).is_none_or(|s| s.state == 'Z'));
    fs::remove_file(run.scratch_path().join("go")).unwrap();
    let run = run.finish();
    let mut lengths = run.lines();
    lengths.sort_unstable();
    assert_eq!(lengths, ["4", "4000", "4000", "5000"]);
}
