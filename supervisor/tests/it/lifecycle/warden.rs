//! No process outlives a supervisor, however it ends: no worker, and no descendant that left its
//! group, session and environment.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{Run, Running, Signal, can, procfs, send, terminal::Terminal, until};

/// Processes that leave their group, session and environment as far as they can.
const HIDES: &str = "setsid sleep 1000 & \
                     (setsid sh -c 'sleep 1000 & exec sleep 1000' &) & \
                     env -i MARK_ONLY=1 setsid sleep 1000 & ";

fn hiders(workers: usize) -> (Running, Vec<i32>) {
    let script = format!("{HIDES} until [ $(pgrep -c -s 0) -gt 0 ]; do :; done; echo up; wait");
    let run = Run::sh(&script).with(&format!("--workers {workers}")).jsonl().start();
    (1..=workers).for_each(|worker| run.stdout.line(worker, "up"));
    let all = procfs::descendants(run.pid());
    // Each worker and its four sleeping descendants.
    until("all that hide", || procfs::descendants(run.pid()).len() > workers * 5);
    let all = [all, procfs::descendants(run.pid())].concat();
    (run, all)
}

fn nothing_is_left(of: &[i32]) {
    until("the end of all", || of.iter().all(|pid| !procfs::is_alive(*pid)));
}

#[test]
fn a_killed_supervisor_leaves_no_process() {
    let (run, all) = hiders(8);
    send(run.supervisor(), Signal::SIGKILL);
    nothing_is_left(&all);
    assert_eq!(run.finish().signal(), Some(Signal::SIGKILL));
}

