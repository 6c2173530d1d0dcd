//! How is a file read that others append to? To its end, then on each time the kernel says that
//! something happened to it or in its directory.

use std::{
    fs::{self, File, Metadata},
    io::{self, PipeReader, Seek},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use nix::errno::Errno;

use super::{
    Outward, Supply,
    error::SourceError,
    lines::{Batches, Splitter, Unwanted},
    read::{Input, READ_BYTES, read},
    shown,
    watch::{Heard, Watch},
};

/// A file, and what tells of its changes. The watches are armed before anything is read or
/// compared, so no change falls between.
#[derive(Debug)]
pub(super) struct Followed {
    path: PathBuf,
    watch: Watch,
    file: File,
    /// Up to where it has been read.
    read_bytes: u64,
    /// Whether its name is gone; it may still be written to, by whoever has it open.
    is_gone: bool,
}

/// What has become of the file.
enum Change {
    None,
    Truncated,
    Gone,
    /// Gone, and there again: the same file.
    Back,
    /// Another file has its name.
    Replaced(File),
}

/// Why reading stops.
enum Stop {
    Unwanted,
    Failed(SourceError),
}

impl From<Unwanted> for Stop {
    fn from(Unwanted: Unwanted) -> Self {
        Self::Unwanted
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

    /// Reads what there is and what comes, until nobody wants it or `closed` says so.
    pub(super) fn read_on(
        mut self,
        closed: &PipeReader,
        mut splitter: Splitter,
        mut batches: Batches<Outward>,
    ) -> Result<(), Unwanted> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.step(closed, &mut buffer, &mut splitter, &mut batches) {
                Ok(()) => {}
                Err(Stop::Unwanted) => return Err(Unwanted),
                Err(Stop::Failed(error)) => return batches.say(Supply::Failed(error)),
            }
        }
    }

    /// Reads what there is, and waits for more or adapts to what happened instead.
    fn step(
        &mut self,
        closed: &PipeReader,
        buffer: &mut [u8],
        splitter: &mut Splitter,
        batches: &mut Batches<Outward>,
    ) -> Result<(), Stop> {
        self.read_to_end(buffer, splitter, batches)?;
        match self.change()? {
            Change::None => match self.watch.wait(closed) {
                Ok(Heard::Something) => Ok(()),
                Ok(Heard::Closed) => Err(Stop::Unwanted),
                Err(error) => Err(self.failed(error).into()),
            },
            change => self.adapt(change, buffer, splitter, batches),
        }
    }

    fn read_to_end(
        &mut self,
        buffer: &mut [u8],
        splitter: &mut Splitter,
        batches: &mut Batches<Outward>,
    ) -> Result<(), Stop> {
        loop {
            let length = read(self.file.as_fd(), buffer).map_err(|error| self.failed(error))?;
            if length == 0 {
                return Ok(());
            }
            self.read_bytes += length as u64;
            splitter.split(&buffer[..length], batches)?;
            batches.flush()?;
        }
    }

    /// What has happened since the last look.
    fn change(&self) -> Result<Change, SourceError> {
        let ours = self.file.metadata().map_err(|error| self.failed(error))?;
        if ours.len() < self.read_bytes {
            return Ok(Change::Truncated);
        }
        if let Some(change) = self.named(&ours)? {
            return Ok(change);
        }
        // Its directory may be gone too, or be another one than before. Then a second look: it
        // may have returned before that was watched.
        let watched = self.watch.way_to(&self.path);
        watched.map_err(|error| SourceError::watch(&self.path, &error.into()))?;
        let gone = if self.is_gone { Change::None } else { Change::Gone };
        Ok(self.named(&ours)?.unwrap_or(gone))
    }

    /// Whether what has the name now is ours; `None` where nothing has it.
    fn named(&self, ours: &Metadata) -> Result<Option<Change>, SourceError> {
        // An open file keeps its number: no other has it.
        let is_ours = |other: &Metadata| (other.dev(), other.ino()) == (ours.dev(), ours.ino());
        let opened = match fs::metadata(&self.path) {
            Ok(named) if is_ours(&named) => None,
            Ok(_) => Some(open(&self.path)),
            Err(error) => Some(Err(self.failed(error))),
        };
        match opened {
            Some(Ok(file)) if !is_ours(&file.metadata().map_err(|error| self.failed(error))?) => {
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
        batches: &mut Batches<Outward>,
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
                // What was written before it lost its name, but after our last read.
                self.read_to_end(buffer, splitter, batches)?;
                splitter.finish(batches)?;
                splitter.restart();
                self.take(file)?;
                self.is_gone = false;
                let replaced = "was replaced; reading the new one from its start";
                if was_gone { "is back; reading it from its start" } else { replaced }
            }
        };
        Ok(batches.say(Supply::Notice(format!("{} {words}", shown(&self.path))))?)
    }

    fn take(&mut self, file: File) -> Result<(), SourceError> {
        // Should its directory be gone again already, that is seen next.
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
        _ => Err(SourceError::NoFile(shown(path))),
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

    /// A followed file in a directory of its own.
    struct Stage {
        runtime: Runtime,
        source: Source,
        directory: PathBuf,
    }

    impl Stage {
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

        /// What comes, until as many lines and notices have come as are expected.
        fn expect(&mut self, expected: &[&str]) {
            let (mut came, runtime) = (Vec::new(), &self.runtime);
            let start = self.directory.to_str().unwrap().len() + 1;
            while came.len() < expected.len() {
                let next = async { timeout(Duration::from_secs(20), self.source.next()).await };
                match runtime.block_on(next).unwrap() {
                    Supply::Jobs(jobs) => came.extend(jobs.iter().map(|job| {
                        let text = str::from_utf8(job.payload.as_bytes()).unwrap();
                        format!("{} {text}", job.position)
                    })),
                    Supply::TooLong { position, bytes } => {
                        came.push(format!("{position} has {bytes}"));
                    }
                    Supply::Notice(text) => came.push(text[start..].into()),
                    Supply::Failed(error) => came.push(error.to_string()[start..].into()),
                    Supply::Ended => came.push("ended".into()),
                }
            }
            assert_eq!(came, expected);
        }
    }

    impl Drop for Stage {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }

    const REPLACED: &str = "jobs.txt was replaced; reading the new one from its start";
    const BACK: &str = "jobs.txt is back; reading it from its start";
    const REMOVED: &str = "jobs.txt was removed; waiting for its return";

    #[test]
    fn a_line_comes_once_it_is_complete() {
        let mut stage = Stage::new("append", "one\ntwo\nthr");
        stage.expect(&["1 one", "2 two"]);
        stage.append("jobs.txt", "ee\nfo");
        stage.expect(&["3 three"]);
        stage.append("jobs.txt", "u");
        stage.append("jobs.txt", "r\n\nmuch too long\n");
        stage.expect(&["4 four", "5 ", "6 has 13"]);
    }

    #[test]
    fn lines_come_at_once() {
        let mut stage = Stage::new("latency", "");
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
    fn a_file_put_in_its_place_is_read_after_the_rest_of_the_old_one() {
        let mut stage = Stage::new("replace", "old\n");
        stage.expect(&["1 old"]);
        for rest in ["2 rest", "2 lastrest", "2 lastrest"] {
            stage.append("new", "new\nlast");
            stage.append("jobs.txt", "rest\n");
            fs::rename(stage.path("new"), stage.path("jobs.txt")).unwrap();
            stage.expect(&[rest, REPLACED, "1 new"]);
        }
    }

    #[test]
    fn a_rotated_file_is_read_on_until_there_is_a_new_one() {
        let mut stage = Stage::new("rotate", "a\n");
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
        let mut stage = Stage::new("truncate", "one\nhal");
        stage.expect(&["1 one"]);
        File::create(stage.path("jobs.txt")).unwrap();
        stage.expect(&["jobs.txt was truncated; reading it from its start"]);
        stage.append("jobs.txt", "new\n");
        stage.expect(&["1 new"]);
    }

    #[test]
    fn a_file_that_is_removed_is_waited_for_even_with_its_directory() {
        let mut stage = Stage::new("remove", "a\n");
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
    fn a_link_that_is_turned_elsewhere_is_a_file_replaced() {
        let mut stage = Stage::new("link", "a\n");
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
