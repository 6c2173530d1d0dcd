//! Tests of a connection whose far end is held by the test instead of a worker.

use std::{
    fs::File,
    io::{Read, Write},
    os::{fd::AsFd, unix::fs::FileExt},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pool::{Answer, Unsendable, job::Payload};
use process::descriptors::bytes_waiting;
use tokio::{runtime::LocalOptions, task::yield_now};
use worker::{
    frame,
    wire::{Codec, ToSupervisor, WorkerHello},
};

use super::*;

const WORKER: WorkerId = WorkerId { slot: 1, generation: 1 };

/// A connection and the descriptors of its worker.
struct Pair {
    connection: Rc<Connection>,
    jobs: File,
    replies: File,
    recorder: File,
    /// Length of the worker's hello, at which the recorder begins.
    hello_bytes: u64,
}

impl Pair {
    fn open(frame_bytes_max: usize) -> Self {
        let (wire, buffer) = (Wire::Frames, read_buffer());
        let line = Line { wire, frame_bytes_max, is_launcher: false, buffer };
        let (connection, far) = Connection::open(WORKER, &line).unwrap();
        Self {
            connection: Rc::new(connection),
            jobs: far.jobs.into(),
            replies: far.replies.into(),
            recorder: far.recorder.unwrap().into(),
            hello_bytes: 0,
        }
    }

    /// Exchanges the hellos.
    async fn greeted(frame_bytes_max: usize, codec: Codec, capabilities: &[&str]) -> Self {
        let mut pair = Self::open(frame_bytes_max);
        pair.flush().await;
        assert!(matches!(read_frame(&mut pair.jobs)[..], [b'{', .., b'}']));
        let capabilities = capabilities.iter().map(ToString::to_string).collect();
        let hello = WorkerHello { version: VERSION, codec, pid: 1, capabilities }.to_frame();
        pair.hello_bytes = hello.len() as u64;
        pair.replies.write_all(&hello).unwrap();
        assert!(pair.receive().await.hello.is_some());
        pair
    }

    /// Writes the whole queue to the pipe, which has room for it.
    async fn flush(&self) {
        self.connection.flush();
        let is_empty = |writer: &Writer| writer.queue.is_empty();
        while !self.connection.writer.borrow().as_ref().is_none_or(is_empty) {
            yield_now().await;
        }
    }

    async fn receive(&self) -> Received {
        let mut received = Received::default();
        self.connection.receive(&mut received).await.unwrap().unwrap();
        received
    }

    /// Writes one of the recorder's words, as the worker.
    fn record(&self, offset: u64, word: u64) {
        self.recorder.write_all_at(&word.to_ne_bytes(), offset).unwrap();
    }
}

/// Reads the body of the next frame, as the worker.
fn read_frame(jobs: &mut File) -> Vec<u8> {
    let mut header = [0; frame::HEADER_BYTES];
    jobs.read_exact(&mut header).unwrap();
    let mut body = vec![0; u32::from_le_bytes(header) as usize];
    jobs.read_exact(&mut body).unwrap();
    body
}

/// Offsets in the recorder.
const GATE: u64 = 0;
const BASE: u64 = 8;
const FILLED: u64 = 16;
const BUFFER: u64 = 4096;

fn order(id: u64, bytes: usize) -> Order {
    Order { id, attempt: 1, payload: Payload::copy(&vec![b'x'; bytes]) }
}

fn reply(codec: Codec, id: u64) -> Vec<u8> {
    let result = Ok(b"done"[..].into());
    let message = ToSupervisor::Reply { id, attempt: 1, service_ns: 7, result };
    let mut bytes = Vec::new();
    frame::append(&mut bytes, 1 << 20, |body| codec.write_to_supervisor(&message, body)).unwrap();
    bytes
}

fn ids(received: &Received) -> Vec<u64> {
    assert!(received.replies.iter().all(|reply| matches!(reply.answer, Answer::Done(_))));
    received.replies.iter().map(|reply| reply.id).collect()
}

fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(test);
}

#[test]
fn jobs_and_replies_pass_in_either_codec() {
    run(async {
        for codec in [Codec::Bincode, Codec::Json] {
            let mut pair = Pair::greeted(1 << 20, codec, &[]).await;
            assert!(pair.connection.send_jobs(&[order(70, 16), order(71, 0)]).is_empty());
            pair.flush().await;
            for (id, bytes) in [(70, 16), (71, 0)] {
                let frame = read_frame(&mut pair.jobs);
                let ToWorker::Job { id: sent, attempt, payload } =
                    codec.read_to_worker(&frame).unwrap()
                else {
                    panic!("{frame:?}");
                };
                assert_eq!((sent, attempt, payload.len()), (id, 1, bytes));
            }
            assert_eq!(pair.connection.current_job(), Some(70));
            pair.replies.write_all(&reply(codec, 70)).unwrap();
            let received = pair.receive().await;
            assert_eq!(ids(&received), [70]);
            pair.connection.answered(1);
            assert_eq!(pair.connection.current_job(), Some(71));
        }
    });
}

#[test]
fn a_job_that_no_frame_holds_is_unsendable_and_takes_no_sequence_number() {
    run(async {
        let mut pair = Pair::greeted(100, Codec::Json, &[]).await;
        let unsendable = pair.connection.send_jobs(&[order(70, 90), order(71, 1)]);
        let why = |bytes| Unsendable::TooLong { bytes, bytes_max: 100 };
        let [News::Unsendable { id: 70, why: Unsendable::TooLong { bytes, .. } }] = unsendable[..]
        else {
            panic!("{unsendable:?}");
        };
        assert!((100..300).contains(&bytes), "{bytes}");
        assert_eq!(unsendable, [News::Unsendable { id: 70, why: why(bytes) }]);
        pair.flush().await;
        assert!(String::from_utf8(read_frame(&mut pair.jobs)).unwrap().contains("71"));
        assert_eq!(pair.connection.current_job(), Some(71));
        let (last_read, fault) = pair.connection.finish(&mut Received::default());
        assert_eq!((last_read, fault), (Some(1), Ok(())));
    });
}

