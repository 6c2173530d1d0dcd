//! Output that workers attribute to a job, in messages of the worker protocol.
//!
//! Launchers send what their commands write: all of it once the beginning of it is too long for a
//! reply, or each line as it comes. A message holds a few kibibytes, so what belongs together is
//! put together here before it is written, and no other job's output can get in between.

use memchr::memrchr;

use super::{
    LineBuffer, Origin, Outlet, Stream,
    command_output::{LineFormat, LongOutput},
    spool::Gathered,
};
use crate::settings::Output;
use pool::{Answer, Reply, event::WorkerId};

/// What happens to the output that workers attribute to jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Treatment {
    /// It is written like the worker's other output.
    Same,
    /// It is the beginning of a command's output, to be written with the rest of it.
    Gather,
    /// It is written line by line.
    Lines,
}

impl Treatment {
    pub(super) fn of(output: Output, runs_commands: bool) -> Self {
        match output {
            Output::Lines { .. } if runs_commands => Self::Lines,
            Output::Grouped { .. } | Output::Jsonl | Output::None if runs_commands => Self::Gather,
            _ => Self::Same,
        }
    }
}

impl Outlet {
    /// Takes output that a worker attributes to jobs: the job's number, if it is certain, 1 for
    /// stdout or 2 for stderr, and the bytes.
    pub(crate) fn declared(&self, origin: Origin, bytes: &[u8]) {
        match (self.treatment, origin.job) {
            (Treatment::Gather, Some(job)) => {
                self.spool.borrow_mut().append(origin.worker, job, origin.stream.number(), bytes);
            }
            (Treatment::Lines, Some(job)) => self.declared_lines(origin, job, bytes),
            _ => {
                let mut buffer = LineBuffer::default();
                self.output(origin, bytes, &mut buffer);
                self.output_ended(origin, &mut buffer);
            }
        }
    }

    /// Writes the lines that are complete, and gathers the beginning of the next.
    fn declared_lines(&self, origin: Origin, job: u64, bytes: &[u8]) {
        let (worker, stream) = (origin.worker, origin.stream);
        self.recent.borrow_mut().push(origin, bytes);
        let (lines, rest) = bytes.split_at(memrchr(b'\n', bytes).map_or(0, |at| at + 1));
        if !lines.is_empty() {
            let begun = self.spool.borrow_mut().take(worker, job, stream.number());
            self.write_lines(stream, begun, lines);
        }
        if !rest.is_empty() {
            self.spool.borrow_mut().append(worker, job, stream.number(), rest);
        }
    }

    fn write_lines(&self, stream: Stream, begun: Option<Gathered>, end: &[u8]) {
        let mut format = LineFormat::new(None, self.terminals.has(stream));
        match begun.map(|mut begun| begun.in_memory().ok_or(begun)) {
            Some(Err(long)) => {
                let long = LongOutput::new(long.into_captured(end), 0, format);
                self.writer.deliver_long(stream, Box::new(long));
            }
            begun => {
                let mut out = Vec::new();
                let begun = begun.and_then(Result::ok).unwrap_or_default();
                format.put_all(&[&begun, end], &mut out);
                self.writer.deliver(stream, &mut out);
            }
        }
    }

    /// Puts what was gathered of the output of commands in front of the end that the replies hold.
    pub(crate) fn complete(&self, worker: WorkerId, replies: &mut [Reply]) {
        if self.treatment != Treatment::Gather {
            return;
        }
        let mut spool = self.spool.borrow_mut();
        for reply in replies {
            if let Answer::Ran(ran) = &mut reply.answer {
                spool.complete(worker, reply.id, &mut ran.output);
            }
        }
    }

    /// Ends the output of a worker that has died: lines that never ended are written, and the output
    /// of a command whose end is not known is dropped.
    pub(crate) fn forsake(&self, worker: WorkerId) {
        let left = self.spool.borrow_mut().take_all(worker);
        if self.treatment == Treatment::Lines {
            left.into_iter()
                .for_each(|(_, stream, begun)| self.write_lines(stream, Some(begun), b"\n"));
        }
    }

    /// Whether the output that workers attribute to jobs needs room with the writer at once.
    pub(crate) fn writes_declared(&self) -> bool {
        self.treatment != Treatment::Gather
    }
}
