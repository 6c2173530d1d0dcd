//! The output of a command: the launcher keeps it for the reply or passes it on at once, or the
//! command writes it to files directly. Of a long output, the launcher sends the beginning ahead of
//! the reply, so that neither its memory nor the size of a frame bounds what a command may write.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    mem,
    os::fd::{AsFd, BorrowedFd},
};

use files::Directory;
use memchr::memrchr;
use worker::{ServeError, Worker};

use super::{STREAMS, report::CommandReport, stdio::Pipe};
use crate::{model::tag, settings};
use pool::{command::Gap, exit::says_out_of_memory};
use process::descriptors::TAIL_BYTES;

/// Bytes that are read from one stream before the others have their turn.
const PIECE_BYTES: usize = 256 << 10;
/// Lines above this length, in bytes, are passed on in parts, which the supervisor puts together.
const LINE_BYTES_MAX: usize = 1 << 20;
/// The most bytes of a stream that are kept for the reply.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// Buffers that have grown beyond this size, in bytes, are freed after the command.
const LARGE_BYTES: usize = 1 << 20;

/// The output of the running command.
#[derive(Debug)]
pub(super) struct Capture {
    how: settings::Capture,
    pipes: Option<[Pipe; 2]>,
    files: Option<[File; 2]>,
    /// The directory of the files, once a command has written there.
    directory: Option<Directory>,
    streams: [Kept; 2],
    /// The incomplete last line of each stream.
    held: [Vec<u8>; 2],
    /// The tag in front of each line.
    prefix: Vec<u8>,
    /// The name of the output files, without the name of the stream.
    name: String,
    reply: Vec<u8>,
}

/// The part of a stream that is in memory: the end of it, or with a limit the end of the beginning
/// and the end.
#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    /// The number of bytes before them that were sent ahead.
    sent: u64,
    limit: Option<Limit>,
    gap: Gap,
}

/// How many bytes of a stream are kept.
#[derive(Clone, Copy, Debug)]
struct Limit {
    head: u64,
    tail: usize,
}

impl Capture {
    pub(super) fn new(how: settings::Capture) -> Self {
        let limit = match how {
            settings::Capture::Keep { bytes_max } => bytes_max.map(Limit::new),
            // The end is evidence of why the command failed.
            _ => Some(Limit { head: 0, tail: TAIL_BYTES }),
        };
        let kept = || Kept { bytes: Vec::new(), sent: 0, limit, gap: Gap::default() };
        Self {
            how,
            pipes: None,
            files: None,
            directory: None,
            streams: [kept(), kept()],
            held: [Vec::new(), Vec::new()],
            prefix: Vec::new(),
            name: String::new(),
            reply: Vec::new(),
        }
    }

    /// Prepares for the next command.
    pub(super) fn begin(&mut self, number: u64, attempt: u32, payload: &[u8]) {
        self.streams.iter_mut().for_each(Kept::clear);
        match &self.how {
            settings::Capture::Pass { tag: true, .. } => {
                self.prefix.clear();
                self.prefix.extend_from_slice(&tag(payload));
                self.prefix.push(b'\t');
            }
            settings::Capture::Files(_) if attempt == 1 => self.name = number.to_string(),
            settings::Capture::Files(_) => self.name = format!("{number}.{attempt}"),
            _ => {}
        }
    }

    /// Opens the files or pipes that the command writes its two streams to.
    pub(super) fn open(&mut self) -> io::Result<[BorrowedFd<'_>; 2]> {
        if let settings::Capture::Files(directory) = &self.how {
            let directory = match self.directory.take() {
                Some(directory) => directory,
                None => files::create_directory(directory)?,
            };
            let files = open_files(self.directory.insert(directory), &self.name)?;
            return Ok(self.files.insert(files).each_ref().map(AsFd::as_fd));
        }
        let pipes = match self.pipes.take() {
            Some(pipes) => pipes,
            None => [Pipe::open()?, Pipe::open()?],
        };
        let pipes = self.pipes.insert(pipes);
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        let [stdout, stderr] = pipes.each_ref().map(|pipe| pipe.write_end().ok_or_else(closed));
        Ok([stdout?, stderr?])
    }

    /// The pipes that the launcher reads from, if there are any.
    pub(super) fn readers(&self) -> Option<[BorrowedFd<'_>; 2]> {
        self.pipes.as_ref().map(|pipes| pipes.each_ref().map(|pipe| pipe.reader().as_fd()))
    }

    /// Closes the launcher's write ends, so that the end of the output shows. Needed where a process
    /// that the command left behind may hold the pipes.
    pub(super) fn close_write_ends(&mut self) {
        self.pipes.iter_mut().flatten().for_each(Pipe::close_write_end);
    }

