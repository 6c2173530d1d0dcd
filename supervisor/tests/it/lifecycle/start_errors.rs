//! A program that cannot be started causes one message with the reason and the remedy, the exit
//! status that a shell would give, and no retry.

use crate::support::{Finished, Run, can};

/// Runs three workers that fail alike, and checks that there is one message.
fn refused(run: Run, status: i32, thing: &str, remedy: &str) {
    let run = run.with("--workers 3 --restart always").finish();
    said_once(&run, status, thing, remedy);
    assert_eq!(run.stdout_text(), "");
}

fn said_once(run: &Finished, status: i32, thing: &str, remedy: &str) {
    assert_eq!(run.code(), Some(status), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(run.stderr.starts_with("supervisor: "), "{}", run.stderr);
    assert!(run.stderr.contains(thing) && run.stderr.contains(remedy), "{}", run.stderr);
}

#[test]
fn a_missing_program_exits_with_127() {
    refused(Run::of(["no-such-program"]), 127, "no-such-program: not found", "give its path");
    refused(Run::of(["./no/such"]), 127, "./no/such: no such file", "check the path");
    let run = Run::of(["./no/such"]).with("--cwd /usr");
    refused(run, 127, "no such file in /usr", "check the path");
    let run = Run::of(["here"]);
    run.scratch.file("here", "#!/bin/sh\n", 0o755);
    refused(run, 127, "here: not found in PATH", "write ./here");
    let run = Run::of(["./script"]);
    run.scratch.file("script", "#!/no/such/interpreter\n", 0o755);
    refused(run, 127, "./script: the interpreter", "install it");
}

#[test]
fn an_unexecutable_program_exits_with_126() {
    refused(Run::of(["/usr"]), 126, "/usr: it is a directory", "name a program in it");
    let run = Run::of(["./plain"]);
    run.scratch.file("plain", "#!/bin/sh\n", 0o644);
    refused(run, 126, "./plain: it is not executable", "chmod +x ./plain");
    let run = Run::of(["./script"]);
    run.scratch.file("script", "echo not for a shell to guess\n", 0o755);
    refused(run, 126, "./script: the kernel knows no such format", "#!/bin/sh");
}

#[test]
fn a_refused_limit_exits_with_125() {
    // More than any fs.nr_open: the kernel refuses it even for root.
    let run = Run::of(["true"]).with("--limit nofile=99999999999");
    refused(run, 125, "refuses the limit nofile=99999999999", "ulimit -H");
}

#[test]
fn a_missing_directory_is_a_usage_error() {
    let run = Run::of(["true"]).with("--cwd no/such");
    refused(run, 2, "--cwd no/such is not there", "give a directory");
    let run = Run::of(["true"]).with("--cwd plain");
    run.scratch.file("plain", "", 0o644);
    refused(run, 2, "--cwd plain is not a directory", "give a directory");
}

#[test]
fn a_call_that_the_kernel_or_a_sandbox_denies_is_named() {
    if !can(&["strace", "-V"]) {
        return;
    }
    for (call, error, remedy) in [
        ("pidfd_open", "ENOSYS", "pidfd_open needs Linux 5.10"),
        ("pidfd_open", "EPERM", "a sandbox denies pidfd_open"),
        ("close_range", "ENOSYS", "close_range needs Linux 5.11"),
        ("close_range", "EPERM", "a sandbox denies close_range"),
    ] {
        let inject = format!("inject={call}:error={error}");
        let strace =
            ["strace", "-f", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject];
        refused(Run::of(["true"]).under(strace), 125, "cannot start true: ", remedy);
        let run = Run::each(["true"]).under(strace).with("-j 3").given(["x"; 9]).finish();
        said_once(&run, 125, "cannot start true: ", remedy);
    }
}

#[test]
fn a_worker_runs_without_a_recorder_where_shared_memory_is_denied() {
    let jobs = ["a", "b", "c"];
    let without = |run: Run| {
        let run = run.jsonl().given(jobs).finish();
        assert_eq!((run.code(), run.jobs().len()), (Some(0), 3), "{}", run.stderr);
    };
    // The page of the recorder is a file to this limit.
    without(Run::worker("work").after("ulimit -f 8"));
    without(Run::each(["echo"]).after("ulimit -f 8"));
    if !can(&["strace", "-V"]) {
        return;
    }
    for error in ["EPERM", "ENOSYS"] {
        let inject = format!("inject=memfd_create:error={error}");
        let strace = ["strace", "-f", "-o", "/dev/null", "-e", "trace=memfd_create", "-e", &inject];
        without(Run::worker("work").under(strace));
        without(Run::each(["echo"]).under(strace));
    }
}

#[test]
fn a_machine_without_proc_or_dev_is_told_what_is_missing() {
    if !can(&["unshare", "-m", "true"]) {
        return;
    }
    for (place, thing, remedy) in [
        ("/proc", "execute /proc/self/exe: No such file", "/proc is not mounted: mount it"),
        ("/dev", "open /dev/null: No such file", "/dev lacks its usual files: mount it"),
    ] {
        let mount = format!("mount -t tmpfs none {place} && exec \"$0\" \"$@\"");
        let hidden = ["unshare", "-m", "sh", "-c", &mount];
        refused(Run::of(["true"]).under(hidden), 125, thing, remedy);
    }
}

#[test]
fn a_proc_of_another_pid_namespace_is_noticed_and_not_read() {
    if !can(&["unshare", "--pid", "--fork", "true"]) {
        return;
    }
    let script = "setsid sleep 1000 & exit 0";
    let run = Run::sh(script).with("--memory 1G").under(["unshare", "--pid", "--fork"]).finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let [message] = run.messages()[..] else { panic!("{}", run.stderr) };
    assert!(message.contains("/proc belongs to another PID namespace"), "{message}");
    assert!(message.contains("unshare --mount-proc"), "{message}");
}

#[test]
fn a_stack_that_is_too_small_is_refused_with_the_remedy() {
    let run = Run::of(["true"]).after("ulimit -s 64").finish();
    said_once(&run, 125, "the stack is limited to 64.0 KiB", "ulimit -s");
}

#[test]
fn records_carry_the_start_fault() {
    let run = Run::of(["no-such-program"]).with("--workers 2").jsonl().finish();
    said_once(&run, 127, "no-such-program", "PATH");
    let records = run.records("ended");
    assert_eq!(records.len(), 2);
    for record in &records {
        assert_eq!(record["cause"], "could_not_start");
        assert_eq!(record["fault"], "execute: No such file or directory");
        assert_eq!(record["next"], "done");
    }
    assert!(run.records("started").is_empty());
}

#[test]
fn a_limit_too_low_for_startup_is_named() {
    // The dynamic loader runs, fails, and exits with 127.
    let run = Run::of(["true"]).with("--limit as=1M").finish();
    assert_eq!(run.code(), Some(1), "{}", run.stderr);
    assert!(run.lines().last().unwrap().ends_with("exited with code 127"), "{:?}", run.lines());
    let [message] = run.messages()[..] else { panic!("{}", run.stderr) };
    assert!(message.contains("the limit as may be below what the program needs"), "{message}");
    assert!(message.ends_with("raise it"), "{message}");
    assert!(!run.stderr.contains("not found"), "{}", run.stderr);
}
