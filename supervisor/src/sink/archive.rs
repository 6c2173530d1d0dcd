//! Outcomes that wait for their turn in an archive. A journal holds every outcome anyway, so only
//! the numbers of jobs wait in memory, and an outcome is read back when it is due.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use super::{Sink, Stream, chunk::Pieces, writer::Writer};
use pool::job::{AttemptEnd, Outcome};

/// A store from which outcomes can be read back.
pub trait Archive: fmt::Debug {
    /// The outcome of this job.
    ///
    /// # Errors
    /// Why the outcome cannot be read, as a message.
    fn outcome(&mut self, id: u64) -> Result<Outcome, String>;
}

/// Outcomes that wait for their turn. Those that the archive does not have wait in memory.
#[derive(Debug)]
pub(super) struct Archived {
    archive: Box<dyn Archive>,
    /// Whether outcomes come out in the order of the jobs; otherwise in the order of arrival.
    keeps_order: bool,
    /// The sequence number whose turn it is.
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
enum Waiting {
    /// The outcomes of `count` jobs in the archive, with consecutive ids and sequence numbers.
    Kept { id: u64, count: u64, again: bool },
    /// An outcome that is not in the archive, of a job that was not run; or not all of it, of a
    /// command with output that is too long for memory.
    Here(Box<Outcome>),
}

impl Archived {
    pub(super) fn new(archive: Box<dyn Archive>, keeps_order: bool) -> Self {
        Self { archive, keeps_order, next: 1, waiting: BTreeMap::new() }
    }

    /// Whether the outcome is due at once; then its turn is over.
    pub(super) fn takes_turn(&mut self, outcome: &Outcome) -> bool {
        let is_next = self.keeps_order && outcome.place == self.next;
        self.next += u64::from(is_next);
        is_next || !self.keeps_order
    }

    /// Takes an outcome that is not due.
    pub(super) fn push(&mut self, outcome: &Outcome) {
        if outcome.end.is_final() && !has_stored_output(outcome) {
            self.insert(outcome.place, outcome.id, outcome.again);
        } else {
            self.waiting.insert(outcome.place, Waiting::Here(Box::new(outcome.clone())));
        }
    }

    /// Takes an outcome that a previous run may have written, to be written again.
    pub(super) fn push_again(&mut self, place: u64, id: u64) {
        let behind = self.waiting.last_key_value().map(|(place, last)| place + last.count());
        let place = if self.keeps_order { place } else { behind.unwrap_or(self.next) };
        self.insert(place, id, true);
    }

    /// Extends the entry before it if possible, so that consecutive outcomes share one entry.
    fn insert(&mut self, place: u64, id: u64, again: bool) {
        if let Some((first, Waiting::Kept { id: known, count, again: same })) =
            self.waiting.range_mut(..place).next_back()
            && (*first + *count, *known + *count, *same) == (place, id, again)
        {
            *count += 1;
        } else {
            self.waiting.insert(place, Waiting::Kept { id, count: 1, again });
        }
    }

    /// Whether an outcome is due.
    pub(super) fn has_due(&self) -> bool {
        self.waiting.first_key_value().is_some_and(|(place, _)| *place == self.next)
    }

    /// The next outcome that is due.
    ///
    /// # Errors
    /// The archive cannot be read.
    pub(super) fn take_due(&mut self) -> Result<Option<Outcome>, String> {
        if !self.has_due() {
            return Ok(None);
        }
        let Some((place, waiting)) = self.waiting.pop_first() else { return Ok(None) };
        self.next += 1;
        match waiting {
            Waiting::Here(outcome) => Ok(Some(*outcome)),
            Waiting::Kept { id, count, again } => {
                if count > 1 {
                    let rest = Waiting::Kept { id: id + 1, count: count - 1, again };
                    self.waiting.insert(place + 1, rest);
                }
                let outcome = self.archive.outcome(id)?;
                Ok(Some(Outcome { place, again, ..outcome }))
            }
        }
    }
}

impl Waiting {
    fn count(&self) -> u64 {
        match self {
            Self::Kept { count, .. } => *count,
            Self::Here(_) => 1,
        }
    }
}

/// Tracks which outcomes the writer thread has written.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// The number of chunks after which the outcomes of these jobs are written.
    given: VecDeque<(u64, Vec<u64>)>,
}