    /// Drops the pipes, so that the next command gets new ones.
    pub(super) fn drop_pipes(&mut self) {
        self.pipes = None;
    }

    /// Reads what waits in the pipe of a stream, up to a piece. Returns whether the stream has ended.
    pub(super) fn take(&mut self, index: usize, worker: &mut Worker) -> Result<bool, ServeError> {
        let Some(pipes) = &self.pipes else { return Ok(true) };
        let kept = &mut self.streams[index];
        let before = kept.bytes.len();
        let mut piece = pipes[index].reader().take(PIECE_BYTES as u64);
        // Bytes that were read before an error are kept.
        let ended = match piece.read_to_end(&mut kept.bytes) {
            Ok(length) => length < PIECE_BYTES,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => return Err(error.into()),
        };
        match self.how {
            settings::Capture::Pass { lines, .. } => self.pass_on(index, before, lines, worker)?,
            settings::Capture::Keep { .. } => self.send_ahead(index, worker)?,
            settings::Capture::Files(_) => {}
        }
        self.streams[index].cut(PIECE_BYTES);
        Ok(ended)
    }

    /// Reads everything that waits after the end of the command, and passes on incomplete lines.
    pub(super) fn take_rest(&mut self, worker: &mut Worker) -> Result<(), ServeError> {
        if self.pipes.is_some() {
            for index in [0, 1] {
                while self.waits(index) && !self.take(index, worker)? {}
            }
        }
        for (index, (_, stream)) in STREAMS.into_iter().enumerate() {
            if !self.held[index].is_empty() {
                self.held[index].push(b'\n');
                worker.output(stream, &mem::take(&mut self.held[index]))?;
            }
        }
        Ok(())
    }

    fn waits(&self, index: usize) -> bool {
        let pipe = self.pipes.as_ref().map(|pipes| &pipes[index]);
        pipe.is_some_and(|pipe| process::descriptors::bytes_waiting(pipe.reader()) > 0)
    }

    /// Sends the beginning of a stream to the supervisor, once there is too much for a reply.
    fn send_ahead(&mut self, index: usize, worker: &mut Worker) -> Result<(), ServeError> {
        let kept = &mut self.streams[index];
        let length = kept.surplus();
        if length > 0 {
            worker.output(STREAMS[index].1, &kept.bytes[..length])?;
            kept.bytes.drain(..length);
            kept.sent += length as u64;
        }
        Ok(())
    }

    /// Passes on what was kept from the index `before` on.
    fn pass_on(
        &mut self,
        index: usize,
        before: usize,
        lines: bool,
        worker: &mut Worker,
    ) -> Result<(), ServeError> {
        let stream = STREAMS[index].1;
        let piece = &self.streams[index].bytes[before..];
        if !lines {
            return worker.output(stream, piece);
        }
        let held = &mut self.held[index];
        // The beginning of the first line may be held already, together with its tag.
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            if held.last().is_none_or(|last| *last == b'\n') {
                held.extend_from_slice(&self.prefix);
            }
            held.extend_from_slice(line);
        }
        let whole = match memrchr(b'\n', held) {
            Some(at) => at + 1,
            None if held.len() > LINE_BYTES_MAX => held.len(),
            None => return Ok(()),
        };
        worker.output(stream, &held[..whole])?;
        held.drain(..whole);
        Ok(())
    }

    /// Whether the last output of the command says that memory ran out.
    pub(super) fn says_out_of_memory(&mut self) -> bool {
        if let Some(files) = &mut self.files {
            let tails = files.each_mut().map(|file| read_tail(file).unwrap_or_default());
            return says_out_of_memory([&tails[0], &tails[1]]);
        }
        let last = |bytes: &'_ [u8]| bytes.len().saturating_sub(TAIL_BYTES);
        let [stdout, stderr] = self.streams.each_ref().map(|stream| &stream.bytes[..]);
        says_out_of_memory([&stdout[last(stdout)..], &stderr[last(stderr)..]])
    }

    /// Builds the reply: the kept output, followed by the report.
    pub(super) fn finish(&mut self, mut report: CommandReport) -> Result<&[u8], ServeError> {
        self.files = None;
        self.reply.clear();
        if let settings::Capture::Keep { .. } = self.how {
            self.streams.iter_mut().for_each(|kept| kept.cut(0));
            report.written = self.streams.each_ref().map(|kept| kept.bytes.len() as u64);
            report.gaps = self.streams.each_ref().map(|kept| kept.gap);
            let [stdout, stderr] = &mut self.streams;
            // The reply takes the buffer of stdout, so that large output is not copied.
            mem::swap(&mut self.reply, &mut stdout.bytes);
            self.reply.extend_from_slice(&stderr.bytes);
        }
        report.append_to(&mut self.reply)?;
        Ok(&self.reply)
    }

    /// Frees large buffers. Returns whether there were any.
    pub(super) fn shrink(&mut self) -> bool {
        let [stdout, stderr] = &mut self.streams;
        let buffers = [&mut stdout.bytes, &mut stderr.bytes, &mut self.reply];
        let mut was_large = false;
        for buffer in buffers {
            if buffer.capacity() > LARGE_BYTES {
                *buffer = Vec::new();
                was_large = true;
            }
        }
        was_large
    }
}

