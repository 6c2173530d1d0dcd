//! Follows a file to which other programs append. Reads it to its end, and again each time the
//! kernel reports a change of the file or of its directory.

use std::{
    fs::{self, File, Metadata},
    io::{self, PipeReader, Seek},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use nix::errno::Errno;

use super::{
    batch::{Batch, Disconnected, Sender},
    error::{SourceError, printable},
    read::{Input, READ_BYTES, read},
    split::{Batcher, Splitter},
    watch::{Wake, Watch},
};

/// A followed file. Watches are set before anything is read or compared, so that no change is
/// missed.
#[derive(Debug)]
pub(super) struct Followed {
    path: PathBuf,
    watch: Watch,
    file: File,
    /// Number of bytes read so far.
    read_bytes: u64,
    /// Whether the name is gone; a program that has the file open may still write to it.
    is_gone: bool,
}

/// What has happened to the file.
enum Change {
    None,
    Truncated,
    Gone,
    /// The name was gone and belongs to the same file again.
    Back,
    /// Another file has the name.
    Replaced(File),
}

/// Why reading stops.
enum Stop {
    Disconnected,
    Failed(SourceError),
}

impl From<Disconnected> for Stop {
    fn from(Disconnected: Disconnected) -> Self {
        Self::Disconnected
    }
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Self::Failed(error)
    }
}

impl Followed {
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let file = open(path)?;
        let refused = |error: Errno| SourceError::watch(path, &error.into());
        let mut watch = Watch::new().map_err(refused)?;
        watch.directories(path).and_then(|()| watch.file(&file)).map_err(refused)?;
        Ok(Self { path: path.into(), watch, file, read_bytes: 0, is_gone: false })
    }

    /// Reads the file and everything that is appended, until the source is dropped.
    pub(super) fn read_on(
        mut self,
        closed: &PipeReader,
        mut splitter: Splitter,
        mut batcher: Batcher<Sender>,
    ) -> Result<(), Disconnected> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.step(closed, &mut buffer, &mut splitter, &mut batcher) {
                Ok(()) => {}
                Err(Stop::Disconnected) => return Err(Disconnected),
                Err(Stop::Failed(error)) => return batcher.send(Batch::Failed(error)),
            }
        }
    }

    /// Reads to the end, and then waits for a change or adapts to one.
    fn step(
        &mut self,
        closed: &PipeReader,
        buffer: &mut [u8],
        splitter: &mut Splitter,
        batcher: &mut Batcher<Sender>,
    ) -> Result<(), Stop> {
        self.read_to_end(buffer, splitter, batcher)?;
        match self.change()? {
            Change::None => match self.watch.wait(closed) {
                Ok(Wake::Changed) => Ok(()),
                Ok(Wake::Closed) => Err(Stop::Disconnected),
                Err(error) => Err(self.failed(error).into()),
            },
            change => self.adapt(change, buffer, splitter, batcher),
        }
    }

    fn read_to_end(
        &mut self,
        buffer: &mut [u8],
        splitter: &mut Splitter,
        batcher: &mut Batcher<Sender>,
    ) -> Result<(), Stop> {
        loop {
            let length = read(self.file.as_fd(), buffer).map_err(|error| self.failed(error))?;
            if length == 0 {
                return Ok(());
            }
            self.read_bytes += length as u64;
            splitter.split(&buffer[..length], batcher)?;
            batcher.flush()?;
        }
    }

    /// Returns what has happened since the last check.
    fn change(&self) -> Result<Change, SourceError> {
        let followed = self.file.metadata().map_err(|error| self.failed(error))?;
        if followed.len() < self.read_bytes {
            return Ok(Change::Truncated);
        }
        if let Some(change) = self.named(&followed)? {
            return Ok(change);
        }
        // The directory may be gone, too, or may have been replaced. The name is checked again
        // after the ancestors are watched, because it may have returned before.
        let watched = self.watch.ancestors(&self.path);
        watched.map_err(|error| SourceError::watch(&self.path, &error.into()))?;
        let gone = if self.is_gone { Change::None } else { Change::Gone };
        Ok(self.named(&followed)?.unwrap_or(gone))
    }

    /// Compares the file that has the name now with the followed one; `None` if there is no file.
    fn named(&self, followed: &Metadata) -> Result<Option<Change>, SourceError> {
        // The inode number of an open file is not reused.
        let is_same =
            |other: &Metadata| (other.dev(), other.ino()) == (followed.dev(), followed.ino());
        let opened = match fs::metadata(&self.path) {
            Ok(named) if is_same(&named) => None,
            Ok(_) => Some(open(&self.path)),
            Err(error) => Some(Err(self.failed(error))),
        };
        match opened {
            Some(Ok(file)) if !is_same(&file.metadata().map_err(|error| self.failed(error))?) => {
                Ok(Some(Change::Replaced(file)))
            }
            Some(Err(SourceError::Missing(_))) => Ok(None),
            Some(Err(error)) => Err(error),
            _ if self.is_gone => Ok(Some(Change::Back)),
            _ => Ok(Some(Change::None)),
        }
    }

    fn adapt(
        &mut self,
        change: Change,
        buffer: &mut [u8],
        splitter: &mut Splitter,
        batcher: &mut Batcher<Sender>,
    ) -> Result<(), Stop> {
        let was_gone = self.is_gone;
        let words = match change {
            Change::None => return Ok(()),
            Change::Truncated => {
                self.file.rewind().map_err(|error| self.failed(error))?;
                self.read_bytes = 0;
                splitter.restart();
                "was truncated; reading it from its start"
            }
            Change::Gone => {
                self.is_gone = true;
                "was removed; waiting for its return"
            }
            Change::Back => {
                self.is_gone = false;
                "is back; reading on"
            }
            Change::Replaced(file) => {
                // Reads what was written after the last read and before the file lost its name.
                self.read_to_end(buffer, splitter, batcher)?;
                splitter.finish(batcher)?;
                splitter.restart();
                self.take(file)?;
                self.is_gone = false;
                let replaced = "was replaced; reading the new one from its start";
                if was_gone { "is back; reading it from its start" } else { replaced }
            }
        };
        Ok(batcher.send(Batch::Notice(format!("{} {words}", printable(&self.path))))?)
    }

    fn take(&mut self, file: File) -> Result<(), SourceError> {
        // If the directory is gone again, the next check shows it.
        let watched = match self.watch.directories(&self.path) {
            Err(error) if ![Errno::ENOENT, Errno::ENOTDIR].contains(&error) => Err(error),
            _ => self.watch.file(&file),
        };
        watched.map_err(|error| SourceError::watch(&self.path, &error.into()))?;
        (self.file, self.read_bytes) = (file, 0);
        Ok(())
    }

    fn failed(&self, error: impl Into<io::Error>) -> SourceError {
        SourceError::file(&self.path, &error.into())
    }
}

