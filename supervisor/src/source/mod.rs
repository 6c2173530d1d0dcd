//! Reads jobs from files, pipes, the command line or a followed file. A [`Source`] returns one
//! [`Batch`] at a time, and reads at most a few batches ahead.

mod batch;
mod error;
mod follow;
mod position;
mod product;
mod read;
mod split;
mod watch;

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{self, PipeWriter},
    iter::Peekable,
    os::unix::ffi::OsStringExt,
    thread,
};

use pool::job::{Job, Payload};
use tokio::sync::mpsc;

pub use self::{batch::Batch, error::SourceError};
use self::{
    batch::{Disconnected, Sender},
    follow::Followed,
    product::Product,
    read::Input,
    split::{BATCH_BYTES_MAX, BATCH_JOBS_MAX, Batcher, Splitter},
};
use crate::settings::{JobSource, Separator};

/// Number of batches that a thread reads ahead.
const BATCHES_AHEAD: usize = 4;
/// Stack of a reading thread.
const STACK_BYTES: usize = 128 << 10;

/// A source of jobs.
#[derive(Debug)]
pub struct Source(Kind);

#[derive(Debug)]
enum Kind {
    /// All batches were made when the source was opened.
    Ready(VecDeque<Batch>),
    /// Batches are made on demand.
    Product {
        product: Peekable<Product>,
        /// Position of the last job.
        position: u64,
        job_bytes_max: usize,
    },
    /// A thread reads the input. It is never joined, because a read may block it for any time.
    Thread {
        batches: mpsc::Receiver<Batch>,
        /// Whether the thread reported the end or a failure.
        has_ended: bool,
        /// Closed with the source, which ends a thread that waits for a file to change.
        _open: Option<PipeWriter>,
    },
}

impl Source {
    /// Opens a source. Jobs longer than `job_bytes_max` are not kept.
    ///
    /// # Errors
    /// The input cannot be read.
    pub fn open(
        source: &JobSource,
        separator: Separator,
        job_bytes_max: usize,
    ) -> Result<Self, SourceError> {
        let splitter = Splitter::new(separator, job_bytes_max);
        match source {
            JobSource::Arguments(arguments) => Ok(Self::ready(arguments, splitter)),
            JobSource::Product(lists) => {
                let product = Product::new(lists.clone()).peekable();
                Ok(Self(Kind::Product { product, position: 0, job_bytes_max }))
            }
            JobSource::Stdin => Self::read(Input::stdin()?, splitter),
            JobSource::File(path) => Self::read(Input::open(path)?, splitter),
            JobSource::Follow(path) => {
                let followed = Followed::open(path)?;
                let (closed, open) = io::pipe().map_err(|error| SourceError::thread(&error))?;
                Self::thread(Some(open), move |batcher| {
                    followed.read_on(&closed, splitter, batcher)
                })
            }
        }
    }

    /// Returns the next batch. Cancelling the future loses nothing. After [`Batch::Failed`] and
    /// [`Batch::Ended`] every call returns [`Batch::Ended`].
    pub async fn next(&mut self) -> Batch {
        match &mut self.0 {
            Kind::Ready(batches) => batches.pop_front().unwrap_or(Batch::Ended),
            Kind::Product { product, position, job_bytes_max } => {
                choose(product, position, *job_bytes_max)
            }
            Kind::Thread { batches, has_ended, .. } => match batches.recv().await {
                Some(batch) => {
                    *has_ended |= matches!(batch, Batch::Ended | Batch::Failed(_));
                    batch
                }
                // Jobs may be missing, since the thread has not reported the end of the input.
                None if !*has_ended => {
                    *has_ended = true;
                    Batch::Failed(SourceError::Lost)
                }
                None => Batch::Ended,
            },
        }
    }

    /// Whether there are more jobs, or may be, in a source that has not reported its end. The call
    /// may discard a batch, so the source cannot be read afterwards.
    pub fn has_more(&mut self) -> bool {
        match &mut self.0 {
            Kind::Product { product, .. } => product.peek().is_some(),
            Kind::Ready(batches) => !batches.is_empty(),
            // A followed file has no end, so no jobs are missing.
            Kind::Thread { _open: Some(_), .. } => false,
            Kind::Thread { batches, .. } => !matches!(batches.try_recv(), Ok(Batch::Ended)),
        }
    }

    /// Makes all batches at once: a command line is short.
    fn ready(arguments: &[OsString], mut splitter: Splitter) -> Self {
        let mut batches = VecDeque::new();
        let mut batcher = Batcher::new(|batch| {
            batches.push_back(batch);
            Ok(())
        });
        let mut each =
            arguments.iter().map(|one| splitter.line(&one.clone().into_vec(), &mut batcher));
        let all = each.try_for_each(|pushed| pushed).and_then(|()| batcher.flush());
        debug_assert!(all.is_ok(), "a queue takes everything");
        Self(Kind::Ready(batches))
    }

    fn read(input: Input, splitter: Splitter) -> Result<Self, SourceError> {
        Self::thread(None, |batcher| input.read_all(splitter, batcher))
    }

