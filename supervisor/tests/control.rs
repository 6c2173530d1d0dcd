//! A run is asked and changed while it goes on; and whoever is rude to it harms nobody.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    process::{Command, Stdio},
};

use support::{Run, Running, SUPERVISOR, Signal, Value, place::Place, procfs, until};

/// Jobs that run until a file is there.
fn busy(place: &Place, jobs: usize) -> Running {
    let run =
        Run::each_sh("echo out {}; [ {} != 1 ] || exit 5; while [ ! -e go ]; do sleep 0.01; done");
    let run = place.run(run.with("-j 2 --name it"));
    let run = run.given((1..=jobs).map(|job| job.to_string())).start();
    place.is_there();
    until("two that run", || {
        place.look()["jobs"]["running"] == 2 && place.look()["jobs"]["failed"] == 1
    });
    run
}

#[test]
fn what_runs_is_shown_and_why_it_failed() {
    let place = Place::new("shown");
    let run = busy(&place, 6);
    let snapshot = place.look();
    assert_eq!(
        (&snapshot["run"]["name"], &snapshot["run"]["pid"]),
        (&"it".into(), &run.pid().into())
    );
    let running = place.running();
    let shown = place.said(&["ps"]);
    assert!(
        shown.contains("(it), PID ") && shown.contains("0 ok, 1 failed, 2 running, 3 waiting"),
        "{shown}"
    );
    let why = place.said(&["why", "1"]);
    assert!(why.starts_with("job 1 failed: code 5\n") && why.contains("| out 1"), "{why}");
    let record: Value =
        serde_json::from_str(&place.said(&["why", "1", "--format", "jsonl"])).unwrap();
    assert_eq!(record["attempts"][0]["attempt"], 1);
    let told = place.said(&["why", &running]);
    assert!(told.starts_with(&format!("job {running} runs on w")), "{told}");
    assert!(place.said(&["why", "w1"]).starts_with("w1.1 (PID "));
    assert!(place.said(&["logs"]).contains(" out 1\n"));
    for (words, told) in [
        (&["why", "99"][..], "there is no job 99: they are numbered from 1 to 6"),
        (&["why", "6"], "job 6 is done or waits"),
        (&["why", "w9"], "nothing is known of w9: there are w1.1, w2.1"),
        (&["logs", "w9"], "nothing is known of w9: there are w1.1, w2.1"),
        (&["kill", "w9"], "there is no worker w9: there are w1.1, w2.1"),
        (&["cancel", "99"], "there is no job 99"),
        (&["retry", &running], "is not done yet"),
        (&["ps", "--run", "other"], "there is no run `other`: there are "),
    ] {
        assert!(place.refused(words).contains(told), "{}", place.refused(words));
    }
    fs::write(run.scratch_path().join("go"), "").unwrap();
    until("its end", || procfs::stat(run.pid()).is_none_or(|s| s.state == 'Z'));
    fs::remove_file(run.scratch_path().join("go")).unwrap();
    assert_eq!(run.finish().code(), Some(1));
    assert_eq!(
        place.refused(&["stop"]),
        "supervisor: no run is live: start one with supervisor run or supervisor each\n"
    );
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing is left of it");
}

#[test]
fn jobs_are_cancelled_wherever_they_are_and_done_again() {
    let place = Place::new("jobs");
    let run = busy(&place, 6);
    // One that runs, one that waits (or was sent ahead), and one again that failed.
    let running = place.running();
    let said = place.said(&["cancel", &running]);
    assert!(said.starts_with(&format!("job {running} is ended, on w")), "{said}");
    assert_eq!(place.said(&["cancel", "6"]), "job 6 is not begun\n");
    until("its end", || place.look()["jobs"]["failed"] == 2);
    let told = place.said(&["why", &running]);
    assert!(told.starts_with(&format!("job {running} failed: cancelled\n")), "{told}");
    assert_eq!(place.said(&["retry", "1"]), "job 1 is done again\n");
    fs::write(run.scratch_path().join("go"), "").unwrap();
    let end = |run: &Running| procfs::stat(run.pid()).is_none_or(|stat| stat.state == 'Z');
    until("its end", || end(&run));
    fs::remove_file(run.scratch_path().join("go")).unwrap();
    let run = run.finish();
    // One was cancelled, 1 and 7 failed, 6 was never begun.
    assert!(run.stderr.contains("7 jobs: 3 ok, 3 failed, 1 not run"), "{}", run.stderr);
}