impl Limit {
    /// Keeps so many bytes: the beginning, and at the end as much as memory holds.
    fn new(bytes_max: u64) -> Self {
        let tail = (bytes_max / 2).min(KEPT_BYTES_MAX as u64);
        Self { head: bytes_max - tail, tail: usize::try_from(tail).unwrap_or(KEPT_BYTES_MAX) }
    }
}

impl Kept {
    fn clear(&mut self) {
        self.bytes.clear();
        (self.sent, self.gap) = (0, Gap::default());
    }

    /// The number of bytes to be sent ahead. The last bytes stay, because they are evidence.
    fn surplus(&self) -> usize {
        if self.bytes.len() <= KEPT_BYTES_MAX {
            return 0;
        }
        (self.bytes.len() - TAIL_BYTES).min(self.head())
    }

    /// The number of bytes in memory that belong to the beginning of the stream.
    fn head(&self) -> usize {
        let head = self.limit.map_or(u64::MAX, |limit| limit.head - self.sent);
        usize::try_from(head).unwrap_or(usize::MAX)
    }

    /// Cuts out what is between the beginning and the end, if it is more than `slack` bytes, so that
    /// each byte is moved only a few times.
    fn cut(&mut self, slack: usize) {
        let Some(limit) = self.limit else { return };
        let head = self.head();
        let surplus = self.bytes.len().saturating_sub(head.saturating_add(limit.tail));
        if surplus > slack {
            self.bytes.drain(head..head + surplus);
            self.gap = Gap { at: limit.head, bytes: self.gap.bytes + surplus as u64 };
        }
    }
}

fn open_files(directory: &Directory, name: &str) -> io::Result<[File; 2]> {
    let open = |stream: &str| {
        // A fault of a start has an error number.
        directory.create(&format!("{name}.{stream}")).map_err(|error| match error.raw_os_error() {
            Some(_) => error,
            None => io::Error::from_raw_os_error(libc::EPERM),
        })
    };
    Ok([open("stdout")?, open("stderr")?])
}

fn read_tail(file: &mut File) -> io::Result<Vec<u8>> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES as u64)))?;
    let mut last = Vec::new();
    file.take(TAIL_BYTES as u64).read_to_end(&mut last)?;
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn long_output_is_sent_ahead_and_only_a_limit_cuts_it(
            pieces in prop::collection::vec(0usize..1_500_000, 0..6),
            bytes_max in prop::option::of(0u64..4_000_000),
        ) {
            let all: Vec<u8> = (0..=250u8).cycle().take(pieces.iter().sum()).collect();
            let limit = bytes_max.map(Limit::new);
            let mut kept = Kept { bytes: Vec::new(), sent: 0, limit, gap: Gap::default() };
            let (mut rest, mut out) = (&all[..], Vec::new());
            for length in pieces {
                kept.bytes.extend_from_slice(&rest[..length]);
                rest = &rest[length..];
                let surplus = kept.surplus();
                out.extend(kept.bytes.drain(..surplus));
                kept.sent += surplus as u64;
                kept.cut(PIECE_BYTES);
                prop_assert!(kept.bytes.len() <= 2 * KEPT_BYTES_MAX + PIECE_BYTES);
            }
            kept.cut(0);
            out.extend_from_slice(&kept.bytes);
            prop_assert_eq!(out.len() as u64 + kept.gap.bytes, all.len() as u64);
            let is_cut = bytes_max.is_some_and(|bytes_max| all.len() as u64 > bytes_max);
            prop_assert_eq!(kept.gap.bytes > 0, is_cut);
            if let Some(bytes_max) = bytes_max.filter(|_| is_cut) {
                prop_assert_eq!(out.len() as u64, bytes_max);
            }
            let at = if is_cut { usize::try_from(kept.gap.at).unwrap() } else { out.len() };
            prop_assert!(out[..at] == all[..at] && all.ends_with(&out[at..]));
        }
    }
}
