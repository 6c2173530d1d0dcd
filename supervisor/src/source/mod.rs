//! Where do jobs come from? A [`Source`] is asked for the next [`Supply`], and reads no further
//! ahead than a few batches.

mod error;
mod follow;
mod lines;
mod product;
mod read;
mod watch;

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{self, PipeWriter},
    iter::Peekable,
    os::unix::ffi::OsStringExt,
    path::Path,
    thread,
};

use tokio::sync::mpsc;

pub use self::error::SourceError;
use self::{
    follow::Followed,
    lines::{BATCH_BYTES_MAX, BATCH_JOBS_MAX, Batches, Splitter, Unwanted},
    product::Product,
    read::Input,
};
use crate::settings::{JobSource, Separator};
use pool::job::{Job, Payload};
use text::escape::visible;

/// What a source has to give.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Supply {
    /// The next jobs, in order.
    Jobs(Vec<Job>),
    /// A job that is longer than any may be, and was not kept.
    TooLong {
        /// Where it stands in the input.
        position: u64,
        /// How long it is.
        bytes: u64,
    },
    /// Something that whoever watches should know.
    Notice(String),
    /// There are no more jobs.
    Ended,
    /// The input cannot be read on.
    Failed(SourceError),
}

/// So many batches are read ahead of whoever takes them.
const BATCHES_AHEAD: usize = 4;
/// A thread that reads needs little.
const STACK_BYTES: usize = 128 << 10;

/// Where jobs come from.
#[derive(Debug)]
pub struct Source(Way);

#[derive(Debug)]
enum Way {
    /// All there at the start.
    Ready(VecDeque<Supply>),
    /// Made as they are wanted.
    Product {
        product: Peekable<Product>,
        /// Where the last one stands.
        position: u64,
        job_bytes_max: usize,
    },
    /// From a thread. It is never joined: it may be blocked in a read for as long as a writer
    /// likes.
    Thread {
        supplies: mpsc::Receiver<Supply>,
        /// Whether it said how it ended.
        concluded: bool,
        /// Closed with the source: a thread that waits for a file to change hears it and ends.
        _open: Option<PipeWriter>,
    },
}

impl Source {
    /// Opens it. No job is longer than `job_bytes_max`.
    ///
    /// # Errors
    /// It cannot be read; the message is for people.
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
                Ok(Self(Way::Product { product, position: 0, job_bytes_max }))
            }
            JobSource::Stdin => Self::read(Input::stdin()?, splitter),
            JobSource::File(path) => Self::read(Input::open(path)?, splitter),
            JobSource::Follow(path) => {
                let followed = Followed::open(path)?;
                let (closed, open) = io::pipe().map_err(|error| SourceError::thread(&error))?;
                Self::thread(Some(open), move |batches| {
                    followed.read_on(&closed, splitter, batches)
                })
            }
        }
    }

    /// The next there is; cancelled, it loses nothing. After [`Supply::Failed`] comes
    /// [`Supply::Ended`], and after that always [`Supply::Ended`] again.
    pub async fn next(&mut self) -> Supply {
        match &mut self.0 {
            Way::Ready(supplies) => supplies.pop_front().unwrap_or(Supply::Ended),
            Way::Product { product, position, job_bytes_max } => {
                choose(product, position, *job_bytes_max)
            }
            Way::Thread { supplies, concluded, .. } => match supplies.recv().await {
                Some(supply) => {
                    *concluded |= matches!(supply, Supply::Ended | Supply::Failed(_));
                    supply
                }
                // Jobs may be missing: an end that was not told is no end of the input.
                None if !*concluded => {
                    *concluded = true;
                    Supply::Failed(SourceError::Lost)
                }
                None => Supply::Ended,
            },
        }
    }

    /// Whether there is more to be had, or may be, of one that has not told its end. What there is
    /// may be lost by asking.
    pub fn has_more(&mut self) -> bool {
        match &mut self.0 {
            Way::Product { product, .. } => product.peek().is_some(),
            Way::Ready(supplies) => !supplies.is_empty(),
            // A file that is followed has no end that could be missed.
            Way::Thread { _open: Some(_), .. } => false,
            Way::Thread { supplies, .. } => !matches!(supplies.try_recv(), Ok(Supply::Ended)),
        }
    }

    /// A command line is short enough to be cut at once.
    fn ready(arguments: &[OsString], mut splitter: Splitter) -> Self {
        let mut supplies = VecDeque::new();
        let mut batches = Batches::new(|supply| {
            supplies.push_back(supply);
            Ok(())
        });
        let mut each =
            arguments.iter().map(|one| splitter.line(&one.clone().into_vec(), &mut batches));
        let all = each.try_for_each(|pushed| pushed).and_then(|()| batches.flush());
        debug_assert!(all.is_ok(), "a queue takes everything");
        Self(Way::Ready(supplies))
    }

    fn read(input: Input, splitter: Splitter) -> Result<Self, SourceError> {
        Self::thread(None, |batches| input.read_all(splitter, batches))
    }

    fn thread(
        open: Option<PipeWriter>,
        read: impl FnOnce(Batches<Outward>) -> Result<(), Unwanted> + Send + 'static,
    ) -> Result<Self, SourceError> {
        let (sender, supplies) = mpsc::channel(BATCHES_AHEAD);
        let send: Outward =
            Box::new(move |supply| sender.blocking_send(supply).map_err(|_| Unwanted));
        thread::Builder::new()
            .name("source".into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                // Nobody wants more: then there is nobody to tell either.
                let _ = read(Batches::new(send));
            })
            .map_err(|error| SourceError::thread(&error))?;
        Ok(Self(Way::Thread { supplies, concluded: false, _open: open }))
    }
}

