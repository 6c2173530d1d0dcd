//! Fuzzes what strangers send: the heads of HTTP requests, and jobs.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ::fuzz::{Checked, Did, Target};
use connection::job::{self, JobError};
use connection::request::Request;
use connection::session;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

fn heads() -> Target {
    let seeds = [
        "GET /pid HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "HEAD /posts/3?again=1 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\nGET /status/204 HTTP/1.1\r\n\r\n",
        "POST /delay/0.25 HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        "GET /status/503 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ];
    let words = &[
        "\r\n",
        "\r\n\r\n",
        ":",
        "HTTP/1.1",
        "HTTP/2.0",
        "http://h/",
        "*",
        "%00",
        "\0",
        "Expect: 100-continue\r\n",
        "Content-Length: -1\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Upgrade: h2c\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
        "/bytes/9",
    ];
    Target { name: "HTTP heads", seeds: seeds.map(|seed| seed.as_bytes().to_vec()).into(), words }
}

/// Whatever a client sends before it leaves, it is served in bounded time and gets HTTP or nothing.
fn check_head(input: &[u8], serve: impl Fn(&[u8]) -> Result<Vec<u8>, String>) -> Checked {
    // These routes crash or block the process on purpose.
    let has = |word: &str| input.windows(word.len()).any(|part| part == word.as_bytes());
    if ["crash", "leak", "spin"].into_iter().any(has) {
        return Ok(Did::Refuse);
    }
    let answer = serve(input)?;
    match answer.as_slice() {
        [] => Ok(Did::Refuse),
        answer if answer.starts_with(b"HTTP/1.1 2") || answer.starts_with(b"HTTP/1.0 2") => {
            Ok(Did::Accept)
        }
        answer if answer.starts_with(b"HTTP/1.") => Ok(Did::Refuse),
        answer => Err(format!("the answer is {}", answer.escape_ascii())),
    }
}

/// Serves a client that sends this and leaves; returns what the client gets. Waits cost no time.
fn serve(runtime: &Runtime, input: &[u8]) -> Result<Vec<u8>, String> {
    const LONGEST: Duration = Duration::from_secs(24 * 3600);
    let (mut client, accepted) = UnixStream::pair().unwrap();
    client.write_all(input).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let served = async { timeout(LONGEST, session::serve(OwnedFd::from(accepted).into())).await };
    let served = runtime.block_on(served).map_err(|_| "it is served for ever")?;
    served.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    match client.read_to_end(&mut answer) {
        // What the client sent beyond the last request makes the kernel reset the connection.
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => Err(error.to_string()),
        _ => Ok(answer),
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

#[test]
fn any_bytes_of_a_client_are_answered_or_refused() {
    let runtime = runtime();
    heads().fuzz(|input| check_head(input, |input| serve(&runtime, input)));
}

#[test]
fn an_answer_that_is_no_http_would_be_found() {
    let runtime = runtime();
    heads().finds(|input| {
        check_head(input, |input| match input.starts_with(b"GET") {
            true => serve(&runtime, input),
            false => Ok(input.to_vec()),
        })
    });
}

fn jobs() -> Target {
    let seeds = [
        "http://user:password@host:80/path?query#x",
        r#"{"url":"http://h/","method":"PUT","headers":{"A":"b","C":["d","e"]},"body":"x"}"#,
        r#"{"url":"https://h/","timeout":"200ms","body_base64":"AA=="}"#,
        r#"{"url":"http://[::1]:9/","timeout":1.5,"headers":null}"#,
        "{\"url\":\"\",\"\u{202e}\":1}",
    ];
    let words = &[
        "{",
        "}",
        "[",
        "]",
        "null",
        "\"",
        ",",
        ":",
        "\\ud800",
        "\\u0000",
        "\u{202e}",
        "\u{9b}",
        "1e999",
        "\"timeout\":",
        "\"body\":",
        "\"method\":\"CONNECT\"",
        "ftp://",
        "%00",
        "\r\nX: y",
    ];
    Target { name: "jobs", seeds: seeds.map(|seed| seed.as_bytes().to_vec()).into(), words }
}

/// A job is a request over HTTP, or is refused on one line that cannot control a terminal.
fn check_job(input: &[u8], parse: impl Fn(&[u8]) -> Result<Request, JobError>) -> Checked {
    match parse(input) {
        Ok(request) if matches!(request.url.scheme(), "http" | "https") => Ok(Did::Accept),
        Ok(request) => Err(format!("it is a request for {}", request.url)),
        Err(error) => {
            let message = error.to_string();
            let is_obeyed = |c| c != '\t' && text::escape::is_obeyed(c);
            let is_well = !message.is_empty() && !message.contains(is_obeyed);
            if is_well { Ok(Did::Refuse) } else { Err(format!("the message is {message:?}")) }
        }
    }
}

#[test]
fn any_bytes_are_a_job_or_refused() {
    jobs().fuzz(|input| check_job(input, job::parse));
}

#[test]
fn a_job_for_another_protocol_would_be_found() {
    jobs().finds(|input| {
        check_job(input, |input| {
            let mut request = job::parse(input)?;
            if request.url.port() == Some(9) {
                request.url = "ftp://h/".parse().unwrap();
            }
            Ok(request)
        })
    });
}
