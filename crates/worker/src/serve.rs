//! How does a worker do its jobs? One after the other, in the order they come: see [`serve`].

use std::{
    borrow::Cow,
    fmt::Display,
    fs::File,
    io,
    os::fd::{BorrowedFd, OwnedFd},
    time::Instant,
};

use serde::{Serialize, de::DeserializeOwned};

use protocol::wire::{Codec, Failure, FailureKind, ToWorker};

use crate::{
    connect::{ServeError, Wire, greet},
    intake::{Intake, Large, Taken},
    panics,
    replies::{Replies, Run},
};

/// A job to be done.
#[derive(Debug)]
pub struct Job<'a> {
    /// Its number.
    pub id: u64,
    /// Which try of it this is, from 1.
    pub attempt: u32,
    payload: Cow<'a, [u8]>,
}

impl Job<'_> {
    /// What is to be done, in the words of whoever wrote the job.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.payload
    }

    /// The same, as text.
    ///
    /// # Errors
    /// Bytes that are not UTF-8.
    pub fn text(&self) -> Result<&str, std::str::Utf8Error> {
        str::from_utf8(&self.payload)
    }

    /// The same, to be kept. A large payload is not copied for it.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.payload.into_owned()
    }
}

/// Does every job that comes, until there are no more: the whole of a worker's `main`.
///
/// An error given back and a panic are failures of that job, and the worker goes on. What ends
/// the process, such as a segmentation fault or `exit`, is seen by the supervisor, which charges
/// it to the job and starts another worker.
///
/// For async code, give each job to a runtime: `worker::serve(|job| runtime.block_on(work(job)))`.
///
/// # Errors
/// [`ServeError::NotAWorker`] in a process that no supervisor started; else a supervisor that is
/// gone or not understood. The end of the jobs is no error.
pub fn serve<R, E>(mut work: impl FnMut(Job<'_>) -> Result<R, E>) -> Result<(), ServeError>
where
    R: Into<Vec<u8>>,
    E: Display,
{
    Worker::connect()?.serve(&mut work)
}

/// As [`serve`], for jobs and results in JSON. A payload that is no `J` is a failed job that says
/// why.
///
/// # Errors
/// As [`serve`].
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

/// A worker whose loop is your own: [`Worker::next_job`], then [`Worker::reply`], and so on.
#[derive(Debug)]
pub struct Worker {
    pub(crate) intake: Intake,
    pub(crate) replies: Replies,
    /// Jobs that came, those that were recalled included.
    came: u64,
    pub(crate) running: Option<Run>,
    /// The end of one job is the beginning of the next: a reading of the clock each is enough.
    now: Instant,
}

impl Worker {
    /// Greets the supervisor that started this process.
    ///
    /// # Errors
    /// As [`serve`].
    pub fn connect() -> Result<Self, ServeError> {
        let Wire { jobs, replies, recorder } = Wire::take()?;
        Self::over(jobs, replies, recorder)
    }

    /// Greets the supervisor at the other end of these pipes.
    ///
    /// # Errors
    /// As [`serve`].
    pub fn over(
        jobs: OwnedFd,
        replies: OwnedFd,
        recorder: Option<OwnedFd>,
    ) -> Result<Self, ServeError> {
        Self::greeting(jobs, replies, recorder, &[])
    }

    /// Greets with these capabilities, beside those of the recorder.
    pub(crate) fn greeting(
        jobs: OwnedFd,
        replies: OwnedFd,
        recorder: Option<OwnedFd>,
        capabilities: &[&str],
    ) -> Result<Self, ServeError> {
        let (jobs, replies) = (File::from(jobs), File::from(replies));
        let agreed = greet(&jobs, &replies, recorder, capabilities)?;
        Ok(Self {
            intake: Intake::new(jobs, agreed.max_frame),
            replies: Replies::new(replies, agreed.keeper, agreed.max_frame),
            came: 0,
            running: None,
            now: Instant::now(),
        })
    }

    /// Does every job that comes, as the function [`serve`].
    ///
    /// # Errors
    /// As [`serve`].
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

    /// Waits for the next job; `None` when there are no more. A job before it that has no reply
    /// gets one that says so.
    ///
    /// # Errors
    /// A supervisor that is gone or not understood.
    pub fn next_job(&mut self) -> Result<Option<Job<'_>>, ServeError> {
        self.next_job_unless(|_| Ok(false))
    }

    /// The same, but for that before it waits for the pipe of jobs it asks whether it shall: `ends`
    /// may wait for more than that pipe, and says whether there are to be no more jobs.
    ///
    /// # Errors
    /// As above, and those of `ends`.
    pub fn next_job_unless(
        &mut self,
        mut ends: impl FnMut(BorrowedFd<'_>) -> io::Result<bool>,
    ) -> Result<Option<Job<'_>>, ServeError> {
        if self.running.is_some() {
            self.fail("the worker gave no reply")?;
        }
        loop {
            let frame = match self.intake.take()? {
                Taken::Frame(frame) => frame,
                Taken::Large(length) => {
                    self.replies.flush()?;
                    match self.intake.read_large(length)? {
                        Large::Job { id, attempt, payload } => {
                            self.now = Instant::now();
                            if self.starts(id, attempt) {
                                return Ok(Some(Job { id, attempt, payload: payload.into() }));
                            }
                        }
                        Large::Other => {}
                        Large::End => return Ok(None),
                    }
                    continue;
                }
                Taken::Nothing => {
                    self.replies.flush()?;
                    if ends(self.intake.pipe())? || !self.intake.read()? {
                        return Ok(None);
                    }
                    self.now = Instant::now();
                    continue;
                }
            };
            match Codec::Bincode.read_to_worker(&self.intake.buffer()[frame.clone()])? {
                ToWorker::Job { id, attempt, payload } => {
                    // The payload is the end of its frame.
                    let payload = frame.end - payload.len()..frame.end;
                    if self.starts(id, attempt) {
                        let payload = Cow::Borrowed(&self.intake.buffer()[payload]);
                        return Ok(Some(Job { id, attempt, payload }));
                    }
                }
                ToWorker::Resume => self.replies.resume(),
                // For a job that has ended meanwhile, or for a worker that does not listen.
                ToWorker::Cancel { .. } => {}
                ToWorker::Bye => {
                    self.replies.flush()?;
                    return Ok(None);
                }
            }
        }
    }

    /// Whether the job that has just come is to be run. From here on it is, for the recorder.
    fn starts(&mut self, id: u64, attempt: u32) -> bool {
        self.came += 1;
        let may_start = self.replies.may_start(self.came);
        if may_start {
            self.running = Some(Run { id, attempt, start: self.now });
        }
        may_start
    }

    /// Says what came of the job.
    ///
    /// # Errors
    /// No job that is without a reply, or a supervisor that is gone.
    pub fn reply(&mut self, result: Result<&[u8], &Failure<'_>>) -> Result<(), ServeError> {
        let run = self.running.take().ok_or(ServeError::NoJob)?;
        self.now = Instant::now();
        if self.replies.push(run, self.now, result)? {
            self.now = Instant::now();
        }
        Ok(())
    }

    /// Says that the job came to nothing, and why, for people.
    ///
    /// # Errors
    /// As [`Worker::reply`].
    pub fn fail(&mut self, message: &str) -> Result<(), ServeError> {
        let (kind, message) = (FailureKind::Error, Cow::Borrowed(message));
        self.reply(Err(&Failure { kind, message, place: "".into() }))
    }

    /// Puts replies on their way that would else wait for others, as before the end of a worker
    /// that does not wait for the end of its jobs.
    ///
    /// # Errors
    /// A supervisor that is gone.
    pub fn flush(&mut self) -> Result<(), ServeError> {
        self.replies.flush()
    }
}
