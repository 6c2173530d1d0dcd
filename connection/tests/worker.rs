//! What does a supervisor see of `connection_bin` as a worker? The real binary, with pipes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy knows tests, not what they call"
)]

use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use connection::upstream;
use protocol::frame;
use protocol::wire::{Codec, SupervisorHello, ToSupervisor, ToWorker, WorkerHello};
use tokio::runtime::Builder;

/// Nothing here takes a tenth of it, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const FRAME_MAX: usize = 1 << 20;

/// The process that the variable names is the one that it is set for, so a shell sets it.
const START: &str = r#"exec 3<&0 4>&1 </dev/null >/dev/null; SUPERVISOR_WIRE=$$:3:4:- exec "$@""#;

#[test]
fn every_job_gets_its_reply_and_a_fault_is_its_own() {
    let base = upstream();
    let secret = format!("{}/delay/3000", base.replace("//", "//ann:s3cret@"));
    let jobs = [
        (format!("{base}/bytes/3"), Ok("xxx")),
        (format!("{base}/status/503"), Err("Status: 503 Service Unavailable")),
        (r#"{"url":"http://h/","tiemout":1}"#.into(), Err("unknown field `tiemout`")),
        (format!(r#"{{"url":"{secret}","timeout":0.1}}"#), Err("within 100 ms")),
        (format!("{base}/bytes/4k"), Err("--max-body")),
        (format!(r#"{{"url":"{base}/delay/0.2","timeout":60}}"#), Ok("answered after 200 ms\n")),
    ];
    // The variable is for those who name no URL.
    let mut command = command(&["--max-body", "1k", "--time"]);
    command.env("CONNECTION_URL", "nonsense");
    let (results, output) = run(command, jobs.iter().map(|(job, _)| job.as_str()));
    assert_eq!(results.len(), jobs.len());
    for (result, (job, expected)) in results.iter().zip(&jobs) {
        match (result, expected) {
            (Ok(reply), Ok(body)) => assert_eq!(reply, body, "{job}"),
            (Err(message), Err(part)) => {
                assert!(message.contains(part) && !message.contains("s3cret"), "{job}: {message}");
            }
            _ => panic!("{job}: {result:?}"),
        }
    }
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().filter(|line| line.starts_with("elapsed: ")).count(), 5, "{said}");
    assert!(!said.contains("s3cret"), "{said}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn replies_in_json_tell_every_status() {
    let job = format!("{}/status/503", upstream());
    let (results, output) = run(command(&["--reply", "json"]), [job.as_str()]);
    let reply = results[0].as_deref().unwrap();
    assert!(reply.starts_with("{\"url\":") && reply.contains("\"status\":503,"), "{reply}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_url_on_the_command_line_is_refused_before_a_word_is_said() {
    let mut child = command(&["http://127.0.0.1:1/"]).spawn().unwrap();
    let said = replies(&mut child);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("takes its URLs from jobs") && told.contains("leave out"), "{told}");
    assert_eq!((said.as_slice(), output.status.code()), (&b""[..], Some(2)));
}

#[test]
fn a_supervisor_that_is_gone_ends_it_with_a_word() {
    let mut child = command(&[]).spawn().unwrap();
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("connection_bin: ") && told.contains("gone"), "{told}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_variable_of_another_process_is_none_of_its_business() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_connection_bin"));
    command.env_clear().env("SUPERVISOR_WIRE", "1:3:4:-").arg(upstream() + "/bytes/3");
    assert_eq!(command.stdin(Stdio::null()).output().unwrap().stdout, b"xxx\n");
}

/// A worker whose stdin and stdout, as seen from here, are its jobs and its replies.
fn command(options: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.env_clear().args(["-c", START, "sh", env!("CARGO_BIN_EXE_connection_bin")]);
    command.args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Says hello, sends all jobs at once and then that there are no more; the results in order.
fn run<'a>(
    mut command: Command,
    jobs: impl IntoIterator<Item = &'a str>,
) -> (Vec<Result<String, String>>, Output) {
    let mut child = command.spawn().unwrap();
    let hello = SupervisorHello {
        version: protocol::wire::VERSION,
        codecs: vec!["bincode".into()],
        max_frame: FRAME_MAX as u64,
        worker: "w1.1".into(),
    };
    let mut said = hello.to_frame();
    let jobs = jobs.into_iter().zip(1..).map(|(job, id)| ToWorker::Job {
        id,
        attempt: 1,
        payload: job.as_bytes().into(),
    });
    for message in jobs.chain([ToWorker::Bye]) {
        let write = |out: &mut _| Codec::Bincode.write_to_worker(&message, out);
        frame::append(&mut said, FRAME_MAX, write).unwrap();
    }
    child.stdin.as_mut().unwrap().write_all(&said).unwrap();
    let answer = replies(&mut child);
    let (hello, mut rest) = frame::split(&answer, FRAME_MAX).unwrap().expect("a hello");
    assert_eq!(WorkerHello::from_bytes(hello).unwrap().pid, child.id());
    let mut results = Vec::new();
    while let Some((body, more)) = frame::split(rest, FRAME_MAX).unwrap() {
        rest = more;
        let message = Codec::Bincode.read_to_supervisor(body).unwrap();
        let ToSupervisor::Reply { id, result, .. } = message else { panic!("{message:?}") };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        results.push(result.map(|reply| text(&reply)).map_err(|why| why.message.into_owned()));
        assert_eq!(id, results.len() as u64);
    }
    (results, child.wait_with_output().unwrap())
}

/// All it says until it closes the pipe, or its end by force.
fn replies(child: &mut Child) -> Vec<u8> {
    let mut pipe = child.stdout.take().unwrap();
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        done.send(pipe.read_to_end(&mut bytes).map(|_| bytes))
    });
    let bytes = ended.recv_timeout(PATIENCE);
    if bytes.is_err() {
        child.kill().unwrap();
    }
    bytes.expect("ends in time").unwrap()
}

/// An upstream of its own for a test, to the end of the tests: `http://ADDRESS`.
fn upstream() -> String {
    let (listener, url) = upstream::bind().unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    thread::spawn(move || runtime.block_on(upstream::serve(listener)));
    format!("http://{}", url.authority())
}
