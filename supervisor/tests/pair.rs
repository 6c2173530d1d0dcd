//! The pair at its work: connections under the supervisor, and a server with a process for each
//! client. Whatever is done to one, the others do not notice.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{fs, os::unix::fs::symlink, path::Path, process::Command, thread};

use support::{
    Run, Running, Signal,
    files::Scratch,
    pid, procfs, send,
    upstream::{Upstream, get, sibling},
};

#[test]
fn four_connections_print_four_bodies_and_end_well() {
    let run = Run::of([sibling("connection_bin")]).with("--workers 4").finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let lines = run.lines();
    for worker in 1..=4 {
        let title = format!("[{worker}]   \"title\": ");
        assert_eq!(lines.iter().filter(|line| line.starts_with(&title)).count(), 1, "{lines:?}");
        let task = format!("Task {worker} (PID ");
        let tasks = lines.iter().filter(|line| line.starts_with(&task));
        assert!(tasks.clone().all(|line| line.ends_with(") exited with code 0")));
        assert_eq!(tasks.count(), 1, "{lines:?}");
    }
    assert_eq!(run.stderr.matches("no URL given: built-in upstream on 127.0.0.1:").count(), 4);
}

/// Kills the third of four and sees that only it is replaced.
fn third_of_four_is_replaced(run: Running) {
    let before = run.first_pids(4);
    run.ready();
    send(before[2], Signal::SIGKILL);
    let ended = run.stdout.record("ended", 3, 1);
    assert_eq!((&ended["cause"], &ended["sender"]), (&"signal".into(), &"outside".into()));
    assert_eq!((pid(&ended), &ended["code"]), (before[2], &137.into()));
    let after = pid(&run.stdout.record("started", 3, 2));
    assert!([before[0], before[1], after, before[3]].into_iter().all(procfs::is_alive));
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    let restarts: Vec<_> =
        run.records("slot").iter().map(|task| task["restarts"].clone()).collect();
    assert_eq!(restarts, [0, 0, 1, 0]);
}

#[test]
fn a_connection_killed_by_pid_is_replaced_and_the_others_do_not_notice() {
    let upstream = Upstream::start(&[]);
    let url = format!("http://{}/delay/600", upstream.address);
    let connection = sibling("connection_bin").into_os_string();
    let run = Run::of([connection, url.into()]).with("--workers 4 --restart always").jsonl();
    third_of_four_is_replaced(run.start());
}

#[test]
fn a_server_killed_by_pid_is_replaced_and_its_connection_goes_with_it() {
    let upstream = Upstream::start(&[]);
    let url = format!("CONNECTION_URL=http://{}/delay/600", upstream.address);
    let run = Run::of([sibling("server_bin")]).with("--workers 4 --restart always").jsonl();
    symlink(sibling("connection_bin"), run.scratch.path().join("connection_bin")).unwrap();
    third_of_four_is_replaced(run.option("--env", url).start());
}

#[test]
fn of_fifty_clients_five_crash_their_process_and_the_others_are_served() {
    let upstream = Upstream::start(&[]);
    let answers: Vec<Option<String>> = thread::scope(|scope| {
        let ask = |number: usize| {
            let mut client = upstream.client();
            let path = if number.is_multiple_of(10) { "/crash" } else { "/posts/7" };
            scope.spawn(move || get(&mut client, path))
        };
        let asking: Vec<_> = (0..50).map(ask).collect();
        asking.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let whole = |answer: &&String| answer.contains("\"id\": 7") && answer.trim_end().ends_with('}');
    assert_eq!(answers.iter().flatten().filter(whole).count(), 45);
    assert_eq!(answers.iter().filter(|answer| answer.is_none()).count(), 5);
    upstream.logs("code 139 (SIGSEGV", 5);
    upstream.logs("code 0;", 45);
}

#[test]
fn a_backend_killed_by_pid_breaks_one_client_only() {
    let upstream = Upstream::start(&[]);
    let (mut one, mut other) = (upstream.client(), upstream.client());
    let victim: i32 = get(&mut one, "/pid").unwrap().trim().parse().unwrap();
    let survivor = get(&mut other, "/pid").unwrap();
    send(victim, Signal::SIGKILL);
    assert_eq!(get(&mut one, "/pid"), None);
    assert_eq!(get(&mut other, "/pid").unwrap(), survivor);
    upstream.logs(&format!("(PID {victim}): code 137 (SIGKILL, outside)"), 1);
}

#[test]
fn a_backend_that_leaks_reaches_its_limit_alone() {
    let upstream = Upstream::start(&["--memory", "64M"]);
    let (mut leaky, mut other) = (upstream.client(), upstream.client());
    let survivor = get(&mut other, "/pid").unwrap();
    // In small steps, so that its peak comes near the limit.
    let steps = (0..20).take_while(|_| get(&mut leaky, "/leak/8").is_some()).count();
    assert!((1..8).contains(&steps), "{steps}");
    assert_eq!(get(&mut other, "/pid").unwrap(), survivor);
    upstream.logs("code 134 (SIGABRT", 1);
}

/// A root with the shell variant, this connection and the real server.
fn root(name: &str, connection: &Path) -> Scratch {
    let root = Scratch::new(&format!("{name}-{}", std::process::id()));
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    fs::create_dir(root.path().join("scripts")).unwrap();
    fs::copy(scripts.join("run.sh"), root.path().join("scripts/run.sh")).unwrap();
    symlink(sibling("server_bin"), root.path().join("server_bin")).unwrap();
    symlink(connection, root.path().join("connection_bin")).unwrap();
    root
}

/// Runs the shell variant from another directory: its status, stdout and stderr.
fn run_sh(root: &Scratch) -> (Option<i32>, String, String) {
    let script = root.path().join("scripts/run.sh");
    let output = Command::new("sh").arg(script).current_dir("/").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn exited_with(stdout: &str, code: i32) -> usize {
    let is_task = |line: &&str| line.starts_with("Task ") && line.contains(" exited with ");
    let ending = format!(") exited with code {code}");
    stdout.lines().filter(is_task).filter(|line| line.ends_with(&ending)).count()
}

#[test]
fn the_shell_variant_tells_how_each_server_ended() {
    let root = root("shell-well", &sibling("connection_bin"));
    let (status, stdout, stderr) = run_sh(&root);
    assert_eq!((status, exited_with(&stdout, 0)), (Some(0), 4), "{stdout}{stderr}");
    assert_eq!(stdout.matches("Output: {").count(), 4, "{stdout}");
}

#[test]
fn the_shell_variant_fails_when_a_connection_does() {
    let scratch = Scratch::new(&format!("failing-{}", std::process::id()));
    let failing = scratch.file("failing", "#!/bin/sh\necho no luck >&2\nexit 1\n", 0o755);
    let root = root("shell-failed", &failing);
    let (status, stdout, stderr) = run_sh(&root);
    assert_eq!((status, exited_with(&stdout, 1)), (Some(1), 4), "{stdout}{stderr}");
    assert_eq!(stderr.matches("Error: no luck").count(), 4, "{stderr}");
}