#[test]
fn a_supervisor_killed_before_its_warden_resumes_leaves_no_process() {
    if !can(&["strace", "-V"]) {
        return;
    }
    let calls = "clone,clone3,fork,vfork";
    let [trace, inject] = [format!("trace={calls}"), format!("inject={calls}:delay_exit=1000000")];
    let strace = ["strace", "-D", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    // On a busy machine the warden may resume before the worker is up.
    until("a warden that is held", || {
        // The worker itself dies with its supervisor in any case.
        let run = Run::sh("sleep 1000 & echo up; wait").jsonl().under(strace).start();
        run.stdout.line(1, "up");
        let all = procfs::descendants(run.pid());
        let supervisor = run.supervisor();
        let is_held = procfs::stat(run.pid()).is_some_and(|warden| warden.state == 't');
        send(supervisor, Signal::SIGKILL);
        nothing_is_left(&all);
        assert_eq!(run.finish().signal(), Some(Signal::SIGKILL));
        is_held
    });
}

#[test]
fn a_killed_warden_leaves_no_process() {
    let (run, all) = hiders(8);
    run.signal(Signal::SIGKILL);
    nothing_is_left(&all);
    assert_eq!(run.finish().signal(), Some(Signal::SIGKILL));
}

#[test]
fn killing_supervisor_and_warden_together_leaves_no_protocol_worker() {
    let run = Run::worker("work").with("--workers 4").jsonl();
    let run = run.given(["print up; hang"; 4]).start();
    (1..=4).for_each(|worker| run.stdout.line(worker, "up"));
    let all = procfs::descendants(run.pid());
    let inner = run.supervisor();
    run.signal(Signal::SIGSTOP);
    send(inner, Signal::SIGKILL);
    run.signal(Signal::SIGKILL);
    nothing_is_left(&all);
    drop(run.finish());
}

#[test]
fn processes_that_fork_during_the_kill_are_killed() {
    // Each process forks the next and exits.
    let chain = "setsid sh -c 'f() { sleep 0.001; f & }; f' & echo up; sleep 1000";
    let run = Run::sh(chain).jsonl().start();
    run.stdout.line(1, "up");
    send(run.supervisor(), Signal::SIGKILL);
    // `finish` looks for processes with the variable of this test.
    assert_eq!(run.finish().signal(), Some(Signal::SIGKILL));
}

#[test]
fn the_warden_ends_as_the_supervisor_does() {
    for (script, code) in [("exit 0", 0), ("exit 7", 1)] {
        assert_eq!(Run::sh(script).finish().code(), Some(code));
    }
    assert_eq!(Run::of(["/no/such/program"]).finish().code(), Some(127));
    let run = Run::sh("echo up; exec sleep 1000").jsonl().start();
    run.stdout.line(1, "up");
    send(run.supervisor(), Signal::SIGABRT);
    assert_eq!(run.finish().signal(), Some(Signal::SIGABRT));
}

#[test]
fn a_signal_to_the_inner_supervisor_is_ignored() {
    let run = Run::sh("trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done").jsonl().start();
    run.stdout.line(1, "up");
    send(run.supervisor(), Signal::SIGTERM);
    send(run.supervisor(), Signal::SIGINT);
    // If the supervisor handled the signals, it would have stopped before this.
    run.signal(Signal::SIGUSR1);
    run.stderr.until("a table", |text| text.contains("running").then_some(()));
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert_eq!(run.stderr.matches("stopping").count(), 1, "{}", run.stderr);
    assert_eq!(run.signal(), Some(Signal::SIGTERM));
}

#[test]
fn orphans_of_a_worker_are_killed_and_named() {
    let script =
        "case $SUPERVISOR_WORKER in 1) setsid sleep 1000 & (setsid sh -c 'sleep 999; :' &) ;; esac
                  echo up; read x < $PWD/fifo";
    let run = Run::sh(script).with("--workers 2").jsonl();
    let fifo = run.scratch.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let run = run.start();
    (1..=2).for_each(|worker| run.stdout.line(worker, "up"));
    let pids = run.first_pids(2);
    let asleep = || {
        procfs::descendants(run.pid())
            .into_iter()
            .filter(|pid| procfs::name(*pid) == "sleep")
            .count()
    };
    until("what is left behind", || asleep() == 2);
    send(pids[0], Signal::SIGKILL);
    let ended = run.stdout.record("ended", 1, 1);
    let mut left: Vec<_> = ended["left_behind"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    left.sort_unstable();
    assert_eq!(left, ["sh", "sleep", "sleep"]);
    assert_eq!(asleep(), 0);
    std::fs::write(&fifo, "\n").unwrap();
    let run = run.finish();
    assert!(run.stderr.contains("; left 3 processes: "), "{}", run.stderr);
    assert_eq!(run.records("ended")[1].get("left_behind"), None);
}

#[test]
fn kill_leader_and_kill_group_leave_other_processes_alone() {
    for (reach, kept) in [("leader", 2), ("group", 1), ("tree", 0)] {
        let hides = "setsid sh -c ': > there; exec sleep 1000' &";
        let script = format!("sleep 1000 & {hides} until rm there 2>&-; do :; done");
        let run = Run::sh(&script);
        let run = run.with("--kill").with(reach).jsonl().start();
        run.stdout.record("ended", 1, 1);
        let mark = run.mark().to_owned();
        until("its end", || {
            !procfs::is_alive(run.pid()) || procfs::stat(run.pid()).unwrap().state == 'Z'
        });
        // A killed process may exist a moment longer until init reaps it.
        until("the others' end", || procfs::with_environment(&mark).len() <= kept);
        let left = procfs::with_environment(&mark);
        assert_eq!(left.len(), kept, "{reach}");
        left.into_iter().for_each(|pid| send(pid, Signal::SIGKILL));
        assert_eq!(run.finish().code(), Some(0));
    }
}

#[test]
fn as_init_of_a_container_it_reaps_all_and_stops_on_term() {
    let inside = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    if !Command::new(inside[0]).args(&inside[1..]).arg("true").status().is_ok_and(|s| s.success()) {
        eprintln!("SKIPPED: no PID namespace is to be had here");
        return;
    }
    // Each round leaves orphans that end by themselves.
    let script = "(setsid sh -c '(sleep 0.01 &) & sleep 0.01' &) & (sleep 0.02 &) & echo up";
    let run = Run::sh(&format!("while :; do {script}; sleep 0.02; done")).with("--workers 2");
    let run = run.jsonl().under(inside).start();
    for _ in 0..50 {
        run.stdout.line(1, "up");
    }
    let warden = procfs::children(run.pid())[0].pid;
    let zombies = || {
        let all = procfs::descendants(warden);
        all.into_iter()
            .filter(|pid| {
                procfs::stat(*pid).is_some_and(|stat| {
                    stat.state == 'Z'
                        && [warden, procfs::children(warden)[0].pid].contains(&stat.parent)
                })
            })
            .count()
    };
    until("a moment without zombies", || zombies() == 0);
    send(warden, Signal::SIGTERM);
    let run = run.finish();
    assert_eq!(run.stderr.matches("SIGTERM: stopping").count(), 1, "{}", run.stderr);
    assert_eq!(run.code(), Some(128 + 15), "{:?}", run.status);
}

#[test]
fn ctrl_z_suspends_the_whole_run_and_fg_resumes_it() {
    suspended_and_resumed(|terminal, _| terminal.press(b"\x1a"));
}

#[test]
fn other_signals_of_the_terminal_suspend_the_whole_run_too() {
    for signal in [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU] {
        suspended_and_resumed(|_, warden| send(warden, signal));
        // A signal to the group reaches the supervisor as well, and suspends the run once.
        suspended_and_resumed(|_, warden| send(-warden, signal));
    }
}

/// Suspends a run by `stop`, which gets the PID of the warden, and resumes it.
fn suspended_and_resumed(stop: impl Fn(&mut Terminal, i32)) {
    let mut terminal = Terminal::open();
    let before = nix::sys::termios::tcgetattr(terminal.line()).unwrap();
    // A shell with job control that prints how its foreground job stopped.
    let shell = "set -m; \"$0\" \"$@\"; echo \"stopped: $?\"; read line; fg >/dev/null";
    let run = Run::sh("sleep 1000 & echo up; wait").with("--workers 2 --timestamps");
    let run = terminal.control_through(run, ["bash", "-c", shell]);
    let run = run.stdout(terminal.line()).stderr(terminal.line()).start();
    let shown = terminal.shown();
    let wait_for = |what: &str| shown.until(what, |text| text.contains(what).then_some(()));
    let count =
        |what: &str| shown.until(what, |text| (text.matches(what).count() == 2).then_some(()));
    count("] up");
    // The warden, the supervisor, and two processes per worker.
    let all = procfs::descendants(run.pid());
    assert_eq!(all.len(), 6, "{all:?}");
    let in_state = |state| {
        all.iter().filter(|pid| procfs::stat(**pid).is_some_and(|s| s.state == state)).count()
    };
    stop(&mut terminal, procfs::children(run.pid())[0].pid);
    wait_for("stopped: 148");
    until("all stopped", || in_state('T') == 6);
    terminal.press(b"\n");
    until("all awake", || in_state('T') == 0 && in_state('S') == 6);
    terminal.press(b"\x03");
    wait_for("w2.1 ");
    let after = nix::sys::termios::tcgetattr(terminal.line()).unwrap();
    assert_eq!(before, after);
    drop(terminal);
    // The shell exits with the status of its job.
    let run = run.finish();
    assert!(run.code() == Some(130) || run.signal() == Some(Signal::SIGINT), "{:?}", run.status);
}

#[test]
fn a_run_that_reads_the_terminal_in_the_background_is_suspended_until_fg() {
    let mut terminal = Terminal::open();
    let shell = "set -m; \"$0\" \"$@\" & until jobs -s | grep -q .; do sleep 0.02; done
                 echo stopped; read line; fg >/dev/null";
    let run = Run::each(["echo", "got {}"]).with("-j 1 -a -");
    let run = terminal.control_through(run, ["bash", "-c", shell]);
    let run = run.stdout(terminal.line()).stderr(terminal.line()).start();
    let shown = terminal.shown();
    let wait_for = |what: &str| shown.until(what, |text| text.contains(what).then_some(()));
    wait_for("stopped");
    terminal.press(b"\n");
    let is_stopped = |pid: &i32| procfs::stat(*pid).is_some_and(|stat| stat.state == 'T');
    until("all awake", || !procfs::descendants(run.pid()).iter().any(is_stopped));
    terminal.press(b"a job\n\x04");
    wait_for("got a job");
    drop(terminal);
    assert_eq!(run.finish().code(), Some(0));
}

#[test]
fn suspended_time_does_not_count_towards_the_grace_period() {
    const GRACE: Duration = Duration::from_secs(3);
    let mut terminal = Terminal::open();
    let shell = "set -m; \"$0\" \"$@\"; echo \"stopped: $?\"; read line; fg >/dev/null";
    let body = "trap 'echo asked' TERM; until [ -e go ]; do sleep 0.02; done; echo done {}";
    let run = Run::each([body, ":::", "well"]);
    let run = run.with("--shell --timeout 200ms --grace 3s --output lines");
    let run = terminal.control_through(run, ["bash", "-c", shell]);
    let run = run.stdout(terminal.line()).stderr(terminal.line()).start();
    let shown = terminal.shown();
    let wait_for = |what: &str| shown.until(what, |text| text.contains(what).then_some(()));
    wait_for("asked");
    terminal.press(b"\x1a");
    wait_for("stopped: 148");
    let stopped = Instant::now();
    until("longer than the grace", || stopped.elapsed() > GRACE);
    terminal.press(b"\n");
    let is_stopped = |pid: &i32| procfs::stat(*pid).is_some_and(|stat| stat.state == 'T');
    until("all awake", || !procfs::descendants(run.pid()).iter().any(is_stopped));
    std::fs::write(run.scratch_path().join("go"), "").unwrap();
    wait_for("done well");
    wait_for("timeout");
    std::fs::remove_file(run.scratch_path().join("go")).unwrap();
    drop(terminal);
    assert_eq!(run.finish().code(), Some(1));
}