#[test]
fn workers_are_killed_added_and_let_go() {
    let place = Place::new("scale");
    let run = Run::sh("echo up; exec sleep 1000").with("--restart always --name it").jsonl();
    let run = place.run(run).start();
    run.stdout.line(1, "up");
    run.ready();
    assert_eq!(place.said(&["kill", "w1"]), "w1.1 killed\n");
    run.stdout.record("started", 1, 2);
    assert_eq!(place.said(&["scale", "3"]), "3 workers from now on\n");
    (2..=3).for_each(|worker| drop(run.stdout.record("started", worker, 1)));
    assert_eq!(place.said(&["scale", "1"]), "1 worker from now on\n");
    for worker in 2..=3 {
        assert_eq!(run.stdout.record("ended", worker, 1)["cause"], "scaled_down");
    }
    assert_eq!(place.said(&["scale", "2"]), "2 workers from now on\n");
    run.stdout.record("started", 2, 2);
    assert!(place.refused(&["scale", "9999999"]).contains("9999999"));
    assert_eq!(place.said(&["stop"]), "asked to stop\n");
    let run = run.finish();
    assert_eq!(run.code(), Some(3), "{}", run.stderr);
    assert!(run.stderr.contains("asked to stop: stopping"), "{}", run.stderr);
}