fn open(path: &Path) -> Result<File, SourceError> {
    match Input::open(path)? {
        Input::File(file, _) => Ok(file),
        _ => Err(SourceError::NoFile(printable(path))),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, time::Duration};

    use tokio::{runtime::Runtime, time::timeout};

    use super::*;
    use crate::{
        settings::{JobSource, Separator},
        source::Source,
    };

    /// A followed file in a temporary directory.
    struct Fixture {
        runtime: Runtime,
        source: Source,
        directory: PathBuf,
    }

    impl Fixture {
        fn new(name: &str, text: &str) -> Self {
            let name = format!("supervisor-follow-{}-{name}", std::process::id());
            let directory = std::env::temp_dir().join(name);
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join("jobs.txt"), text).unwrap();
            let source = JobSource::Follow(directory.join("jobs.txt"));
            let source = Source::open(&source, Separator::Newline, 9).unwrap();
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            Self { runtime: runtime.enable_all().build().unwrap(), source, directory }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.join(name)
        }

        fn append(&self, name: &str, text: &str) {
            let mut file = File::options().append(true).create(true).open(self.path(name)).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        /// Reads as many jobs and notices as are expected, and compares them.
        fn expect(&mut self, expected: &[&str]) {
            let (mut came, runtime) = (Vec::new(), &self.runtime);
            let start = self.directory.to_str().unwrap().len() + 1;
            while came.len() < expected.len() {
                let next = async { timeout(Duration::from_secs(20), self.source.next()).await };
                match runtime.block_on(next).unwrap() {
                    Batch::Jobs(jobs) => came.extend(jobs.iter().map(|job| {
                        let text = str::from_utf8(job.payload.as_bytes()).unwrap();
                        format!("{} {text}", job.position)
                    })),
                    Batch::TooLong { position, bytes } => {
                        came.push(format!("{position} has {bytes}"));
                    }
                    Batch::Notice(text) => came.push(text[start..].into()),
                    Batch::Failed(error) => came.push(error.to_string()[start..].into()),
                    Batch::Ended => came.push("ended".into()),
                }
            }
            assert_eq!(came, expected);
        }
    }

    impl Drop for Fixture {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }

    const REPLACED: &str = "jobs.txt was replaced; reading the new one from its start";
    const BACK: &str = "jobs.txt is back; reading it from its start";
    const REMOVED: &str = "jobs.txt was removed; waiting for its return";

    #[test]
    fn a_line_is_read_once_it_is_complete() {
        let mut stage = Fixture::new("append", "one\ntwo\nthr");
        stage.expect(&["1 one", "2 two"]);
        stage.append("jobs.txt", "ee\nfo");
        stage.expect(&["3 three"]);
        stage.append("jobs.txt", "u");
        stage.append("jobs.txt", "r\n\nmuch too long\n");
        stage.expect(&["4 four", "5 ", "6 has 13"]);
    }

    #[test]
    fn lines_are_read_at_once() {
        let mut stage = Fixture::new("latency", "");
        let mut delays: Vec<_> = (1..=50)
            .map(|n| {
                let began = std::time::Instant::now();
                stage.append("jobs.txt", "x\n");
                stage.expect(&[&format!("{n} x")]);
                began.elapsed()
            })
            .collect();
        delays.sort_unstable();
        assert!(delays[25] < Duration::from_millis(100), "{delays:?}");
    }

    #[test]
    fn a_replacement_is_read_after_the_rest_of_the_old_file() {
        let mut stage = Fixture::new("replace", "old\n");
        stage.expect(&["1 old"]);
        for rest in ["2 rest", "2 lastrest", "2 lastrest"] {
            stage.append("new", "new\nlast");
            stage.append("jobs.txt", "rest\n");
            fs::rename(stage.path("new"), stage.path("jobs.txt")).unwrap();
            stage.expect(&[rest, REPLACED, "1 new"]);
        }
    }

    #[test]
    fn a_rotated_file_is_read_until_there_is_a_new_one() {
        let mut stage = Fixture::new("rotate", "a\n");
        stage.expect(&["1 a"]);
        fs::rename(stage.path("jobs.txt"), stage.path("jobs.1")).unwrap();
        stage.expect(&[REMOVED]);
        stage.append("jobs.1", "b\nc");
        stage.expect(&["2 b"]);
        stage.append("jobs.txt", "d\n");
        stage.expect(&["3 c", BACK, "1 d"]);
        fs::rename(stage.path("jobs.txt"), stage.path("away")).unwrap();
        stage.expect(&[REMOVED]);
        fs::rename(stage.path("away"), stage.path("jobs.txt")).unwrap();
        stage.expect(&["jobs.txt is back; reading on"]);
        stage.append("jobs.txt", "e\n");
        stage.expect(&["2 e"]);
    }

    #[test]
    fn a_truncated_file_is_read_from_its_start() {
        let mut stage = Fixture::new("truncate", "one\nhal");
        stage.expect(&["1 one"]);
        File::create(stage.path("jobs.txt")).unwrap();
        stage.expect(&["jobs.txt was truncated; reading it from its start"]);
        stage.append("jobs.txt", "new\n");
        stage.expect(&["1 new"]);
    }

    #[test]
    fn a_removed_file_may_return_even_with_its_directory() {
        let mut stage = Fixture::new("remove", "a\n");
        stage.expect(&["1 a"]);
        fs::remove_file(stage.path("jobs.txt")).unwrap();
        stage.expect(&[REMOVED]);
        stage.append("jobs.txt", "b\n");
        stage.expect(&[BACK, "1 b"]);
        fs::remove_dir_all(&stage.directory).unwrap();
        stage.expect(&[REMOVED]);
        fs::create_dir(&stage.directory).unwrap();
        stage.append("jobs.txt", "c\n");
        stage.expect(&[BACK, "1 c"]);
        let elsewhere = stage.directory.with_extension("elsewhere");
        fs::rename(&stage.directory, &elsewhere).unwrap();
        stage.expect(&[REMOVED]);
        fs::rename(&elsewhere, &stage.directory).unwrap();
        stage.expect(&["jobs.txt is back; reading on"]);
        stage.append("jobs.txt", "d\n");
        stage.expect(&["2 d"]);
    }

    #[test]
    fn a_changed_link_counts_as_a_replacement() {
        let mut stage = Fixture::new("link", "a\n");
        stage.expect(&["1 a"]);
        fs::create_dir(stage.path("far")).unwrap();
        stage.append("far/jobs", "b\n");
        std::os::unix::fs::symlink("far/jobs", stage.path("link")).unwrap();
        fs::rename(stage.path("link"), stage.path("jobs.txt")).unwrap();
        stage.expect(&[REPLACED, "1 b"]);
        stage.append("far/jobs", "c\n");
        stage.append("far/new", "d\n");
        stage.expect(&["2 c"]);
        fs::rename(stage.path("far/new"), stage.path("far/jobs")).unwrap();
        stage.expect(&[REPLACED, "1 d"]);
    }
}
