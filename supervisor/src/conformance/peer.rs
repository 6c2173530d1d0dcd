//! The supervisor's end of a connection to one worker that is being checked. It speaks the protocol
//! as a supervisor does, but reads the worker's bytes with a time limit and explains each fault.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    process::Stdio,
    time::Duration,
};

use pool::{
    exit::{StartFault, StartStep, Status},
    signal::Signal,
};
use process::{KillScope, Process, Program, descriptors::OpenFiles, spawn::SpawnSpec};
use protocol::{
    codec::HELLO_BYTES_MAX,
    frame,
    recorder::Recorder,
    wire::{self, Codec, SupervisorHello, ToSupervisor, ToWorker, WorkerHello},
};
use text::escape::{visible, visible_start};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe::{Receiver, Sender},
    time::timeout,
};

/// Longest frame that the worker may send.
pub(super) const FRAME_BYTES_MAX: usize = 8 << 20;
/// The descriptor numbers in the worker: jobs, replies, recorder.
const FDS: [i32; 3] = [3, 4, 5];
const READ_BYTES: usize = 64 << 10;
const QUOTED_BYTES: usize = 80;

/// A worker that is being checked.
pub(super) struct Peer {
    process: Process,
    /// `None` once the jobs pipe is closed.
    jobs: Option<Sender>,
    replies: Receiver,
    pub(super) recorder: Recorder,
    /// Bytes of the reply stream that are not decoded yet.
    unread: Vec<u8>,
    /// Bytes of the reply stream that have arrived.
    pub(super) received: u64,
    codec: Codec,
    limit: Duration,
}

/// A message of the worker, reduced to what is checked.
#[derive(Debug)]
pub(super) enum Said {
    Reply {
        id: u64,
        attempt: u32,
        failure: Option<String>,
        bytes: usize,
    },
    /// A message about this job while it runs.
    About {
        id: u64,
        what: &'static str,
    },
    Bye,
    /// The end of the replies pipe.
    End,
}

impl Peer {
    /// Starts the worker. Each wait for it ends after `limit`.
    pub(super) async fn start(program: &Program, limit: Duration) -> Result<Self, StartFault> {
        let fault = |error: io::Error| StartFault::new(StartStep::Spawn, &error);
        let open = || -> io::Result<_> {
            let (jobs_read, jobs_write) = io::pipe()?;
            let (replies_read, replies_write) = io::pipe()?;
            let (recorder, memory) = Recorder::create()?;
            let passed: [OwnedFd; 3] = [jobs_read.into(), replies_write.into(), memory];
            let jobs = Sender::from_owned_fd(jobs_write.into())?;
            let replies = Receiver::from_owned_fd(replies_read.into())?;
            Ok((jobs, replies, recorder, passed))
        };
        let (jobs, replies, recorder, passed) = open().map_err(fault)?;
        let mut spec = SpawnSpec::new(program, OpenFiles::raise().map_err(fault)?, &FDS);
        let [jobs_fd, replies_fd, recorder_fd] = FDS;
        spec.announce(wire::VARIABLE, &format!(":{jobs_fd}:{replies_fd}:{recorder_fd}"));
        let passed = passed.each_ref().map(AsFd::as_fd);
        // The report has stdout for itself.
        let stdout = io::stderr().as_fd().try_clone_to_owned().map_err(fault)?;
        let (stdout, scope) = (Stdio::from(stdout), KillScope::Group);
        let mut process = Process::start(&spec, &passed, stdout, Stdio::inherit(), scope)?;
        process.executed_or_reaped().await?;
        let (unread, received, codec) = (Vec::new(), 0, Codec::Json);
        Ok(Self { process, jobs: Some(jobs), replies, recorder, unread, received, codec, limit })
    }

    /// Sends the supervisor's hello.
    pub(super) async fn send_hello(&mut self, version: u32) -> Result<(), String> {
        let hello = SupervisorHello {
            version,
            codecs: vec!["bincode".into(), "json".into()],
            max_frame: FRAME_BYTES_MAX as u64,
            worker: "w1.1".into(),
        };
        self.write(&hello.to_frame()).await
    }

    /// Reads the worker's hello.
    pub(super) async fn hello(&mut self) -> Result<WorkerHello, String> {
        let Some(body) = self.frame(HELLO_BYTES_MAX).await? else {
            return Err("it ended, or closed its replies, without a hello".into());
        };
        let hello = WorkerHello::from_bytes(&body).map_err(|error| {
            format!("{}: {}", visible(error.to_string().as_bytes()), quoted(&body))
        })?;
        self.codec = hello.codec;
        Ok(hello)
    }

