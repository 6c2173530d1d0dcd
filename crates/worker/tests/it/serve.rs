//! A worker runs its jobs in order, reports every failure, loses nothing, and skips retracted jobs.

use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use crate::peer::{MAX_FRAME, Peer, reply};
use worker::{
    Job, frame,
    wire::{Codec, FailureKind, ToSupervisor, ToWorker},
};

const BOTH: [bool; 2] = [true, false];

type Echoed = Result<Vec<u8>, String>;

fn echo(job: Job<'_>) -> Echoed {
    Ok(job.into_bytes())
}

/// A job function that announces each job named `wait` and blocks until it is released.
fn stepwise() -> (impl FnMut(Job<'_>) -> Echoed + Send, Receiver<u64>, SyncSender<()>) {
    let (begun, is_begun) = sync_channel(9);
    let (go, may_go) = sync_channel(9);
    let work = move |job: Job<'_>| {
        if job.bytes() == b"wait" {
            begun.send(job.id).unwrap();
            may_go.recv().unwrap();
        }
        Ok(job.into_bytes())
    };
    (work, is_begun, go)
}

#[test]
fn jobs_run_in_order_and_every_reply_arrives() {
    for has_recorder in BOTH {
        let mut peer = Peer::thread(has_recorder, echo);
        let payloads: Vec<String> = (1..=5_000).map(|id| format!("job {id}")).collect();
        let jobs: Vec<(u64, &[u8])> = (1..).zip(payloads.iter().map(String::as_bytes)).collect();
        // Reads while it writes, as a supervisor does.
        for batch in jobs.chunks(200) {
            peer.jobs(batch);
            for (id, payload) in batch {
                assert_eq!(peer.reply(), Some((*id, Ok(payload.to_vec()))));
            }
        }
        let (rest, end) = peer.end();
        assert!(rest.is_empty());
        end.unwrap();
    }
}

#[test]
fn large_jobs_and_replies_are_whole() {
    for has_recorder in BOTH {
        let mut peer = Peer::thread(has_recorder, echo);
        for size in [1 << 20, 3, (32 << 10) - 1, 32 << 10, (64 << 10) + 1, 0, 5 << 20, 1 << 20] {
            let payload: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
            peer.jobs(&[(7, &payload), (8, b"small")]);
            assert!(peer.reply() == Some((7, Ok(payload))), "{size}");
            assert_eq!(peer.reply(), Some((8, Ok(b"small".to_vec()))));
        }
    }
}

#[test]
fn errors_and_panics_fail_the_job_but_not_the_worker() {
    let mut peer = Peer::thread(true, |job: Job<'_>| match job.bytes() {
        b"error" => Err("no luck".into()),
        b"panic" => panic!("number {}", job.id),
        b"odd" => std::panic::panic_any(7),
        other => Ok(other.to_vec()),
    });
    peer.jobs(&[(1, b"error"), (2, b"panic"), (3, b"odd"), (4, b"fine")]);
    assert_eq!(peer.reply(), Some((1, Err("no luck".into()))));
    let body = peer.frame().unwrap();
    let ToSupervisor::Reply { id: 2, result: Err(failure), .. } =
        Codec::Bincode.read_to_supervisor(&body).unwrap()
    else {
        panic!("{body:?}")
    };
    assert_eq!((failure.kind, &*failure.message), (FailureKind::Panic, "number 2"));
    assert!(failure.place.contains("serve.rs:"), "{}", failure.place);
    assert!(matches!(peer.reply(), Some((3, Err(_)))));
    assert_eq!(peer.reply(), Some((4, Ok(b"fine".to_vec()))));
}

#[test]
fn a_reply_over_the_limit_is_a_failure() {
    let mut peer = Peer::thread(true, |job: Job<'_>| match job.bytes() {
        b"long" => Ok(vec![0; MAX_FRAME]),
        b"wordy" => Err("é".repeat(MAX_FRAME)),
        other => Ok(other.to_vec()),
    });
    peer.jobs(&[(1, b"long"), (2, b"wordy"), (3, b"fine")]);
    assert!(peer.reply().unwrap().1.unwrap_err().contains("--max-frame"));
    assert!(peer.reply().unwrap().1.unwrap_err().len() <= 64 << 10);
    assert_eq!(peer.reply(), Some((3, Ok(b"fine".to_vec()))));
}