#[test]
fn a_run_drains_or_stops_at_once() {
    for (words, done) in [(&["drain"][..], 2), (&["stop", "--now"], 0)] {
        let place = Place::new(words[0]);
        let run = Run::each_sh("echo up; sleep 0.5; echo {}").with("-j 2 --output lines --name it");
        let run = place.run(run).given((1..=9).map(|job| job.to_string())).start();
        until("both run", || run.stdout.text().matches("up").count() == 2);
        place.said(words);
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
fn what_happens_is_followed_until_the_end() {
    let place = Place::new("follow");
    let run = Run::sh("read x < fifo; echo one; echo two >&2").with("--name it");
    let fifo = run.scratch.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let run = place.run(run).start();
    place.is_there();
    let follow = |words: &[&str]| {
        let mut command = Command::new(SUPERVISOR);
        command.args(words).env("SUPERVISOR_RUNTIME_DIR", place.path()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let (logs, events) = (follow(&["logs", "-f"]), follow(&["events"]));
    // Both have been answered.
    let readers = || procfs::children(std::process::id().cast_signed()).len();
    until("both listen", || readers() >= 3 && place.look()["schema"] == 1);
    until("both are served", || {
        let table = fs::read_to_string("/proc/net/unix").unwrap();
        table.lines().filter(|line| line.contains(place.socket().to_str().unwrap())).count() >= 3
    });
    fs::write(&fifo, "\n").unwrap();
    let said = String::from_utf8(logs.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains("w1.1 one\n") && said.contains("w1.1! two\n"), "{said}");
    let said = String::from_utf8(events.wait_with_output().unwrap().stdout).unwrap();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["type"], "end", "{said}");
    assert_eq!(run.finish().code(), Some(0));
}

#[test]
fn a_run_whose_supervisor_is_gone_is_told_once() {
    let place = Place::new("gone");
    let run = place.run(Run::sh("echo up; exec sleep 1000").with("--name it")).start();
    until("up", || run.stdout.text().contains("up"));
    place.is_there();
    run.signal(Signal::SIGKILL);
    drop(run.finish());
    // To be told of is for who asks which runs there are.
    assert!(place.refused(&["stop"]).contains("no run is live"));
    let shown = place.said(&["ps"]);
    assert!(shown.contains("(it)") && shown.contains(" gone "), "{shown}");
    assert_eq!(place.said(&["ps"]), "no run is live\n");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn a_run_that_begins_is_not_taken_for_gone() {
    let place = Place::new("begins");
    fs::create_dir(place.path()).unwrap();
    // Nobody listens yet, and nothing is told.
    let socket = place.path().join("abcd.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert_eq!(place.said(&["ps"]), "no run is live\n");
    assert!(socket.exists());
}

#[test]
fn who_has_hung_up_keeps_no_place_and_who_is_slow_keeps_no_file() {
    let place = Place::new("places");
    let run = place.run(Run::sh("echo up; exec sleep 1000").with("--name it")).start();
    until("up", || run.stdout.text().contains("up"));
    place.is_there();
    let socket = place.socket();
    for _ in 0..100 {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(b"{\"schema\":1,\"ask\":\"logs\",\"follow\":true}\n").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert_eq!(answer, "{\"ok\":null}\n");
    }
    // It asks nothing, and has been let in before the others that are answered.
    let silent = UnixStream::connect(&socket).unwrap();
    place.said(&["stop"]);
    assert_eq!(run.finish().code(), Some(3));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing is left of it");
    drop(silent);
}

#[test]
fn rude_clients_harm_nobody() {
    let place = Place::new("rude");
    let run = place.run(Run::sh("echo up; exec sleep 1000").with("--name it")).start();
    until("up", || run.stdout.text().contains("up"));
    place.is_there();
    let socket = place.socket();
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let answer = |bytes: &[u8]| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        // It may be turned away before it has said all.
        let _ = stream.write_all(bytes);
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    };
    for (bytes, told) in [
        (&b"nonsense\n"[..], "that is no question"),
        (b"{\"schema\":1,\"ask\":\"tea\"}\n", "that is no question"),
        (b"{\"schema\":9,\"ask\":\"look\"}\n", "speaks version 1, and not 9"),
        (&[b'x'; 10_000], "4096 bytes at most"),
        (b"\xff\xfe\n", "that is no question"),
        (b"\n", "that is no question"),
    ] {
        let line = answer(bytes);
        assert!(line.starts_with("{\"error\":") && line.contains(told), "{line}");
    }
    // Sixty that say nothing, and four that never read.
    let silent: Vec<_> = (0..60).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let deaf: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.write_all(b"{\"schema\":1,\"ask\":\"events\"}\n").unwrap();
            stream
        })
        .collect();
    assert_eq!(place.look()["schema"], 1);
    drop((silent, deaf));
    // Half open: it has said that it will say no more.
    let mut half = UnixStream::connect(&socket).unwrap();
    half.write_all(b"{\"schema\":1,\"ask\":\"look\"}").unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = String::new();
    half.read_to_string(&mut all).unwrap();
    assert!(all.starts_with("{\"ok\":"), "{all}");
    place.said(&["stop"]);
    assert_eq!(run.finish().code(), Some(3));
}

#[test]
fn another_user_is_turned_away() {
    let user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let is_root = nix::unistd::geteuid().is_root();
    let can = Command::new(user[0]).args(&user[1..]).args([SUPERVISOR, "--version"]).output();
    if !is_root || !can.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no other user can be had here");
        return;
    }
    let place = Place::new("other");
    let run = place.run(Run::sh("echo up; exec sleep 1000").with("--name it")).start();
    until("up", || run.stdout.text().contains("up"));
    place.is_there();
    // As if the directory had been opened by hand.
    fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(place.0.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(place.socket(), PermissionsExt::from_mode(0o666)).unwrap();
    let mut command = Command::new(user[0]);
    command.args(&user[1..]).args([SUPERVISOR, "stop"]);
    let output = command.env("SUPERVISOR_RUNTIME_DIR", place.path()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("this run is another user's"), "{error}");
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().signal(), Some(Signal::SIGTERM));
}

#[test]
fn without_a_place_the_run_goes_on() {
    let place = Place::new("none");
    fs::write(place.path(), "a file").unwrap();
    let run = place.run(Run::sh("echo up")).finish();
    assert_eq!((run.lines()[0], run.code()), ("[1] up", Some(0)));
    assert!(
        run.stderr.starts_with("supervisor: it cannot be asked nor changed: "),
        "{}",
        run.stderr
    );
}

#[test]
fn of_several_runs_one_is_named() {
    let place = Place::new("several");
    let start = |name: &str| {
        let run = Run::sh("echo up; exec sleep 1000").with(&format!("--name {name}"));
        let run = place.run(run).start();
        until("up", || run.stdout.text().contains("up"));
        run
    };
    let (first, second) = (start("one"), start("two"));
    let several = place.refused(&["stop"]);
    assert!(several.contains("say which with --run: "), "{several}");
    assert!(several.contains("(one)") && several.contains("(two)"), "{several}");
    let all = place.said(&["ps"]);
    assert_eq!(all.lines().count(), 3, "{all}");
    let mut ps = Command::new("sh");
    ps.args(["-c", "\"$0\" ps >/dev/full", SUPERVISOR]);
    assert_eq!(ps.env("SUPERVISOR_RUNTIME_DIR", place.path()).status().unwrap().code(), Some(5));
    place.said(&["stop", "--run", "one"]);
    assert_eq!(first.finish().code(), Some(3));
    place.said(&["stop"]);
    assert_eq!(second.finish().code(), Some(3));
}

#[test]
fn a_job_is_done_again_with_the_whole_of_its_input_or_not_at_all() {
    let place = Place::new("again");
    let body =
        "printf %s {} | wc -c; [ {} != wait ] || until [ -e go ]; do sleep 0.01; done; false";
    let run = place.run(Run::each_sh(body).with("-j 2 --name it"));
    let run = run.given(["a".repeat(4000), "b".repeat(5000), "wait".into()]).start();
    place.is_there();
    until("two that failed", || place.look()["jobs"]["failed"] == 2);
    assert_eq!(place.said(&["retry", "1"]), "job 1 is done again\n");
    let told = "job 2 has an input of 5000 bytes, of which 4096 are kept";
    assert!(place.refused(&["retry", "2"]).contains(told));
    until("a third", || place.look()["jobs"]["failed"] == 3);
    fs::write(run.scratch_path().join("go"), "").unwrap();
    until("its end", || procfs::stat(run.pid()).is_none_or(|s| s.state == 'Z'));
    fs::remove_file(run.scratch_path().join("go")).unwrap();
    let run = run.finish();
    let mut lengths = run.lines();
    lengths.sort_unstable();
    assert_eq!(lengths, ["4", "4000", "4000", "5000"]);
}