impl Sent {
    /// Notes that the outcomes of these jobs are with the writer.
    pub(super) fn given(&mut self, ids: Vec<u64>, writer: &Writer) {
        if !ids.is_empty() {
            self.given.push_back((writer.queued(), ids));
        }
    }

    /// The jobs whose outcomes were written since the last call.
    pub(super) fn take(&mut self, writer: &Writer) -> Vec<u64> {
        let (written, mut ids) = (writer.written(), Vec::new());
        while self.given.front().is_some_and(|(upto, _)| *upto <= written)
            && let Some((_, more)) = self.given.pop_front()
        {
            ids.extend(more);
        }
        ids
    }

    /// The number of chunks after which the next outcomes are written.
    pub(super) fn next(&self) -> Option<u64> {
        self.given.front().map(|(upto, _)| *upto)
    }
}

/// Formats an outcome for both streams. The stdout part before it is delivered first, so that the
/// order between the streams is kept.
pub(super) fn put(
    outcome: &Outcome,
    sink: &dyn Sink,
    (chunk, errors): (&mut Vec<u8>, Option<&mut Vec<u8>>),
    writer: &Writer,
) {
    if has_stored_output(outcome)
        && let Some(long) = sink.long_outcome(outcome)
    {
        writer.deliver(Stream::Stdout, chunk);
        return deliver_long(long, writer);
    }
    sink.outcome(outcome, chunk);
    let Some(errors) = errors else { return };
    sink.outcome_stderr(outcome, errors);
    if !errors.is_empty() {
        writer.deliver(Stream::Stdout, chunk);
        writer.deliver(Stream::Stderr, errors);
    }
}

/// Passes both streams of a command to the writer.
pub(super) fn deliver_long([stdout, stderr]: [Box<dyn Pieces>; 2], writer: &Writer) {
    writer.deliver_long(Stream::Stdout, stdout);
    writer.deliver_long(Stream::Stderr, stderr);
}

fn has_stored_output(outcome: &Outcome) -> bool {
    match outcome.last.as_ref().map(|last| &last.end) {
        Some(AttemptEnd::Ran(ran)) => ran.output.is_stored(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool::job::{JobEnd, Payload};

    #[derive(Debug)]
    struct Replies;

    impl Archive for Replies {
        fn outcome(&mut self, id: u64) -> Result<Outcome, String> {
            (id < 100).then(|| outcome(0, id, true)).ok_or_else(|| "it is gone".into())
        }
    }

    fn outcome(place: u64, id: u64, is_done: bool) -> Outcome {
        let payload = Payload::copy(b"");
        let end = if is_done { JobEnd::Ok(payload.clone()) } else { JobEnd::NotRun };
        let (last, earlier, again) = (None, Vec::new(), false);
        Outcome { id, place, position: place, payload, end, last, earlier, again }
    }

    fn due(archived: &mut Archived) -> Vec<(u64, u64, bool)> {
        let next = || archived.take_due().unwrap().map(|it| (it.place, it.id, it.again));
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn consecutive_outcomes_share_an_entry_and_come_out_in_their_turn() {
        let mut archived = Archived::new(Box::new(Replies), true);
        for place in 3..=40 {
            archived.push(&outcome(place, place + 10, true));
        }
        assert_eq!((archived.waiting.len(), due(&mut archived)), (1, vec![]));
        archived.push(&outcome(2, 7, false));
        archived.push_again(1, 60);
        let mut expected = vec![(1, 60, true), (2, 7, false)];
        expected.extend((3..=40).map(|place| (place, place + 10, false)));
        assert_eq!(due(&mut archived), expected);
        assert!(
            archived.takes_turn(&outcome(41, 1, true))
                && !archived.takes_turn(&outcome(43, 1, true))
        );
    }

    #[test]
    fn without_an_order_outcomes_come_out_as_they_arrive() {
        let mut archived = Archived::new(Box::new(Replies), false);
        for id in [5, 6, 7, 3] {
            archived.push_again(0, id);
        }
        assert_eq!(archived.waiting.len(), 2);
        assert_eq!(due(&mut archived), [(1, 5, true), (2, 6, true), (3, 7, true), (4, 3, true)]);
        archived.push_again(0, 200);
        assert_eq!(archived.take_due(), Err("it is gone".into()));
    }
}