    fn thread(
        open: Option<PipeWriter>,
        read: impl FnOnce(Batcher<Sender>) -> Result<(), Disconnected> + Send + 'static,
    ) -> Result<Self, SourceError> {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let send: Sender =
            Box::new(move |batch| sender.blocking_send(batch).map_err(|_| Disconnected));
        thread::Builder::new()
            .name("source".into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                // The only error is that the source was dropped.
                let _ = read(Batcher::new(send));
            })
            .map_err(|error| SourceError::thread(&error))?;
        Ok(Self(Kind::Thread { batches, has_ended: false, _open: open }))
    }
}

/// Returns the next batch of a product.
fn choose(product: &mut Peekable<Product>, position: &mut u64, job_bytes_max: usize) -> Batch {
    let (mut jobs, mut bytes) = (Vec::new(), 0);
    while jobs.len() < BATCH_JOBS_MAX && bytes < BATCH_BYTES_MAX {
        let fits = |payload: &Payload| payload.len() <= job_bytes_max;
        let Some(payload) = product.next_if(fits) else { break };
        *position += 1;
        bytes += payload.len();
        jobs.push(Job { payload, position: *position });
    }
    if !jobs.is_empty() {
        return Batch::Jobs(jobs);
    }
    match product.next() {
        Some(payload) => {
            *position += 1;
            Batch::TooLong { position: *position, bytes: payload.len() as u64 }
        }
        None => Batch::Ended,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, time::Duration};

    use tokio::time::timeout;

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { timeout(Duration::from_secs(20), future).await.unwrap() })
    }

    async fn all(source: &mut Source) -> (Vec<(u64, Vec<u8>)>, Vec<(u64, u64)>, Batch) {
        let (mut jobs, mut too_long) = (Vec::new(), Vec::new());
        loop {
            match source.next().await {
                Batch::Jobs(batch) => {
                    assert!(!batch.is_empty() && batch.len() <= BATCH_JOBS_MAX);
                    let one = |job: Job| (job.position, job.payload.as_bytes().to_vec());
                    jobs.extend(batch.into_iter().map(one));
                }
                Batch::TooLong { position, bytes } => too_long.push((position, bytes)),
                end => return (jobs, too_long, end),
            }
        }
    }

    fn file(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("supervisor-source-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_file_is_read_whole_and_in_order() {
        let path = file("whole");
        let mut text: Vec<u8> = (1..=100_000).flat_map(|n| format!("{n}\n").into_bytes()).collect();
        text.extend_from_slice(b"\nlast");
        fs::write(&path, text).unwrap();
        let source = JobSource::File(path.clone());
        let mut source = Source::open(&source, Separator::Newline, 5).unwrap();
        let (jobs, too_long, end) = now(all(&mut source));
        assert_eq!(jobs.len(), 100_001);
        assert!(jobs[..99_999].iter().all(|(n, text)| n.to_string().as_bytes() == text));
        assert_eq!(jobs[99_999..], [(100_001, vec![]), (100_002, b"last".to_vec())]);
        assert_eq!(too_long, [(100_000, 6)]);
        assert_eq!((end, now(source.next())), (Batch::Ended, Batch::Ended));
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_unreadable_input_is_refused_with_a_remedy() {
        let open = |path: &str| {
            let file = Source::open(&JobSource::File(path.into()), Separator::Newline, 9);
            let followed = Source::open(&JobSource::Follow(path.into()), Separator::Newline, 9);
            [file, followed].map(|opened| opened.unwrap_err().to_string())
        };
        for message in open("/nowhere/jobs.txt") {
            assert!(message.starts_with("/nowhere/jobs.txt is not there: "), "{message}");
        }
        for message in open("/tmp") {
            assert!(message.starts_with("/tmp is a directory: "), "{message}");
        }
        let null = JobSource::Follow("/dev/null".into());
        let message = Source::open(&null, Separator::Newline, 9).unwrap_err().to_string();
        assert!(message.contains("cannot be followed"), "{message}");
    }

    #[test]
    fn each_argument_is_a_job() {
        let arguments = ["a b", "", "too long", "d\ne"].map(OsString::from).to_vec();
        let source = JobSource::Arguments(arguments);
        let mut source = Source::open(&source, Separator::Newline, 3).unwrap();
        let (jobs, too_long, end) = now(all(&mut source));
        assert_eq!(jobs, [(1, b"a b".to_vec()), (2, vec![]), (4, b"d\ne".to_vec())]);
        assert_eq!((too_long, end), (vec![(3, 8)], Batch::Ended));
    }

    #[test]
    fn a_pipe_is_read_as_it_is_written_and_only_a_few_batches_ahead() {
        let (read, mut write) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&read));
        let source = JobSource::File(path.into());
        let mut source = Source::open(&source, Separator::Nul, 100 << 10).unwrap();
        write.write_all(b"first\nline\0half").unwrap();
        let Batch::Jobs(jobs) = now(source.next()) else { panic!("no job") };
        assert_eq!((jobs.len(), jobs[0].payload.as_bytes()), (1, &b"first\nline"[..]));
        drop(source);
        drop(read);
        // The thread has found the source dropped and reads no more from the pipe.
        while write.write_all(&[0; 4096]).is_ok() {}
    }
}
