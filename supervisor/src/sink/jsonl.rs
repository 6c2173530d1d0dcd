//! One JSON record a line, on stdout: what the workers put out, how jobs end, what becomes of the
//! workers, and at the end how each slot ended up.

use std::time::SystemTime;

use super::{
    Held, Origin, Sink, Stream, outcome,
    record::{Record, Who, push},
};
use pool::{
    event::{Ended, Event},
    job::Outcome,
    limits::Limits,
};

/// Records.
#[derive(Debug)]
pub(super) struct Jsonl {
    /// Those that the workers run under: evidence.
    pub(super) limits: Limits,
}

impl Sink for Jsonl {
    fn output(&self, origin: Origin, piece: &[u8], held: &mut Held, out: &mut Vec<u8>) {
        held.split(piece, |line| push(out, &Record::output(origin, line)));
    }

    fn output_ended(&self, origin: Origin, held: &mut Held, out: &mut Vec<u8>) {
        held.finish(|line| push(out, &Record::output(origin, line)));
    }

    fn target(&self, _: Stream) -> Stream {
        Stream::Stdout
    }

    fn outcome(&self, outcome: &Outcome, out: &mut Vec<u8>) {
        outcome::write(outcome, &self.limits, out);
    }

    fn event(&self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Started { worker, pid } => {
                push(out, &Record::Started { time: now(), who: Who::new(*worker, Some(*pid)) });
            }
            Event::Ended(ended) => push(out, &Record::ended(now(), ended)),
            Event::Undead { worker } => {
                push(out, &Record::Undead { time: now(), who: Who::new(*worker, None) });
            }
            // Attempts are in the record of their job.
            Event::TriedAgain { .. }
            | Event::Ready { .. }
            | Event::Stopping { .. }
            | Event::ShuttingDown { .. }
            | Event::RollCalledOff { .. }
            | Event::StillSilent { .. }
            | Event::Jobs(_) => {}
        }
    }

    fn task(&self, ended: &Ended, out: &mut Vec<u8>) {
        push(out, &Record::task(ended));
    }
}

fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}
