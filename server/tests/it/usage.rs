//! Invalid command lines are refused with one message.

use std::net::TcpListener;

use super::stage::Stage;

#[test]
fn a_usage_error_is_reported_once() {
    let stage = Stage::new();
    assert!(stage.command("touch").arg("plain").status().unwrap().success());
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let any = "127.0.0.1:0";
    for (arguments, status, words) in [
        (&["--listen", any, "--", "no-such"][..], 127, "cannot start no-such: not found in PATH"),
        (&["--listen", any, "--", "plain"], 127, "in this directory: write ./plain"),
        (&["--listen", any, "--", "./plain"], 126, "not executable: `chmod +x ./plain`"),
        (&["--listen", any], 127, "`sh scripts/prep.sh`"),
        (&["--listen", "here", "--", "cat"], 2, "write :PORT for this machine alone, or"),
        (&["--listen", "127.0.0.1:99999", "--", "cat"], 2, "write :PORT"),
        (&["--listen", "192.0.2.1:0", "--", "cat"], 125, "an address of this machine"),
        (&["--listen", &taken, "--", "cat"], 125, "choose another port"),
        (&["--listen", any, "--max-connections", "0"], 2, "1..=65536"),
        (&["--listen", any, "--max-per-address", "0"], 2, "1..=65536"),
        (&["--listen", any, "--timeout", "0", "--", "cat"], 2, "zero leaves no time"),
        (&["--timeout", "1h"], 2, "--timeout has no meaning without --listen"),
        (&["--memory", "1M"], 2, "--memory has no meaning without --listen"),
        (&["--", "cat"], 2, "a program has no meaning without --listen"),
        (&["--listen", any, "cat"], 2, "unexpected argument 'cat'"),
    ] {
        let output = stage.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_low_open_file_limit_is_refused_with_the_number_of_clients_that_fits() {
    let stage = Stage::new();
    let mut shell = stage.command("sh");
    shell.args(["-c", "ulimit -n 200; exec \"$0\" --listen 127.0.0.1:0 -- cat"]);
    let output = shell.arg(env!("CARGO_BIN_EXE_server_bin")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("64 connections need 485 open files"), "{stderr}");
    assert!(stderr.contains("at most 16 with --max-connections"), "{stderr}");
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn a_port_without_a_host_is_for_this_machine_alone() {
    let stage = Stage::new();
    let server = stage.listen_as(stage.server(&["--listen", ":0", "--", "cat"]));
    assert!(server.stop().starts_with("listening on 127.0.0.1:"));
}
