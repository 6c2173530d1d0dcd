//! What a worker sends and receives while it runs a job, over two bare pipes.

use std::{
    fs::File,
    io::{self, PipeWriter, Read, Write, pipe},
    os::fd::OwnedFd,
    thread,
};

use worker::{
    CancelReason, JobSignal, ServeError, Stream, Worker, frame,
    wire::{CANCELS, Codec, SupervisorHello, ToSupervisor, ToWorker, WorkerHello},
};

const MAX_FRAME: usize = 8 << 10;

fn say(to: &mut PipeWriter, message: &ToWorker<'_>) {
    let mut bytes = Vec::new();
    frame::append(&mut bytes, MAX_FRAME, |out| Codec::Bincode.write_to_worker(message, out))
        .unwrap();
    to.write_all(&bytes).unwrap();
}

fn job(id: u64) -> ToWorker<'static> {
    ToWorker::Job { id, attempt: 1, payload: b"x".into() }
}

fn cancel(id: u64) -> ToWorker<'static> {
    ToWorker::Cancel { id, reason: "timeout".into() }
}

/// A worker that accepts cancels, the pipe to it, and the pipe from it.
fn worker() -> (Worker, PipeWriter, File) {
    let (jobs, mut to_worker) = pipe().unwrap();
    let (from_worker, replies) = pipe().unwrap();
    let hello = SupervisorHello {
        version: 1,
        codecs: vec!["bincode".into()],
        max_frame: MAX_FRAME as u64,
        worker: "w1.1".into(),
    };
    to_worker.write_all(&hello.to_frame()).unwrap();
    let worker = Worker::over_cancellable(jobs.into(), replies.into(), None).unwrap();
    (worker, to_worker, File::from(OwnedFd::from(from_worker)))
}

fn next(worker: &mut Worker) -> Option<u64> {
    worker.next_job().unwrap().map(|job| job.id)
}

#[test]
fn only_the_running_job_is_cancelled() {
    let (mut worker, mut to, _replies) = worker();
    say(&mut to, &job(1));
    assert_eq!(next(&mut worker), Some(1));
    say(&mut to, &cancel(7));
    assert_eq!(worker.receive().unwrap(), JobSignal::Nothing);
    // Jobs that arrive meanwhile are kept, also those before the cancel.
    say(&mut to, &job(2));
    say(&mut to, &cancel(1));
    assert_eq!(worker.receive().unwrap(), JobSignal::Cancel(CancelReason::Timeout));
    worker.reply(Ok(b"stopped")).unwrap();
    assert_eq!(next(&mut worker), Some(2));
    drop(to);
    assert_eq!(worker.receive().unwrap(), JobSignal::Gone);
}

#[test]
fn a_full_job_queue_applies_backpressure_and_loses_nothing() {
    let (mut worker, mut to, mut replies) = worker();
    // Otherwise the pipe of replies would fill up.
    let reader = thread::spawn(move || io::copy(&mut replies, &mut io::sink()));
    say(&mut to, &job(1));
    assert_eq!(next(&mut worker), Some(1));
    let mut sent = 1;
    loop {
        // As much as the pipe is sure to take.
        for _ in 0..500 {
            sent += 1;
            say(&mut to, &job(sent));
        }
        match worker.receive().unwrap() {
            JobSignal::Nothing => {}
            signal => break assert_eq!(signal, JobSignal::Full),
        }
    }
    worker.reply(Ok(b"")).unwrap();
    drop(to);
    for id in 2..=sent {
        assert_eq!(next(&mut worker), Some(id));
        worker.reply(Ok(b"")).unwrap();
    }
    assert_eq!(next(&mut worker), None);
    drop(worker);
    reader.join().unwrap().unwrap();
}

#[test]
fn messages_of_a_job_are_in_order_and_fit_their_frames() {
    let (mut worker, mut to, mut replies) = worker();
    assert!(matches!(worker.output(Stream::Stdout, b"none runs"), Err(ServeError::NoJob)));
    say(&mut to, &job(1));
    assert_eq!(next(&mut worker), Some(1));
    let long = vec![b'y'; 3 * MAX_FRAME];
    worker.started(4712).unwrap();
    worker.output(Stream::Stderr, &long).unwrap();
    worker.progress(0.5, "half").unwrap();
    worker.reply(Ok(b"done")).unwrap();
    drop((worker, to));
    let mut replies_read = Vec::new();
    replies.read_to_end(&mut replies_read).unwrap();
    let (hello, mut rest) = frame::split(&replies_read, MAX_FRAME).unwrap().unwrap();
    assert!(WorkerHello::from_bytes(hello).unwrap().capabilities.contains(&CANCELS.to_owned()));
    let (mut kinds, mut output) = (Vec::new(), Vec::new());
    while let Some((body, after)) = frame::split(rest, MAX_FRAME).unwrap() {
        match Codec::Bincode.read_to_supervisor(body).unwrap() {
            ToSupervisor::Started { id: 1, pid: 4712 } => kinds.push("started"),
            ToSupervisor::Output { id: 1, stream: 2, bytes } => output.extend_from_slice(&bytes),
            ToSupervisor::Progress { id: 1, note, .. } if note == "half" => kinds.push("progress"),
            ToSupervisor::Reply { id: 1, result: Ok(result), .. } if *result == *b"done" => {
                kinds.push("reply");
            }
            other => panic!("{other:?}"),
        }
        rest = after;
    }
    assert_eq!((kinds, output == long), (vec!["started", "progress", "reply"], true));
}