#[test]
fn retracted_jobs_are_skipped_until_resume() {
    let (work, is_begun, go) = stepwise();
    let mut peer = Peer::thread(true, work);
    peer.jobs(&[(11, b"wait"), (12, b"x"), (13, b"x")]);
    assert_eq!(is_begun.recv().unwrap(), 11);
    assert_eq!((peer.recorder().retract(), peer.recorder().retract()), (Some(1), None));
    peer.jobs(&[(14, b"x")]);
    peer.say(&[ToWorker::Resume]);
    peer.jobs(&[(15, b"wait")]);
    go.send(()).unwrap();
    assert_eq!(peer.reply(), Some((11, Ok(b"wait".to_vec()))));
    assert_eq!(is_begun.recv().unwrap(), 15);
    assert_eq!(peer.recorder().running(), (5, false));
    go.send(()).unwrap();
    let (replies, end) = peer.end();
    assert_eq!(replies, [(15, Ok(b"wait".to_vec()))]);
    end.unwrap();
}

#[test]
fn the_recorder_holds_replies_that_were_not_written() {
    let (work, is_begun, go) = stepwise();
    let mut peer = Peer::thread(true, work);
    peer.jobs(&[(1, b"tiny"), (2, b"wait"), (3, b"last")]);
    is_begun.recv().unwrap();
    let mut page = Vec::new();
    peer.recorder().tail(peer.position, &mut page).unwrap();
    if let Some((body, b"")) = frame::split(&page, MAX_FRAME).unwrap() {
        assert_eq!(reply(Codec::Bincode, body), (1, Ok(b"tiny".to_vec())));
    } else {
        // If the reply was already written, the recorder holds none.
        assert!(page.is_empty());
    }
    go.send(()).unwrap();
    let (replies, _) = peer.end();
    assert_eq!(replies.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn without_a_recorder_replies_are_not_batched() {
    let (work, is_begun, go) = stepwise();
    let mut peer = Peer::thread(false, work);
    peer.jobs(&[(1, b"tiny"), (2, b"wait")]);
    is_begun.recv().unwrap();
    assert_eq!(peer.reply(), Some((1, Ok(b"tiny".to_vec()))));
    go.send(()).unwrap();
    assert_eq!(peer.reply(), Some((2, Ok(b"wait".to_vec()))));
}

#[test]
fn bye_ends_the_worker_and_garbage_is_an_error() {
    let mut peer = Peer::thread(true, echo);
    peer.jobs(&[(1, b"x")]);
    peer.say(&[ToWorker::Cancel { id: 9, reason: "r".repeat(40_000).into() }, ToWorker::Bye]);
    let (replies, end) = peer.end();
    assert_eq!(replies.len(), 1);
    end.unwrap();
    for bytes in [&[4, 0, 0, 0, 9, 0, 0, 0][..], &[0xff; 4]] {
        let mut peer = Peer::thread(true, echo);
        peer.write(bytes);
        peer.end().1.unwrap_err();
    }
}

#[test]
fn a_job_dropped_without_a_reply_gets_a_failure() {
    let (jobs, mut to_worker) = std::io::pipe().unwrap();
    let (mut from_worker, replies) = std::io::pipe().unwrap();
    let hello = worker::wire::SupervisorHello {
        version: 1,
        codecs: vec!["bincode".into()],
        max_frame: 1024,
        worker: String::new(),
    };
    let mut bytes = hello.to_frame();
    let job = ToWorker::Job { id: 1, attempt: 1, payload: b"x".into() };
    frame::append(&mut bytes, 99, |out| Codec::Bincode.write_to_worker(&job, out)).unwrap();
    std::io::Write::write_all(&mut to_worker, &bytes).unwrap();
    drop(to_worker);
    let served = thread::spawn(|| {
        let mut worker = worker::Worker::over(jobs.into(), replies.into(), None).unwrap();
        assert!(worker.next_job().unwrap().is_some() && worker.next_job().unwrap().is_none());
        worker.reply(Ok(b"")).unwrap_err();
    });
    let mut sent = Vec::new();
    std::io::Read::read_to_end(&mut from_worker, &mut sent).unwrap();
    served.join().unwrap();
    let (_, sent) = frame::split(&sent, 999).unwrap().unwrap();
    let (body, _) = frame::split(sent, 999).unwrap().unwrap();
    assert!(reply(Codec::Bincode, body).1.unwrap_err().contains("no reply"));
}

#[test]
fn another_protocol_version_is_named_and_answered() {
    let (jobs, mut to_worker) = std::io::pipe().unwrap();
    let (mut from_worker, replies) = std::io::pipe().unwrap();
    let hello = br#"{"type":"hello","version":2}"#;
    let mut bytes = Vec::new();
    frame::append(&mut bytes, 99, |out| out.extend_from_slice(hello)).unwrap();
    std::io::Write::write_all(&mut to_worker, &bytes).unwrap();
    let fault = worker::Worker::over(jobs.into(), replies.into(), None).unwrap_err();
    assert!(fault.to_string().contains("version 2 "), "{fault}");
    let mut sent = Vec::new();
    std::io::Read::read_to_end(&mut from_worker, &mut sent).unwrap();
    assert!(!sent.is_empty());
}
