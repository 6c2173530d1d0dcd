//! The views of a live run: `ps`, `why`, `logs`, its snapshot over the control socket and over
//! HTTP, and its metrics.

use std::fs;

use super::{
    super::support::{Run, Running, procfs, runtime_dir::RuntimeDir, until},
    check,
    filter::{pretty, stable},
};

/// A run whose first job failed and whose second runs until the file `go` is there.
fn busy(runs: &RuntimeDir) -> Running {
    let script = "echo out {}; [ {} != 1 ] || exit 5; while [ ! -e go ]; do sleep 0.01; done";
    let run = Run::each_sh(script).with("-j 1 --name it --serve :0");
    let run = runs.run(run).given(["1", "2", "3"]).start();
    runs.wait_for_run();
    until("the second job runs, and its memory is known", || {
        let look = runs.snapshot();
        let worker = &look["workers"][0];
        worker["job"]["id"] == 2
            && worker["state"] == "ready"
            && !worker["memory_bytes"].is_null()
            && look["jobs"]["queued"] == 1
    });
    run
}

fn finish(run: Running) {
    fs::write(run.scratch_path().join("go"), "").unwrap();
    until("its end", || procfs::stat(run.pid()).is_none_or(|stat| stat.state == 'Z'));
    fs::remove_file(run.scratch_path().join("go")).unwrap();
    run.finish();
}

/// Runs are listed by the names they gave themselves, which are random.
fn in_order(table: &str) -> String {
    let (head, rows) = table.split_once('\n').unwrap();
    let mut rows: Vec<_> = rows.lines().collect();
    rows.sort_unstable();
    format!("{head}\n{}\n", rows.join("\n"))
}

#[test]
fn what_a_live_run_shows_is_golden() {
    let runs = RuntimeDir::new();
    let run = busy(&runs);
    for (name, words) in [
        ("ps", &["ps"][..]),
        ("ps-run", &["ps", "--run", "it"]),
        ("why-failed-job", &["why", "1"]),
        ("why-running-job", &["why", "2"]),
        ("why-worker", &["why", "w1"]),
        ("logs", &["logs"]),
    ] {
        check(&format!("live-{name}"), &stable(&runs.output(words)));
    }
    for (name, words) in [
        ("ps", &["ps", "--format", "jsonl"][..]),
        ("why-failed-job", &["why", "1", "--format", "jsonl"]),
        ("why-running-job", &["why", "2", "--format", "jsonl"]),
        ("why-worker", &["why", "w1", "--format", "jsonl"]),
        ("logs", &["logs", "--format", "jsonl"]),
    ] {
        check(&format!("live-{name}-json"), &pretty(runs.output(words).lines()));
    }
    let refused =
        ["why 99", "why 3", "why w9", "kill w9", "cancel 99", "retry 2", "ps --run other"];
    let refused = refused.map(|words| runs.refusal(&words.split(' ').collect::<Vec<_>>()));
    check("live-refusals", &stable(&refused.concat()));
    let other = Run::sh("exec sleep 600").with("-w 1 --restart always --name other");
    let other = runs.run(other).start();
    until("the other run is ready", || {
        let rows = String::from_utf8(runs.request(&["ps"]).stdout).unwrap();
        rows.lines().any(|row| row.contains("(other)") && row.contains("running"))
    });
    check("live-ps-list", &in_order(&stable(&runs.output(&["ps"]))));
    runs.output(&["stop", "--now", "--run", "other"]);
    other.finish();
    check("web-metrics", &stable(&run.get("/metrics").body));
    let mut events = run.follow("/events");
    let (name, _) = events.next().unwrap().unwrap();
    assert_eq!(name, "snapshot");
    finish(run);
    let names: Vec<_> = events.rest().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.last().map(String::as_str), Some("end"), "{names:?}");
}

#[test]
fn a_snapshot_of_services_is_golden() {
    let runs = RuntimeDir::new();
    let run = Run::sh("exec sleep 600").with("-w 1 --restart always --name it --serve :0");
    let run = runs.run(run).start();
    runs.wait_for_run();
    until("its memory is known", || {
        let worker = &runs.snapshot()["workers"][0];
        worker["state"] == "ready" && !worker["memory_bytes"].is_null()
    });
    runs.output(&["kill", "w1"]);
    until("the second worker is ready, and its memory is known", || {
        let worker = &runs.snapshot()["workers"][0];
        worker["generation"] == 2 && worker["state"] == "ready" && !worker["memory_bytes"].is_null()
    });
    check("live-services-ps", &stable(&runs.output(&["ps", "--run", "it"])));
    check("live-services-why-worker", &stable(&runs.output(&["why", "w1"])));
    let look = runs.output(&["ps", "--run", "it", "--format", "jsonl"]);
    check("live-services-ps-json", &pretty(look.lines()));
    check("web-metrics-services", &stable(&run.get("/metrics").body));
    runs.output(&["stop", "--now"]);
    run.finish();
}
