//! `connection_bin URL...`: the real binary against real servers on the loopback interface.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, runtime, upstream};

#[test]
fn without_a_url_the_built_in_upstream_answers() {
    let output = finish(connection());
    let body = String::from_utf8(output.stdout).unwrap();
    assert!(
        body.starts_with("{\n  \"userId\": 1,\n  \"id\": 1,") && body.ends_with("\n}\n"),
        "{body}"
    );
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("no URL given: built-in upstream on 127.0.0.1:"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_built_in_upstream_ignores_the_proxy() {
    let mut command = connection();
    command.env("http_proxy", closed_port()).env("CONNECTION_URL", "");
    assert_eq!(finish(command).status.code(), Some(0));
}

#[test]
fn the_url_may_come_from_the_environment() {
    let url = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n");
    let mut command = connection();
    // Stdin is not a socket, so this is not a backend, whatever the environment says.
    command.env("CONNECTION_URL", url).env("PROTO", "TCP");
    let output = finish(command);
    assert_eq!((output.stdout.as_slice(), text(&output).as_str()), (&b"hello\n"[..], ""));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_status_other_than_success_fails() {
    let base = upstream();
    for (code, shown) in [(404, "404 Not Found"), (500, "500 Internal Server Error"), (304, "304")]
    {
        let output = fetch(&[], &[format!("{base}/status/{code}")]);
        let expected = format!("Failed to get a valid response. Status: {shown}");
        assert!(text(&output).starts_with(&expected), "{}", text(&output));
        assert_eq!(text(&output).lines().count(), 1);
        assert_eq!((output.stdout.len(), output.status.code()), (0, Some(1)));
    }
}

#[test]
fn a_network_error_is_one_line_with_its_causes() {
    let truncated = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
    let endless_head = b"HTTP/1.1 200 OK\r\nX";
    let tls_on_plain = upstream().replace("http:", "https:");
    for (url, reason) in [
        (closed_port().replace("//", "//ann:secret@"), "Connection refused (os error 111)"),
        (answering(truncated), "end of file"),
        (answering(endless_head), "connection closed"),
        (answering(b"220 smtp.example\r\n"), "HTTP"),
        (tls_on_plain, "corrupt message"),
    ] {
        let output = fetch(&[], &[url]);
        assert!(text(&output).contains(reason), "{reason}: {}", text(&output));
        assert!(text(&output).contains("://127.0.0.1:"), "names no URL: {}", text(&output));
        assert!(!text(&output).contains("secret"), "{}", text(&output));
        assert_eq!(text(&output).trim_end().lines().count(), 1, "{}", text(&output));
        assert_eq!((output.stdout.len(), output.status.code()), (0, Some(1)));
    }
}

#[test]
fn a_timeout_names_the_url_the_limit_and_the_flag_but_no_password() {
    let url = upstream().replace("//", "//ann:secret@") + "/delay/3000";
    let output = fetch(&["--timeout", "100ms"], &[url]);
    let stderr = text(&output);
    assert!(stderr.contains("/delay/3000: no complete answer within 100 ms"), "{stderr}");
    assert!(stderr.contains("--timeout") && !stderr.contains("secret"), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_body_beyond_the_cap_names_the_cap_and_the_flag() {
    let announced = upstream() + "/bytes/4097";
    let silent = answering(&[&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[b'x'; 4097]].concat());
    for url in [announced, silent] {
        let output = fetch(&["--max-body", "4k"], &[url]);
        let stderr = text(&output);
        assert!(
            stderr.contains("4.0 KiB (4096 bytes)") && stderr.contains("--max-body"),
            "{stderr}"
        );
        assert_eq!((output.stdout.len(), output.status.code()), (0, Some(1)));
    }
    let output = fetch(&["--max-body", "4k"], &[upstream() + "/bytes/4096"]);
    assert_eq!((output.stdout.len(), output.status.code()), (4097, Some(0)), "body and newline");
}

#[test]
fn bodies_are_written_unchanged_with_one_final_newline() {
    for (body, written) in [
        (&b"\0\xff\r\n\xc3"[..], &b"\0\xff\r\n\xc3\n"[..]),
        (b"line\n", b"line\n"),
        (b"\n\n", b"\n\n"),
        (b"", b""),
    ] {
        let url = answering(&[b"HTTP/1.1 200 OK\r\n\r\n", body].concat());
        assert_eq!(fetch(&[], &[url]).stdout, written);
    }
}

#[test]
fn several_urls_are_fetched_concurrently() {
    // The server answers only when all requests are there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let clients: Vec<_> = listener.incoming().take(4).map(Result::unwrap).collect();
        clients.into_iter().for_each(|client| answer(client, b"HTTP/1.1 200 OK\r\n\r\nhere\n"));
    });
    let output = fetch(&[], &[url.clone(), url.clone(), url.clone(), url]);
    assert_eq!(
        (output.stdout.as_slice(), output.status.code()),
        (&b"here\n".repeat(4)[..], Some(0))
    );
}

#[test]
fn sequential_takes_the_sum_and_concurrent_the_longest() {
    let urls = vec![upstream() + "/delay/0.3"; 4];
    let timed = |options: &[&str], urls: &[String]| {
        let began = Instant::now();
        assert_eq!(fetch(options, urls).status.code(), Some(0));
        began.elapsed()
    };
    let one = timed(&[], &urls[..1]);
    let concurrent = timed(&[], &urls);
    let sequential = timed(&["--sequential"], &urls);
    assert!(concurrent < one * 2, "one: {one:?}, four: {concurrent:?}");
    assert!(sequential > Duration::from_millis(1200), "four: {sequential:?}");
}

#[test]
fn bodies_come_in_url_order_despite_failures() {
    let base = upstream();
    let urls = ["/delay/0.3", "/status/503", "/delay/0", "/status/201"]
        .map(|path| format!("{base}{path}"));
    for options in [&["--time"][..], &["--time", "--sequential"]] {
        let output = fetch(options, &urls);
        let written = String::from_utf8_lossy(&output.stdout);
        assert_eq!(written, "answered after 300 ms\nanswered after 0.0 ms\n201 Created\n");
        let stderr = text(&output);
        let failure = "Failed to get a valid response. Status: 503 Service Unavailable http://";
        assert!(stderr.contains(failure), "{stderr}");
        assert_eq!(
            stderr.lines().filter(|line| line.starts_with("elapsed: ")).count(),
            5,
            "{stderr}"
        );
        assert!(stderr.trim_end().ends_with(" in total"), "{stderr}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn urls_beyond_the_concurrency_limit_come_in_order() {
    let base = upstream();
    let urls: Vec<_> = (0..150).map(|n| format!("{base}/bytes/{n}")).collect();
    let output = fetch(&[], &urls);
    let lengths: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::len).collect();
    assert_eq!(lengths, (1..150).collect::<Vec<_>>(), "and nothing for no bytes");
    assert_eq!((text(&output).as_str(), output.status.code()), ("", Some(0)));
}

#[test]
fn a_closed_stdout_ends_it_by_sigpipe_silently() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = connection();
    command.arg(upstream() + "/bytes/1M").stdout(writer);
    let output = finish(command);
    assert_eq!((output.status.signal(), text(&output).as_str()), (Some(13), ""));
}

#[test]
fn a_full_stdout_is_an_error() {
    let mut command = connection();
    command.arg(upstream() + "/pid").stdout(std::fs::File::create("/dev/full").unwrap());
    let output = finish(command);
    assert!(
        text(&output).starts_with("connection_bin: stdout: No space left"),
        "{}",
        text(&output)
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_unsupported_url_is_a_usage_error() {
    for words in [&["example.com/x"][..], &["ftp://127.0.0.1/"], &[""], &["--timeout", "0"]] {
        let mut command = connection();
        command.args(words);
        assert_eq!(finish(command).status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn json_replies_have_a_line_for_each_url() {
    let base = upstream();
    let urls = ["/status/503", "/bytes/3"].map(|path| format!("{base}{path}"));
    let output = fetch(&["--reply", "json"], &urls);
    let written = String::from_utf8(output.stdout.clone()).unwrap();
    let lines: Vec<_> = written.lines().collect();
    assert_eq!(lines.len(), 2, "{written}");
    for (line, parts) in lines.iter().zip([
        [r#""status":503,"#, r#""body":"503 Service Unavailable\n"}"#],
        [r#""status":200,"#, r#""body":"xxx"}"#],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
    assert_eq!((text(&output).as_str(), output.status.code()), ("", Some(0)));
}

/// The binary with an empty environment.
fn connection() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_connection_bin"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn fetch(options: &[&str], urls: &[String]) -> Output {
    let mut command = connection();
    command.args(options).args(urls);
    finish(command)
}

/// Runs the command to its end, or kills it after [`PATIENCE`].
fn finish(command: Command) -> Output {
    runtime().block_on(async {
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        tokio::time::timeout(PATIENCE, child.wait_with_output())
            .await
            .expect("ends in time")
            .unwrap()
    })
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The URL of a server that reads one request and writes this response.
fn answering(response: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let response = response.to_vec();
    thread::spawn(move || answer(listener.accept().unwrap().0, &response));
    url
}

fn answer(mut client: TcpStream, response: &[u8]) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap() == 1 {
        head.extend(byte);
    }
    // The client may have closed the connection.
    let _ = client.write_all(response);
}

/// A URL on which nothing listens: its port was just released.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}
