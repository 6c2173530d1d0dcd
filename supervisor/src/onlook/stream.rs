//! Which events are told to those who listen? A thousand a second at most, spread over it; the others
//! are counted, and a record then says how many, with the absolute counters, so that nobody's sums
//! are off for long.

use std::{mem, sync::Arc, time::Duration};

use tokio::sync::broadcast;

/// In so much time ...
pub const SKIPPED_EVERY: Duration = Duration::from_millis(100);
/// ... no more records are told.
const RECORDS_MAX: u32 = 100;

/// The stream.
#[derive(Debug)]
pub struct Stream {
    pieces: broadcast::Sender<Arc<[u8]>>,
    since: Duration,
    told: u32,
    skipped: u64,
    /// When it is said how many.
    due: Option<Duration>,
    lines: Vec<u8>,
}

impl Stream {
    pub(super) fn new(pieces: broadcast::Sender<Arc<[u8]>>) -> Self {
        Self { pieces, since: Duration::ZERO, told: 0, skipped: 0, due: None, lines: Vec::new() }
    }

    /// Whether anybody listens.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.pieces.receiver_count() > 0
    }

    /// Tells of so many things as there is room for, and counts the others. The records are
    /// written by `write`.
    pub fn tell<T>(&mut self, now: Duration, things: &[T], write: impl Fn(&T, &mut Vec<u8>)) {
        if !self.is_heard() {
            return;
        }
        if now >= self.since + SKIPPED_EVERY {
            (self.since, self.told) = (now, 0);
        }
        let room = (RECORDS_MAX - self.told) as usize;
        let (told, skipped) = things.split_at(room.min(things.len()));
        told.iter().for_each(|thing| write(thing, &mut self.lines));
        self.told += u32::try_from(told.len()).unwrap_or(RECORDS_MAX);
        if !skipped.is_empty() {
            self.skipped += skipped.len() as u64;
            self.due.get_or_insert(self.since + SKIPPED_EVERY);
        }
        self.send();
    }

    /// When those that were skipped are to be counted.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// How many were skipped, once their time is over.
    pub fn take_skipped(&mut self, now: Duration) -> Option<u64> {
        self.due.take_if(|due| *due <= now)?;
        Some(mem::take(&mut self.skipped))
    }

    /// Tells this, whatever there is room for.
    pub fn must_tell(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.is_heard() {
            write(&mut self.lines);
            self.send();
        }
    }

    fn send(&mut self) {
        if !self.lines.is_empty() {
            // The last who listened may just have gone.
            let _ = self.pieces.send(self.lines.as_slice().into());
            self.lines.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let (pieces, mut heard) = broadcast::channel(8);
        let mut stream = Stream::new(pieces);
        let at = Duration::from_millis;
        let mut tell = |stream: &mut Stream, now, count| {
            stream.tell(at(now), &vec![(); count], |(), out| out.push(b'x'));
            heard.try_recv().map_or(0, |piece| piece.len())
        };
        assert_eq!(tell(&mut stream, 200, 60), 60);
        assert_eq!((tell(&mut stream, 210, 60), stream.due()), (40, Some(at(300))));
        assert_eq!(tell(&mut stream, 220, 7), 0);
        assert_eq!(stream.take_skipped(at(299)), None);
        assert_eq!(tell(&mut stream, 300, 5), 5);
        assert_eq!((stream.take_skipped(at(300)), stream.due()), (Some(27), None));
    }

    #[test]
    fn without_a_listener_nothing_is_written() {
        let (pieces, heard) = broadcast::channel(8);
        let mut stream = Stream::new(pieces);
        drop(heard);
        let at = Duration::from_secs(1);
        stream.tell(at, &[1], |_, _| panic!("nobody listens"));
        stream.must_tell(|_| panic!("nobody listens"));
        assert_eq!(stream.due(), None);
    }
}
