//! The supervisor's end of the protocol, as far as tests need it.

use std::{
    io::{PipeReader, PipeWriter, Read, Write, pipe},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
};

use protocol::{
    frame,
    recorder::Recorder,
    wire::{Codec, Failure, SupervisorHello, ToSupervisor, ToWorker, VARIABLE, WorkerHello},
};
use worker::{Job, ServeError, Worker};

pub(crate) const MAX_FRAME: usize = 8 << 20;

/// A worker and the bytes that it has sent so far.
pub(crate) struct Peer {
    jobs: Option<PipeWriter>,
    replies: PipeReader,
    pub(crate) recorder: Option<Recorder>,
    codec: Codec,
    /// Bytes of the reply stream received so far, consumed ones included.
    pub(crate) position: u64,
    unread: Vec<u8>,
    life: Life,
}

enum Life {
    Thread(Option<JoinHandle<Result<(), ServeError>>>),
    Process(Child),
}

/// The worker's ends of the pipes.
struct Ends {
    jobs: PipeReader,
    replies: PipeWriter,
    recorder: Option<OwnedFd>,
}

/// A reply: the job's ID, and the result or the failure's message.
pub(crate) type Reply = (u64, Result<Vec<u8>, String>);

impl Peer {
    /// Starts a worker in a thread.
    pub(crate) fn thread<R: Into<Vec<u8>>>(
        has_recorder: bool,
        work: impl FnMut(Job<'_>) -> Result<R, String> + Send + 'static,
    ) -> Self {
        let (mut peer, ends) = Self::new(has_recorder);
        let run = || {
            let Ends { jobs, replies, recorder } = ends;
            Worker::over(jobs.into(), replies.into(), recorder)?.serve(work)
        };
        peer.life = Life::Thread(Some(thread::spawn(run)));
        peer.greet();
        peer
    }

    /// Starts a program of `worker/examples/`.
    pub(crate) fn example(has_recorder: bool, name: &str, args: &[&str]) -> Self {
        let mut peer = Self::program(has_recorder, example(name), args);
        peer.greet();
        peer
    }

    /// Starts a program through a shell that moves the descriptors to their numbers. They are never
    /// inheritable in this process, where other tests start programs too.
    pub(crate) fn program(has_recorder: bool, path: PathBuf, args: &[&str]) -> Self {
        let (mut peer, ends) = Self::new(has_recorder);
        let recorder = if has_recorder { "5" } else { "-" };
        let line = format!(
            "exec 3<&0 4>&1 5>&2 0</dev/null 1>/dev/null 2>/dev/null\n\
             [ {recorder} = 5 ] || exec 5>&-\n\
             {VARIABLE}=$$:3:4:{recorder} exec \"$0\" \"$@\""
        );
        let child = Command::new("/bin/sh")
            .args(["-c", &line])
            .arg(path)
            .args(args)
            .stdin(ends.jobs)
            .stdout(ends.replies)
            .stderr(ends.recorder.map_or_else(Stdio::null, Stdio::from))
            .spawn()
            .unwrap();
        peer.life = Life::Process(child);
        peer
    }

    fn new(has_recorder: bool) -> (Self, Ends) {
        let (jobs, to_worker) = pipe().unwrap();
        let (from_worker, replies) = pipe().unwrap();
        let (recorder, memory) = has_recorder.then(|| Recorder::create().unwrap()).unzip();
        let mut peer = Self {
            jobs: Some(to_worker),
            replies: from_worker,
            recorder,
            codec: Codec::Bincode,
            position: 0,
            unread: Vec::new(),
            life: Life::Thread(None),
        };
        let hello = SupervisorHello {
            version: 1,
            codecs: vec!["bincode".into(), "json".into()],
            max_frame: MAX_FRAME as u64,
            worker: "w1.1".into(),
        };
        peer.write(&hello.to_frame());
        (peer, Ends { jobs, replies, recorder: memory })
    }

    pub(crate) fn greet(&mut self) -> WorkerHello {
        let body = self.frame().unwrap();
        let hello = WorkerHello::from_bytes(&body).unwrap();
        self.codec = hello.codec;
        let keeps = hello.capabilities.iter().any(|what| what == "recorder");
        self.recorder = self.recorder.take().filter(|_| keeps);
        hello
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        self.recorder.as_ref().unwrap()
    }

    /// Writes bytes to the worker; a worker that has died ignores them.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.jobs.as_mut().unwrap().write_all(bytes);
    }