/// The next choices of a product.
fn choose(product: &mut Peekable<Product>, position: &mut u64, job_bytes_max: usize) -> Supply {
    let (mut jobs, mut bytes) = (Vec::new(), 0);
    while jobs.len() < BATCH_JOBS_MAX && bytes < BATCH_BYTES_MAX {
        let fits = |payload: &Payload| payload.len() <= job_bytes_max;
        let Some(payload) = product.next_if(fits) else { break };
        *position += 1;
        bytes += payload.len();
        jobs.push(Job { payload, position: *position });
    }
    if !jobs.is_empty() {
        return Supply::Jobs(jobs);
    }
    match product.next() {
        Some(payload) => {
            *position += 1;
            Supply::TooLong { position: *position, bytes: payload.len() as u64 }
        }
        None => Supply::Ended,
    }
}

/// The way from a thread to the source.
type Outward = Box<dyn FnMut(Supply) -> Result<(), Unwanted> + Send>;

/// A path as it may be shown.
fn shown(path: &Path) -> String {
    visible(path.as_os_str().as_encoded_bytes())
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

    async fn all(source: &mut Source) -> (Vec<(u64, Vec<u8>)>, Vec<(u64, u64)>, Supply) {
        let (mut jobs, mut too_long) = (Vec::new(), Vec::new());
        loop {
            match source.next().await {
                Supply::Jobs(batch) => {
                    assert!(!batch.is_empty() && batch.len() <= BATCH_JOBS_MAX);
                    let one = |job: Job| (job.position, job.payload.as_bytes().to_vec());
                    jobs.extend(batch.into_iter().map(one));
                }
                Supply::TooLong { position, bytes } => too_long.push((position, bytes)),
                end => return (jobs, too_long, end),
            }
        }
    }

    fn file(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("supervisor-source-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_file_comes_whole_and_in_order() {
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
        assert_eq!((end, now(source.next())), (Supply::Ended, Supply::Ended));
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_remedy() {
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
        assert_eq!((too_long, end), (vec![(3, 8)], Supply::Ended));
    }

    #[test]
    fn a_pipe_gives_each_line_as_it_comes_and_reads_no_further_than_a_few_batches() {
        let (read, mut write) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&read));
        let source = JobSource::File(path.into());
        let mut source = Source::open(&source, Separator::Nul, 100 << 10).unwrap();
        write.write_all(b"first\nline\0half").unwrap();
        let Supply::Jobs(jobs) = now(source.next()) else { panic!("no job") };
        assert_eq!((jobs.len(), jobs[0].payload.as_bytes()), (1, &b"first\nline"[..]));
        drop(source);
        drop(read);
        // The thread found nobody to take more, and no more reads from the pipe.
        while write.write_all(&[0; 4096]).is_ok() {}
    }
}
