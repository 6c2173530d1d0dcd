//! A single connection.

use std::{os::unix::process::ExitStatusExt, process::Output};

use nix::sys::signal::Signal;

use super::stage::{PATIENCE, Stage};

fn check(output: &Output, status: i32, stdout: &str, stderr: &str) {
    let shown = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((shown.0.as_ref(), shown.1.as_ref()), (stdout, stderr));
    assert_eq!(output.status.code(), Some(status));
}

#[test]
fn output_is_shown_with_the_exit_code() {
    for (script, status, stdout, stderr) in [
        ("echo hello", 0, "Output: hello\n", ""),
        ("printf 'a\nb'", 0, "Output: a\nb\n", ""),
        ("true", 0, "Output: \n", ""),
        ("echo noted >&2; echo x", 0, "Output: x\n", "noted\n"),
        ("echo x; echo no route >&2; echo >&2; exit 3", 3, "", "Error: no route\n"),
        ("exit 4", 4, "", "Error: connection ended with code 4 and gave no reason\n"),
        ("kill -KILL $$", 137, "", "Error: connection was killed by SIGKILL\n"),
        ("echo oh >&2; kill -TERM $$", 143, "", "Error: connection was killed by SIGTERM: oh\n"),
        // The connection is found in this directory, gets no argument, and reads nothing.
        ("echo $0 $# $(cat)", 0, "Output: ./connection_bin 0\n", ""),
        // Processes that it leaves behind are killed.
        ("sleep 1000 & echo x", 0, "Output: x\n", ""),
        (
            "setsid sh -c 'echo >left; exec sleep 1000' & until [ -e left ]; do :; done; echo x",
            0,
            "Output: x\n",
            "",
        ),
    ] {
        let stage = Stage::with_connection(script);
        check(&stage.run(&[]), status, stdout, stderr);
    }
}

#[test]
fn long_output_is_shown_whole() {
    let stage = Stage::with_connection("head -c 9000000 /dev/zero | tr '\\0' x");
    let output = stage.run(&[]);
    assert_eq!(output.stdout.len(), "Output: \n".len() + 9_000_000);
    assert!(output.status.success());
}

#[test]
fn a_missing_connection_is_an_error_with_a_remedy() {
    let stage = Stage::new();
    let output = stage.run(&[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("./connection_bin") && stderr.contains("sh scripts/prep.sh"));
    assert_eq!((stderr.lines().count(), output.status.code()), (1, Some(127)), "{stderr}");

    let mut touch = stage.command("touch");
    assert!(touch.arg("connection_bin").status().unwrap().success());
    let output = stage.run(&[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("chmod +x ./connection_bin"), "{stderr}");
    assert_eq!((stderr.lines().count(), output.status.code()), (1, Some(126)), "{stderr}");
}

#[test]
fn a_signal_stops_the_connection_and_then_the_server() {
    for (signal, first) in [
        (Signal::SIGTERM, ""),
        (Signal::SIGINT, ""),
        (Signal::SIGHUP, ""),
        // A connection that ignores TERM is killed.
        (Signal::SIGTERM, "trap '' TERM; "),
        // Killing the server ends the connection, too.
        (Signal::SIGKILL, ""),
    ] {
        let stage = Stage::with_connection(&format!("{first}exec 9>up; echo >&9; exec sleep 1000"));
        let up = stage.pipe("up");
        let server = stage.start();
        up.recv_timeout(PATIENCE).unwrap();
        server.signal(signal);
        let (status, log) = server.ended();
        assert_eq!((status.signal(), log.as_str()), (Some(signal as i32), ""));
        // The last writer has exited.
        assert!(up.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Disconnected));
    }
}

#[test]
fn a_reader_that_closes_stdout_ends_the_server_by_sigpipe() {
    let stage = Stage::with_connection("head -c 9000000 /dev/zero");
    let mut pipeline = stage.command("bash");
    pipeline.args(["-c", "\"$0\" | head -c 1 > /dev/null; echo ${PIPESTATUS[0]}"]);
    let output = pipeline.arg(env!("CARGO_BIN_EXE_server_bin")).output().unwrap();
    check(&output, 0, "141\n", "");
}