#[test]
fn a_retraction_returns_finished_jobs_and_keeps_the_running_one() {
    run(async {
        let mut pair = Pair::greeted(1 << 20, Codec::Bincode, &["recorder"]).await;
        let orders: Vec<_> = (70..74).map(|id| order(id, 16)).collect();
        pair.connection.send_jobs(&orders);
        pair.flush().await;
        // The first reply is in the pipe, the second in the recorder; the third job runs.
        let [first, second] = [70, 71].map(|id| reply(Codec::Bincode, id));
        pair.replies.write_all(&first).unwrap();
        pair.record(BASE, pair.hello_bytes + first.len() as u64);
        pair.recorder.write_all_at(&second, BUFFER).unwrap();
        pair.record(FILLED, second.len() as u64);
        pair.record(GATE, 3 << 1);
        assert_eq!((pair.connection.running(), pair.connection.current_job()), (3, Some(72)));

        let mut received = Received::default();
        assert_eq!(pair.connection.retract(&mut received), Ok(Some(3)));
        assert_eq!(ids(&received), [70, 71]);
        pair.connection.answered(2);
        assert!(!pair.connection.has_waiting_jobs());
        assert_eq!(pair.connection.current_job(), Some(72));
        // Before the worker has read the resume message, a retraction tells nothing.
        assert_eq!(pair.connection.retract(&mut received), Ok(None));

        // The worker now writes the second reply to the pipe as well.
        pair.replies.write_all(&[second, reply(Codec::Bincode, 72)].concat()).unwrap();
        let received = pair.receive().await;
        assert_eq!(ids(&received), [72], "the second reply does not count twice");
    });
}

#[test]
fn a_dead_worker_is_asked_for_the_last_job_it_started_or_else_read() {
    run(async {
        let pair = Pair::greeted(1 << 20, Codec::Bincode, &["recorder"]).await;
        pair.connection.send_jobs(&[order(70, 16), order(71, 16)]);
        pair.flush().await;
        pair.record(BASE, pair.hello_bytes);
        let first = reply(Codec::Bincode, 70);
        pair.recorder.write_all_at(&first, BUFFER).unwrap();
        pair.record(FILLED, first.len() as u64);
        pair.record(GATE, 1 << 1);
        let mut received = Received::default();
        assert_eq!(pair.connection.finish(&mut received), (Some(1), Ok(())));
        assert_eq!(ids(&received), [70]);

        for (bytes_read, expected) in [(0, 0), (1, 1)] {
            let mut pair = Pair::greeted(1 << 20, Codec::Bincode, &[]).await;
            pair.connection.send_jobs(&[order(70, 16)]);
            pair.flush().await;
            pair.jobs.read_exact(&mut vec![0; bytes_read]).unwrap();
            pair.replies.write_all(&reply(Codec::Bincode, 70)).unwrap();
            let mut received = Received::default();
            assert_eq!(pair.connection.finish(&mut received), (Some(expected), Ok(())));
            assert_eq!(ids(&received), [70]);
        }
    });
}

#[test]
fn a_worker_that_closes_its_job_pipe_is_noticed() {
    run(async {
        let Pair { connection, jobs, .. } = Pair::open(1 << 20);
        let closed = Rc::new(Cell::new(false));
        let seen = Rc::clone(&closed);
        connection.on_hang_up(move || seen.set(true));
        yield_now().await;
        assert!(!closed.get());
        drop(jobs);
        while !closed.get() {
            yield_now().await;
        }
    });
}

#[test]
fn a_large_payload_passes_a_worker_that_reads_slowly() {
    run(async {
        let pair = Pair::greeted(4 << 20, Codec::Bincode, &[]).await;
        pair.connection.send_jobs(&[order(70, 3 << 20), order(71, 16)]);
        pair.connection.flush();
        let mut jobs = pair.jobs;
        let reader = std::thread::spawn(move || [read_frame(&mut jobs), read_frame(&mut jobs)]);
        while !reader.is_finished() {
            yield_now().await;
        }
        let frames =
            reader.join().unwrap().map(|frame| match Codec::Bincode.read_to_worker(&frame) {
                Ok(ToWorker::Job { id, payload, .. }) => (id, payload.len()),
                other => panic!("{other:?}"),
            });
        assert_eq!(frames, [(70, 3 << 20), (71, 16)]);
    });
}

#[test]
fn a_dismissed_worker_that_has_not_read_all_reaches_the_end_of_its_jobs() {
    run(async {
        let Pair { connection, jobs, .. } = Pair::open(1 << 20);
        let queue = |writer: &mut Writer| writer.queue.push_frame(&[b'x'; 1 << 20]);
        connection.writer.borrow_mut().as_mut().map(queue).unwrap();
        connection.flush();
        let room = fcntl(&jobs, FcntlArg::F_GETPIPE_SZ).unwrap().cast_unsigned() as usize;
        while bytes_waiting(&jobs) < room {
            yield_now().await;
        }
        connection.dismiss();
        yield_now().await;
        let mut watched = [PollFd::new(jobs.as_fd(), PollFlags::POLLIN)];
        poll(&mut watched, PollTimeout::ZERO).unwrap();
        let seen = watched[0].revents().unwrap();
        assert!(seen.contains(PollFlags::POLLHUP), "{seen:?}");
    });
}
