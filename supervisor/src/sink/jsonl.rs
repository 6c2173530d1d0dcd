//! `--format jsonl`: one JSON record a line on stdout, for the output of workers, the ends of jobs
//! and workers, and at the end for each slot.

use std::time::SystemTime;

use super::{LineBuffer, Origin, Sink, Stream, line_buffer::Line};
use pool::{
    event::{Ended, Event},
    job::Outcome,
    limits::Limits,
};
use records::{Record, WorkerRef, events, json::push_line, outcome};

/// The sink of `--format jsonl`.
#[derive(Debug)]
pub(super) struct Jsonl {
    /// Limits that the workers run under: evidence for a job that is quarantined.
    pub(super) limits: Limits,
}

impl Sink for Jsonl {
    fn output(&self, origin: Origin, piece: &[u8], buffer: &mut LineBuffer, out: &mut Vec<u8>) {
        buffer.split(piece, |line| push_output(out, origin, &line));
    }

    fn output_ended(&self, origin: Origin, buffer: &mut LineBuffer, out: &mut Vec<u8>) {
        buffer.finish(|line| push_output(out, origin, &line));
    }

    fn target(&self, _: Stream) -> Stream {
        Stream::Stdout
    }

    fn outcome(&self, outcome: &Outcome, out: &mut Vec<u8>) {
        outcome::write(outcome, &self.limits, out);
    }

    fn event(&self, event: &Event, out: &mut Vec<u8>) {
        // Attempts are in the record of their job, and the run says on stderr why it stops.
        let is_recorded =
            matches!(event, Event::Started { .. } | Event::Ended(_) | Event::Unkillable { .. });
        if let Some(event) = events::Event::new(event).filter(|_| is_recorded) {
            push_line(out, &Record::timed(now(), event));
        }
    }

    fn task(&self, ended: &Ended, out: &mut Vec<u8>) {
        push_line(out, &Record::new(events::Event::slot(ended)));
    }
}

fn push_output(out: &mut Vec<u8>, origin: Origin, line: &Line<'_>) {
    let event = events::Event::Output {
        worker: WorkerRef::new(origin.worker, Some(origin.pid)),
        job: origin.job,
        stream: match origin.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        },
        line: line.text.into(),
        continues: line.continues,
        partial: !line.ended,
    };
    push_line(out, &Record::new(event));
}

fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}
