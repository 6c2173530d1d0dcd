//! The main loop of a worker: it runs jobs one after another, in the order in which they arrive.
//!
//! [`serve`] is the whole loop; [`Worker`] is for programs that write their own.

use std::{
    borrow::Cow,
    fmt::Display,
    fs::File,
    io,
    os::fd::{BorrowedFd, OwnedFd},
    time::Instant,
};

use serde::{Serialize, de::DeserializeOwned};

use protocol::wire::{Failure, FailureKind};

use crate::{
    connect::{ServeError, Wire, greet},
    job_reader::{JobReader, Message, Payload, Received, Taken},
    panics,
    reply_writer::{ReplyWriter, RunningJob},
};

/// A job to run.
#[derive(Debug)]
pub struct Job<'a> {
    /// The job's id.
    pub id: u64,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    payload: Cow<'a, [u8]>,
}

impl Job<'_> {
    /// The payload: the job's input, exactly as its author wrote it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.payload
    }

    /// The payload as text.
    ///
    /// # Errors
    /// The payload is not UTF-8.
    pub fn text(&self) -> Result<&str, std::str::Utf8Error> {
        str::from_utf8(&self.payload)
    }

    /// The payload as an owned vector. A large payload is not copied.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.payload.into_owned()
    }
}

/// Runs `work` for each job until there are no more. This is all that a worker's `main` needs.
///
/// If `work` returns an error or panics, the job has failed and the worker goes on. If the process
/// ends, for example by a segmentation fault or `exit`, the supervisor charges the job and starts
/// another worker.
///
/// For async code, pass each job to a runtime: `worker::serve(|job| runtime.block_on(work(job)))`.
///
/// # Errors
/// [`ServeError::NotAWorker`] if no supervisor started this process; otherwise the supervisor is
/// gone or violates the protocol. The end of the jobs is not an error.
pub fn serve<R, E>(mut work: impl FnMut(Job<'_>) -> Result<R, E>) -> Result<(), ServeError>
where
    R: Into<Vec<u8>>,
    E: Display,
{
    Worker::connect()?.serve(&mut work)
}

/// Runs `work` for each job like [`serve`], with inputs and results in JSON. A job whose payload is
/// not a `J` fails, with the reason as its message.
///
/// # Errors
/// The same as those of [`serve`].
pub fn serve_json<J, R, E>(mut work: impl FnMut(J) -> Result<R, E>) -> Result<(), ServeError>
where
    J: DeserializeOwned,
    R: Serialize,
    E: Display,
{
    serve(|job| {
        let input = serde_json::from_slice(job.bytes())
            .map_err(|fault| format!("the payload is not such a job: {fault}"))?;
        let result = work(input).map_err(|fault| fault.to_string())?;
        serde_json::to_vec(&result).map_err(|fault| format!("the result has no JSON: {fault}"))
    })
}

/// A worker with a loop of your own, which calls [`Worker::next_job`] and [`Worker::reply`] in turn.
#[derive(Debug)]
pub struct Worker {
    pub(crate) reader: JobReader,
    pub(crate) writer: ReplyWriter,
    /// The number of jobs received, including retracted ones.
    received: u64,
    pub(crate) running: Option<RunningJob>,
    /// The last reading of the clock. The end of one job is the start of the next, so that each job
    /// needs only one reading.
    now: Instant,
}

impl Worker {
    /// Connects to the supervisor that started this process.
    ///
    /// # Errors
    /// The same as those of [`serve`].
    pub fn connect() -> Result<Self, ServeError> {
        let Wire { jobs, replies, recorder } = Wire::take()?;
        Self::over(jobs, replies, recorder)
    }

    /// Connects to the supervisor at the other end of these pipes.
    ///
    /// # Errors
    /// The same as those of [`serve`].
    pub fn over(
        jobs: OwnedFd,
        replies: OwnedFd,
        recorder: Option<OwnedFd>,
    ) -> Result<Self, ServeError> {
        Self::greeting(jobs, replies, recorder, &[])
    }

    /// Exchanges hellos, and announces these capabilities in addition to the recorder.
    pub(crate) fn greeting(
        jobs: OwnedFd,
        replies: OwnedFd,
        recorder: Option<OwnedFd>,
        capabilities: &[&str],
    ) -> Result<Self, ServeError> {
        let (jobs, replies) = (File::from(jobs), File::from(replies));
        let agreed = greet(&jobs, &replies, recorder, capabilities)?;
        Ok(Self {
            reader: JobReader::new(jobs, agreed.max_frame),
            writer: ReplyWriter::new(replies, agreed.recorder, agreed.max_frame),
            received: 0,
            running: None,
            now: Instant::now(),
        })
    }

    /// Runs `work` for each job, like the function [`serve`].
    ///
    /// # Errors
    /// The same as those of the function [`serve`].
    pub fn serve<R, E>(
        mut self,
        mut work: impl FnMut(Job<'_>) -> Result<R, E>,
    ) -> Result<(), ServeError>
    where
        R: Into<Vec<u8>>,
        E: Display,
    {
        panics::watch();
        while let Some(job) = self.next_job()? {
            match panics::catch(|| work(job).map(Into::into).map_err(|fault| fault.to_string())) {
                Ok(Ok(result)) => self.reply(Ok(&result))?,
                Ok(Err(message)) => self.fail(&message)?,
                Err(panic) => self.reply(Err(&panic))?,
            }
        }
        Ok(())
    }

    /// Waits for the next job. Returns `None` when no more will follow. If the job before it has no
    /// reply, the supervisor gets a failure that says so.
    ///
    /// # Errors
    /// The supervisor is gone, or violates the protocol.
    pub fn next_job(&mut self) -> Result<Option<Job<'_>>, ServeError> {
        self.next_job_unless(|_| Ok(false))
    }

    /// Waits for the next job like [`Worker::next_job`], but calls `ends` before each wait for the
    /// pipe of jobs. `ends` may wait for that pipe and for other events; if it returns true, there
    /// are no more jobs.
    ///
    /// # Errors
    /// The same as those of [`Worker::next_job`], and those of `ends`.
    pub fn next_job_unless(
        &mut self,
        mut ends: impl FnMut(BorrowedFd<'_>) -> io::Result<bool>,
    ) -> Result<Option<Job<'_>>, ServeError> {
        if self.running.is_some() {
            self.fail("the worker gave no reply")?;
        }
        loop {
            match self.next_message(&mut ends)? {
                Message::Job(job) => {
                    if self.start(&job) {
                        return Ok(Some(self.job(job)));
                    }
                }
                Message::Resume => self.writer.resume(),
                Message::Cancel => {}
                Message::Bye => {
                    self.writer.flush()?;
                    return Ok(None);
                }
            }
        }
    }

    /// Waits for the next message. Writes all replies first if the wait may be long.
    fn next_message(
        &mut self,
        ends: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<bool>,
    ) -> Result<Message, ServeError> {
        loop {
            match self.reader.take()? {
                Taken::Message(message) => return Ok(message),
                Taken::Large(length) => {
                    self.writer.flush()?;
                    let message = self.reader.read_large(length)?;
                    self.now = Instant::now();
                    return Ok(message);
                }
                Taken::Incomplete => {
                    self.writer.flush()?;
                    if ends(self.reader.pipe())? || !self.reader.read()? {
                        return Ok(Message::Bye);
                    }
                    self.now = Instant::now();
                }
            }
        }
    }

    /// Starts a job that has arrived, unless it is retracted. The recorder names it from now on.
    fn start(&mut self, job: &Received) -> bool {
        self.received += 1;
        let may_start = self.writer.may_start(self.received);
        if may_start {
            let (id, attempt) = (job.id, job.attempt);
            self.running = Some(RunningJob { id, attempt, start: self.now });
        }
        may_start
    }

    fn job(&self, Received { id, attempt, payload }: Received) -> Job<'_> {
        let payload = match payload {
            Payload::Buffered(range) => Cow::Borrowed(&self.reader.buffer()[range]),
            Payload::Owned(payload) => Cow::Owned(payload),
        };
        Job { id, attempt, payload }
    }

    /// Sends the reply to the running job.
    ///
    /// # Errors
    /// No job is running, or the supervisor is gone.
    pub fn reply(&mut self, result: Result<&[u8], &Failure<'_>>) -> Result<(), ServeError> {
        let run = self.running.take().ok_or(ServeError::NoJob)?;
        self.now = Instant::now();
        if self.writer.push(run, self.now, result)? {
            self.now = Instant::now();
        }
        Ok(())
    }

    /// Reports that the running job failed, with a message for people.
    ///
    /// # Errors
    /// The same as those of [`Worker::reply`].
    pub fn fail(&mut self, message: &str) -> Result<(), ServeError> {
        let (kind, message) = (FailureKind::Error, Cow::Borrowed(message));
        self.reply(Err(&Failure { kind, message, place: "".into() }))
    }

    /// Writes the replies that are buffered. A worker that exits before [`Worker::next_job`] returns
    /// `None` should call this first.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub fn flush(&mut self) -> Result<(), ServeError> {
        self.writer.flush()
    }
}
