//! What other users prepare is not believed, and nothing is written where they could redirect it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, lchown, symlink},
    path::Path,
    process::{Command, Output},
};

use crate::support::{
    Run, SUPERVISOR, Signal, can, files::Scratch, runtime_dir::RuntimeDir, until,
};

/// A user without any rights.
const NOBODY: u32 = 65534;
const AS_NOBODY: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

/// Whether a test can act as two users.
fn has_users() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    is_root && can(&[&AS_NOBODY[..], &["true"]].concat())
}

fn as_nobody(words: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(AS_NOBODY[0]);
    command.args(&AS_NOBODY[1..]).arg(SUPERVISOR).args(words);
    command.env("SUPERVISOR_RUNTIME_DIR", directory).output().unwrap()
}

fn directory(path: &Path, owner: u32, mode: u32) {
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    chown(path, Some(owner), Some(owner)).unwrap();
}

#[test]
fn a_directory_of_runs_that_another_user_controls_is_refused_and_named() {
    if !has_users() {
        return;
    }
    let scratch = Scratch::new();
    let (open, closed) = (scratch.path().join("open"), scratch.path().join("closed"));
    directory(&open, 0, 0o777);
    directory(&closed, 0, 0o700);
    for (directory, reason) in [(&open, "another user (uid 0)"), (&closed, "Permission denied")] {
        for words in [&["ps"][..], &["stop"]] {
            let Output { status, stdout, stderr } = as_nobody(words, directory);
            let error = String::from_utf8(stderr).unwrap();
            assert_eq!((status.code(), &stdout[..]), (Some(1), &b""[..]), "{error}");
            assert!(error.contains("cannot be seen") && error.contains(reason), "{error}");
        }
    }
}

#[test]
fn root_puts_no_control_socket_where_another_user_can_replace_it() {
    if !has_users() {
        return;
    }
    let scratch = Scratch::new();
    let (theirs, world) = (scratch.path().join("theirs"), scratch.path().join("world"));
    directory(&theirs, NOBODY, 0o700);
    directory(&world, 0, 0o777);
    for above in [theirs, world] {
        let variable = format!("SUPERVISOR_RUNTIME_DIR={}/runs", above.display());
        let run = Run::sh("echo up").under(["env", &variable]).finish();
        assert_eq!((run.lines()[0], run.code()), ("[1] up", Some(0)));
        let name = above.file_name().unwrap().display();
        let message = format!("can change what is below `{name}`");
        assert!(run.stderr.contains(&message), "{}", run.stderr);
        assert_eq!(fs::read_dir(&above).unwrap().count(), 0);
    }
}

#[test]
fn root_writes_no_report_and_no_journal_through_the_link_of_another_user() {
    if !has_users() {
        return;
    }
    let scratch = Scratch::new();
    let precious = scratch.file("precious", "precious", 0o600);
    let theirs = scratch.path().join("theirs");
    directory(&theirs, NOBODY, 0o755);
    let link = theirs.join("link");
    symlink(&precious, &link).unwrap();
    lchown(&link, Some(NOBODY), Some(NOBODY)).unwrap();
    for (option, path) in [("--joblog", &link), ("--events", &link), ("--journal", &link)] {
        let run = Run::each(["true", "{}"]).option(option, path).given(["a"]).finish();
        let reason = "a symbolic link of another user (uid 65534) leads to what is not theirs";
        assert!(run.stderr.contains(reason), "{option}: {}", run.stderr);
        assert_ne!(run.code(), Some(0));
    }
    let files = format!("files:{}", theirs.display());
    // The link appears during the run, where a link that is there before is refused at the start.
    let planted = theirs.join("2.stdout");
    let plant = format!(
        "ln -s {} {planted} && chown -h {NOBODY}:{NOBODY} {planted}; : {{}}",
        precious.display(),
        planted = planted.display()
    );
    let run =
        Run::each_sh(&plant).with("-j 1").option("--output", files).given(["a", "b"]).finish();
    assert_eq!(run.code(), Some(1), "{}", run.stderr);
    assert!(run.stderr.contains("job 2 failed: cannot start"), "{}", run.stderr);
    let socket = format!("unix:{}", theirs.join("up/socket").display());
    symlink(scratch.path(), theirs.join("up")).unwrap();
    lchown(theirs.join("up"), Some(NOBODY), Some(NOBODY)).unwrap();
    let run = Run::sh("true").option("--serve", socket).finish();
    assert!(run.stderr.contains("leads to what is not theirs"), "{}", run.stderr);
    assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
}

#[test]
fn runs_with_one_name_are_told_apart_by_their_ids() {
    let runs = RuntimeDir::new();
    let start = || {
        let run = runs.run(Run::sh("echo up; exec sleep 1000").with("--name dup")).start();
        until("up", || run.stdout.text().contains("up"));
        run
    };
    let (first, second) = (start(), start());
    until("two runs", || runs.output(&["ps"]).lines().count() == 3);
    let refused = runs.refusal(&["stop", "--run", "dup"]);
    let (_, ids) = refused.trim_end().split_once("give the id of one to --run: ").unwrap();
    let ids: Vec<&str> = ids.split(", ").collect();
    assert_eq!(ids.len(), 2, "{refused}");
    for id in ids {
        runs.output(&["stop", "--wait", "--run", id]);
    }
    for run in [first, second] {
        assert_eq!(run.finish().code(), Some(3));
    }
}

#[test]
fn a_run_is_found_from_any_shell_of_the_same_user() {
    let space = ["unshare", "-m", "sh", "-c"];
    if !nix::unistd::geteuid().is_root()
        || !can(&[&space[..], &["mount -t tmpfs none /run"]].concat())
    {
        return;
    }
    let script = "mount -t tmpfs none /run && unset XDG_RUNTIME_DIR SUPERVISOR_RUNTIME_DIR
        \"$0\" run --name svc --restart always sleep 1000 >/dev/null & P=$!
        until \"$0\" ps --run svc >/dev/null 2>&1; do sleep 0.01; done
        mkdir -p /run/user/0
        XDG_RUNTIME_DIR=/run/user/0 TMPDIR=/nowhere \"$0\" stop --run svc; echo $?
        kill $P; wait $P";
    let output = Command::new(space[0]).args(&space[1..]).args([script, SUPERVISOR]).output();
    let output = output.unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.starts_with("asked to stop\n0\n"), "{shown}");
}

#[test]
fn requests_from_another_user_are_refused() {
    if !has_users() || !can(&[&AS_NOBODY[..], &["python3", "-c", ""]].concat()) {
        return;
    }
    let runs = RuntimeDir::new();
    let run = runs.run(Run::sh("echo up; exec sleep 1000").with("--name it")).start();
    until("up", || run.stdout.text().contains("up"));
    runs.wait_for_run();
    // File modes alone would let the other user in.
    fs::set_permissions(runs.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(runs.0.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(runs.socket(), PermissionsExt::from_mode(0o666)).unwrap();
    let script = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  s.sendall(b'{\"schema\":1,\"ask\":\"act\",\"act\":\"stop\"}\\n')\n\
                  print(s.makefile().readline())";
    let mut command = Command::new(AS_NOBODY[0]);
    command.args(&AS_NOBODY[1..]).args(["python3", "-c", script]).arg(runs.socket());
    let answer = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(answer.contains("this run belongs to another user"), "{answer}");
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().signal(), Some(Signal::SIGTERM));
}