    pub(crate) fn say(&mut self, messages: &[ToWorker<'_>]) {
        let mut bytes = Vec::new();
        for message in messages {
            let write = |out: &mut Vec<u8>| self.codec.write_to_worker(message, out);
            frame::append(&mut bytes, MAX_FRAME, write).unwrap();
        }
        self.write(&bytes);
    }

    /// Sends jobs with these IDs and payloads.
    pub(crate) fn jobs(&mut self, jobs: &[(u64, &[u8])]) {
        let job = |(id, payload): &(u64, _)| ToWorker::Job {
            id: *id,
            attempt: 1,
            payload: std::borrow::Cow::Borrowed(*payload),
        };
        self.say(&jobs.iter().map(job).collect::<Vec<_>>());
    }

    /// The next frame; `None` at the end.
    pub(crate) fn frame(&mut self) -> Option<Vec<u8>> {
        let mut chunk = vec![0; 65536];
        loop {
            if let Some((body, rest)) = frame::split(&self.unread, MAX_FRAME).unwrap() {
                let (body, rest) = (body.to_vec(), rest.to_vec());
                self.unread = rest;
                return Some(body);
            }
            let read = self.replies.read(&mut chunk).unwrap();
            if read == 0 {
                return None;
            }
            self.position += read as u64;
            self.unread.extend_from_slice(&chunk[..read]);
        }
    }

    pub(crate) fn reply(&mut self) -> Option<Reply> {
        let codec = self.codec;
        self.frame().map(|body| reply(codec, &body))
    }

    /// Bytes of an unfinished frame at the end.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.unread
    }

    /// Ends the jobs and returns everything that the worker still sends.
    pub(crate) fn end(mut self) -> (Vec<Reply>, Result<(), ServeError>) {
        self.jobs = None;
        let replies = std::iter::from_fn(|| self.reply()).collect();
        let end = match &mut self.life {
            Life::Thread(thread) => thread.take().unwrap().join().unwrap(),
            Life::Process(child) => {
                assert!(child.wait().unwrap().success());
                Ok(())
            }
        };
        (replies, end)
    }

    /// Waits for a worker that dies by itself; returns its replies, including those in the recorder, and
    /// its exit status.
    pub(crate) fn post_mortem(&mut self) -> (Vec<Reply>, ExitStatus) {
        let Life::Process(child) = &mut self.life else { panic!("no process") };
        let status = child.wait().unwrap();
        let mut replies: Vec<_> = std::iter::from_fn(|| self.reply()).collect();
        if let Some(recorder) = &self.recorder {
            recorder.tail(self.position, &mut self.unread).unwrap();
            while let Some((body, rest)) = frame::split(&self.unread, MAX_FRAME).unwrap() {
                replies.push(reply(self.codec, body));
                self.unread = rest.to_vec();
            }
        }
        (replies, status)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Life::Process(child) = &mut self.life {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The path of a program of `worker/examples/`, which cargo builds beside the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let me = std::env::current_exe().unwrap();
    me.parent().unwrap().parent().unwrap().join("examples").join(name)
}

pub(crate) fn reply(codec: Codec, body: &[u8]) -> Reply {
    match codec.read_to_supervisor(body).unwrap() {
        ToSupervisor::Reply { id, result, .. } => {
            let failure = |failure: Failure<'_>| failure.message.into_owned();
            (id, result.map(std::borrow::Cow::into_owned).map_err(failure))
        }
        other => panic!("{other:?}"),
    }
}