    /// Exchanges the hellos.
    pub(super) async fn greet(&mut self) -> Result<WorkerHello, String> {
        self.send_hello(wire::VERSION).await?;
        self.hello().await
    }

    pub(super) async fn send(&mut self, message: &ToWorker<'_>) -> Result<(), String> {
        let bytes = self.encode(message)?;
        self.write(&bytes).await
    }

    pub(super) fn encode(&self, message: &ToWorker<'_>) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let write = |body: &mut Vec<u8>| self.codec.write_to_worker(message, body);
        frame::append(&mut bytes, FRAME_BYTES_MAX, write).map_err(|fault| fault.to_string())?;
        Ok(bytes)
    }

    /// Writes bytes to the jobs pipe.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(jobs) = &mut self.jobs else { return Err("its jobs pipe is closed".into()) };
        match timeout(self.limit, jobs.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("it has ended, or closed its jobs pipe".into()),
            Err(_) => Err(format!("it does not read its jobs pipe: {}", self.waited())),
        }
    }

    /// Closes the jobs pipe.
    pub(super) fn close_jobs(&mut self) {
        self.jobs = None;
    }

    /// Reads the next message.
    pub(super) async fn message(&mut self) -> Result<Said, String> {
        let Some(body) = self.frame(FRAME_BYTES_MAX).await? else { return Ok(Said::End) };
        let message = self.codec.read_to_supervisor(&body).map_err(|error| {
            let reason = self.codec.explain(&body, &error).reason;
            format!("a message is invalid: {}: {}", visible(reason.as_bytes()), quoted(&body))
        })?;
        Ok(match message {
            ToSupervisor::Reply { id, attempt, result, .. } => {
                let bytes = result.as_ref().map_or(0, |result| result.len());
                let failure = result.err().map(|failure| failure.message.into_owned());
                Said::Reply { id, attempt, failure, bytes }
            }
            ToSupervisor::Started { id, .. } => Said::About { id, what: "started" },
            ToSupervisor::Output { id, stream: 1 | 2, .. } => Said::About { id, what: "output" },
            ToSupervisor::Output { stream, .. } => {
                return Err(format!("\"stream\" of an output is 1 or 2, not {stream}"));
            }
            ToSupervisor::Progress { id, fraction, .. } if (0.0..=1.0).contains(&fraction) => {
                Said::About { id, what: "progress" }
            }
            ToSupervisor::Progress { fraction, .. } => {
                return Err(format!("\"fraction\" of progress is 0 to 1, not {fraction}"));
            }
            ToSupervisor::Bye => Said::Bye,
        })
    }

    /// The body of the next frame; `None` at the end of the replies pipe.
    async fn frame(&mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, String> {
        loop {
            let split = frame::split(&self.unread, bytes_max)
                .map_err(|fault| format!("{fault}: {}", quoted(&self.unread)))?;
            if let Some((body, rest)) = split {
                let (body, rest) = (body.to_vec(), rest.to_vec());
                self.unread = rest;
                return Ok(Some(body));
            }
            if self.read().await? == 0 {
                return match self.unread.len() {
                    0 => Ok(None),
                    rest => {
                        Err(format!("its replies end in the middle of a frame, after {rest} bytes"))
                    }
                };
            }
        }
    }

    async fn read(&mut self) -> Result<usize, String> {
        let mut piece = vec![0; READ_BYTES];
        match timeout(self.limit, self.replies.read(&mut piece)).await {
            Ok(Ok(bytes)) => {
                self.received += bytes as u64;
                self.unread.extend_from_slice(&piece[..bytes]);
                Ok(bytes)
            }
            Ok(Err(error)) => Err(format!("its replies cannot be read: {error}")),
            Err(_) => Err(format!("it sends nothing: {}", self.waited())),
        }
    }

    /// Waits for the end of the process and reaps it.
    pub(super) async fn ended(&mut self) -> Result<Status, String> {
        let ended = timeout(self.limit, self.process.ended()).await;
        let Ok(exit) = ended else { return Err(format!("it does not exit: {}", self.waited())) };
        let status = exit.map_err(|error| error.to_string())?.status;
        Ok(status)
    }

    /// Kills what is left of the worker.
    pub(super) async fn stop(mut self) {
        self.process.handle().signal(Signal::KILL);
        self.process.reap().await;
    }

    fn waited(&self) -> String {
        format!("waited for {}", text::units::show_duration(self.limit))
    }
}

fn quoted(bytes: &[u8]) -> String {
    format!("`{}`", visible_start(bytes, QUOTED_BYTES))
}
