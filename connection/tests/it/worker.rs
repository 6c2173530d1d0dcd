//! `connection_bin` as a worker: the real binary, over pipes.

use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use protocol::frame;
use protocol::wire::{Codec, SupervisorHello, ToSupervisor, ToWorker, WorkerHello};

use crate::support::{PATIENCE, upstream};

const FRAME_MAX: usize = 1 << 20;

/// Sets the variable in a shell, since its value names the PID of the worker.
const START: &str = r#"exec 3<&0 4>&1 </dev/null >/dev/null; SUPERVISOR_WIRE=$$:3:4:- exec "$@""#;

#[test]
fn every_job_gets_its_own_reply_or_fault() {
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
    // With a URL the variable is ignored.
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
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().filter(|line| line.starts_with("elapsed: ")).count(), 5, "{stderr}");
    assert!(!stderr.contains("s3cret"), "{stderr}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn json_replies_carry_every_status() {
    let job = format!("{}/status/503", upstream());
    let (results, output) = run(command(&["--reply", "json"]), [job.as_str()]);
    let reply = results[0].as_deref().unwrap();
    assert!(reply.starts_with("{\"url\":") && reply.contains("\"status\":503,"), "{reply}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_url_argument_is_refused_before_the_hello() {
    let mut child = command(&["http://127.0.0.1:1/"]).spawn().unwrap();
    let replies = replies(&mut child);
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("takes its URLs from jobs") && error.contains("leave out"), "{error}");
    assert_eq!((replies.as_slice(), output.status.code()), (&b""[..], Some(2)));
}

#[test]
fn a_vanished_supervisor_ends_it_with_a_message() {
    let mut child = command(&[]).spawn().unwrap();
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("connection_bin: ") && error.contains("gone"), "{error}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_variable_of_another_process_is_ignored() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_connection_bin"));
    command.env_clear().env("SUPERVISOR_WIRE", "1:3:4:-").arg(upstream() + "/bytes/3");
    assert_eq!(command.stdin(Stdio::null()).output().unwrap().stdout, b"xxx\n");
}

/// A worker whose stdin carries its jobs and whose stdout carries its replies.
fn command(options: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.env_clear().args(["-c", START, "sh", env!("CARGO_BIN_EXE_connection_bin")]);
    command.args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Sends the hello, all jobs and the end of jobs; returns the results in order.
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
    let mut messages = hello.to_frame();
    let jobs = jobs.into_iter().zip(1..).map(|(job, id)| ToWorker::Job {
        id,
        attempt: 1,
        payload: job.as_bytes().into(),
    });
    for message in jobs.chain([ToWorker::Bye]) {
        let write = |out: &mut _| Codec::Bincode.write_to_worker(&message, out);
        frame::append(&mut messages, FRAME_MAX, write).unwrap();
    }
    child.stdin.as_mut().unwrap().write_all(&messages).unwrap();
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

/// Reads everything until the worker closes the pipe, or kills it after [`PATIENCE`].
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
