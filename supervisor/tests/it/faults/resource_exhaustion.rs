//! Exhausted resources: forks that fail, reused PIDs, fork bombs and many daemons. Each ends in a
//! clean outcome or a clean stop, and no process is left.

use std::process::{Command, Stdio};

use crate::support::{Run, SUPERVISOR, Signal, can, procfs, until};

#[test]
fn a_failed_fork_is_retried() {
    if !can(&["strace", "-V"]) {
        return;
    }
    for error in ["EAGAIN", "ENOMEM"] {
        // The first two calls of the supervisor start its threads, the third its first worker.
        for (which, workers) in [(3, 2), (4, 2), (4, 1)] {
            let calls = "clone,clone3,vfork,fork";
            let inject = format!("inject={calls}:error={error}:when={which}");
            let strace =
                ["strace", "-f", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject];
            let run = Run::of(["true"]).with("--workers").with(&workers.to_string());
            let run = run.under(strace).finish();
            assert_eq!(run.code(), Some(0), "{error} {which}: {}", run.stderr);
            assert_eq!(run.lines().len(), workers, "{}", run.stderr);
        }
        let inject = format!("inject=clone,clone3,vfork,fork:error={error}:when=1");
        let strace = ["strace", "-f", "-o", "/dev/null", "-e", &inject];
        let run = Run::of(["true"]).under(strace).finish();
        assert_eq!(run.code(), Some(125));
        assert!(
            run.stderr.starts_with("supervisor: cannot split off the warden: "),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn a_reused_pid_is_never_signalled() {
    if !can(&[
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "test",
        "-w",
        "/proc/sys/kernel/ns_last_pid",
    ]) {
        return;
    }
    // The first worker ends, an unrelated process gets its PID, and then the run is stopped.
    let script = r#"
        "$0" run --workers 2 --format jsonl -- sh -c '[ $SUPERVISOR_WORKER = 1 ] || exec sleep 1000' > out &
        supervisor=$!
        until grep -q '"ended"' out; do sleep 0.01; done
        gone=$(grep '"ended"' out | sed 's/.*"pid":\([0-9]*\).*/\1/')
        innocent=0
        while [ "$innocent" != "$gone" ]; do
            [ $innocent = 0 ] || kill -9 $innocent
            echo $((gone - 1)) > /proc/sys/kernel/ns_last_pid
            setsid sleep 1000 &
            innocent=$!
        done
        kill -TERM $supervisor
        wait $supervisor
        sed 's/{.*"type":"slot","worker":2.*/the other has ended/' out | tail -1
        [ "$(cat /proc/$innocent/comm)" = sleep ] && kill -9 $innocent && echo "the innocent lives"
        rm out"#;
    let mut shell = Command::new("unshare");
    shell.args(["--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script, SUPERVISOR]);
    let place = crate::support::files::Scratch::new();
    crate::support::reset_signals();
    let output = shell.current_dir(place.path()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        printed,
        "the other has ended\nthe innocent lives\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_worker_that_closes_every_descriptor_is_still_supervised() {
    let script = "exec 0<&- 1>&- 2>&-; [ $SUPERVISOR_WORKER = 1 ] && exit 7; exec sleep 1000";
    let run = Run::sh(script).with("--workers 2").jsonl().start();
    let ended = run.stdout.record("ended", 1, 1);
    assert_eq!((&ended["code"], &ended["cause"]), (&7.into(), &"exit".into()));
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().signal(), Some(Signal::SIGTERM));
}

#[test]
fn a_fork_bomb_is_killed_with_all_its_processes() {
    let _busy = crate::support::load::busy();
    // RLIMIT_NPROC does not bind root.
    let user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    if !can(&[&user[..], &[SUPERVISOR, "--version"]].concat()) {
        return;
    }
    for stop in [Signal::SIGTERM, Signal::SIGKILL] {
        let bomb = "f() { f | f & }; echo up; f; exec sleep 1000";
        let run = Run::of(["bash", "-c", bomb]).with("--limit nproc=200 --grace 1s");
        let run = run.jsonl().under(user).stderr(Stdio::null()).start();
        run.stdout.line(1, "up");
        until("many", || procfs::descendants(run.pid()).len() > 50);
        run.signal(stop);
        assert_eq!(run.finish().signal(), Some(stop));
    }
}

#[test]
fn daemons_of_a_worker_are_killed_and_named() {
    let script = "for n in $(seq 50); do (setsid sleep 1000 &); done; echo up; exec sleep 1000";
    let run = Run::sh(script).jsonl().start();
    run.stdout.line(1, "up");
    let asleep = || {
        procfs::descendants(run.pid()).iter().filter(|pid| procfs::name(**pid) == "sleep").count()
    };
    until("fifty daemons and their worker", || asleep() == 51);
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    let ended = &run.records("ended")[0];
    // At most sixteen are named.
    assert_eq!(ended["left_behind"].as_array().unwrap().len(), 16, "{ended}");
    assert_eq!(ended["cause"], "shutdown");
}

#[test]
fn each_job_reports_the_daemon_it_left() {
    let run = Run::each_sh("setsid sleep 1000 > /dev/null 2>&1 & :").with("-j 4").jsonl();
    let run = run.given((1..=200).map(|number| number.to_string())).finish();
    let jobs = run.jobs();
    assert_eq!(jobs.len(), 200);
    for job in jobs {
        assert_eq!(job["attempts"][0]["left_behind"].as_array().map(Vec::len), Some(1), "{job}");
    }
}
