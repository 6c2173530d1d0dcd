//! The restart intensity: a slot whose workers crash too often is given up, shown as such, and started
//! again on request.

use crate::support::{Run, Running, Signal, runtime_dir::RuntimeDir, until};

fn always(script: &str, options: &str) -> Run {
    Run::sh(script).with("--restart always").with(options).jsonl()
}

/// Stops the run, however it ends.
fn stop(run: Running) {
    run.signal(Signal::SIGTERM);
    run.finish();
}

#[test]
fn a_program_that_crashes_just_after_it_was_ready_is_given_up() {
    let run = always("sleep 1.05; exit 1", "--restart-intensity 3").finish();
    assert_eq!(run.code(), Some(4), "{}", run.stderr);
    let ended = run.records("ended");
    let next: Vec<_> = ended.iter().map(|it| it["next"].as_str().unwrap()).collect();
    assert_eq!(next, ["restart", "restart", "gave_up"]);
    let after = [0, 1].map(|nth: usize| ended[nth]["after_ms"].as_f64().unwrap());
    assert!(after[0] == 0.0 && after[1] >= 80.0, "{after:?}");
    let words = "given up after 3 crashes within 5m00s: supervisor kill w1 starts it again";
    assert!(run.stderr.contains(words), "{}", run.stderr);
}

#[test]
fn crashes_count_only_within_the_period() {
    let run = always("sleep 1.05; exit 1", "--restart-intensity 2 --restart-period 500ms").start();
    assert!(
        (1..=3).all(|generation| run.stdout.record("ended", 1, generation)["next"] == "restart")
    );
    stop(run);
}

#[test]
fn an_end_with_success_is_no_crash() {
    let run = always("exit 0", "--restart-intensity 2").start();
    for generation in 1..=6 {
        let ended = run.stdout.record("ended", 1, generation);
        let after = ended["after_ms"].as_f64().unwrap();
        assert!((80.0..=120.0).contains(&after), "{ended}");
    }
    stop(run);
}

#[test]
fn a_kill_from_outside_is_no_crash() {
    let run = always("kill -KILL $$", "--restart-intensity 2").start();
    assert!(
        (1..=5).all(|generation| run.stdout.record("ended", 1, generation)["next"] == "restart")
    );
    stop(run);
}

/// Two workers, of which the second crashes until the file `fixed` exists, and is given up.
fn given_up(runs: &RuntimeDir) -> Running {
    let script = "[ $SUPERVISOR_WORKER = 1 ] || [ -e fixed ] || exit 78; exec sleep 1000";
    let options = "--workers 2 --restart-intensity 2 --name it --serve 127.0.0.1:0";
    let run = runs.run(always(script, options)).start();
    runs.wait_for_run();
    wait_for(runs, "given_up");
    run
}

/// Waits until the second slot is in this state.
fn wait_for(runs: &RuntimeDir, state: &str) {
    until(&format!("slot 2 to be {state}"), || {
        let snapshot = runs.snapshot();
        snapshot["workers"]
            .as_array()
            .unwrap()
            .iter()
            .any(|worker| worker["worker"] == 2 && worker["state"] == state)
    });
}

#[test]
fn a_slot_that_was_given_up_is_shown_as_such() {
    let runs = RuntimeDir::new();
    let run = given_up(&runs);
    let ps = runs.output(&["ps"]);
    assert!(ps.contains("1 of 2 workers up, 1 given up"), "{ps}");
    assert!(ps.lines().any(|line| line.starts_with("w2.2 ") && line.contains("given_up")), "{ps}");
    run.signal(Signal::SIGUSR1);
    run.stderr.until("the table", |text| text.contains("exit, given up").then_some(()));
    stop(run);
}

#[test]
fn a_slot_that_was_given_up_is_started_again_on_request() {
    for request in [&["kill", "w2"][..], &["scale", "2"], &["hang up"]] {
        let runs = RuntimeDir::new();
        let run = given_up(&runs);
        std::fs::write(run.scratch_path().join("fixed"), "").unwrap();
        match request {
            ["hang up"] => run.signal(Signal::SIGHUP),
            words => drop(runs.output(words)),
        }
        wait_for(&runs, "ready");
        std::fs::remove_file(run.scratch_path().join("fixed")).unwrap();
        stop(run);
    }
}

#[test]
fn scale_reports_both_numbers_and_takes_a_change() {
    let runs = RuntimeDir::new();
    let run = runs.run(always("exec sleep 1000", "--workers 3 --name it")).start();
    runs.wait_for_run();
    assert_eq!(runs.output(&["scale", "+1"]), "3 -> 4 workers from now on\n");
    assert_eq!(runs.output(&["scale", "-3"]), "4 -> 1 worker from now on\n");
    assert_eq!(runs.snapshot()["workers_wanted"], 1);
    stop(run);
}

#[test]
fn killing_a_slot_during_a_roll_leaves_it_served() {
    let runs = RuntimeDir::new();
    // The first generation leaves slowly.
    let script = "trap 'sleep 1000' TERM; [ -e go ] && exec sleep 1000; sleep 1000 & wait; wait";
    let run = runs.run(always(script, "--name it --grace 60s")).start();
    runs.wait_for_run();
    run.ready();
    std::fs::write(run.scratch_path().join("go"), "").unwrap();
    run.signal(Signal::SIGHUP);
    let is_leaving = || runs.snapshot()["workers"][0]["state"] == "stopping";
    until("the old worker to leave", is_leaving);
    assert_eq!(runs.output(&["kill", "w1"]), "w1.1 killed\n");
    run.stdout.record("ended", 1, 1);
    until("the new worker alone to serve", || {
        let workers = runs.snapshot()["workers"].clone();
        workers[0]["generation"] == 2 && workers[0]["state"] == "ready" && workers[1].is_null()
    });
    assert!(!run.stdout.text().contains("\"generation\":3"), "only one worker was killed");
    std::fs::remove_file(run.scratch_path().join("go")).unwrap();
    stop(run);
}
