//! The stream of events for subscribers: at most a thousand records a second, spread over it. The
//! stream counts those that it skips, and a record then says how many, with absolute counters, so
//! that a subscriber's sums are soon correct again.

use std::{mem, sync::Arc, time::Duration};

use tokio::sync::broadcast;

/// The length of the windows in which records are counted.
pub const WINDOW: Duration = Duration::from_millis(100);
/// The most records in one window.
const RECORDS_MAX: u32 = 100;

/// The sending side of the stream.
#[derive(Debug)]
pub struct EventStream {
    pieces: broadcast::Sender<Arc<[u8]>>,
    /// When the current window began, since the run began.
    since: Duration,
    /// Records sent in the current window.
    sent: u32,
    skipped: u64,
    /// When the number of skipped records is to be sent.
    due: Option<Duration>,
    lines: Vec<u8>,
}

impl EventStream {
    pub(super) fn new(pieces: broadcast::Sender<Arc<[u8]>>) -> Self {
        Self { pieces, since: Duration::ZERO, sent: 0, skipped: 0, due: None, lines: Vec::new() }
    }

    /// Whether the stream has a subscriber.
    #[must_use]
    pub fn has_subscribers(&self) -> bool {
        self.pieces.receiver_count() > 0
    }

    /// Sends records of as many items as the window has room for, written by `write`, and counts
    /// the others.
    pub fn send<T>(&mut self, now: Duration, items: &[T], write: impl Fn(&T, &mut Vec<u8>)) {
        if !self.has_subscribers() {
            return;
        }
        if now >= self.since + WINDOW {
            (self.since, self.sent) = (now, 0);
        }
        let room = (RECORDS_MAX - self.sent) as usize;
        let (sent, skipped) = items.split_at(room.min(items.len()));
        sent.iter().for_each(|item| write(item, &mut self.lines));
        self.sent += u32::try_from(sent.len()).unwrap_or(RECORDS_MAX);
        if !skipped.is_empty() {
            self.skipped += skipped.len() as u64;
            self.due.get_or_insert(self.since + WINDOW);
        }
        self.flush();
    }

    /// When the number of skipped records is to be sent, since the run began.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// The number of skipped records, once it is due.
    pub fn take_skipped(&mut self, now: Duration) -> Option<u64> {
        self.due.take_if(|due| *due <= now)?;
        Some(mem::take(&mut self.skipped))
    }

    /// Sends a record even if the window has no room.
    pub fn send_always(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.has_subscribers() {
            write(&mut self.lines);
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.lines.is_empty() {
            // The last subscriber may just have gone.
            let _ = self.pieces.send(self.lines.as_slice().into());
            self.lines.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_beyond_the_limit_are_counted() {
        let (pieces, mut received) = broadcast::channel(8);
        let mut stream = EventStream::new(pieces);
        let at = Duration::from_millis;
        let mut send = |stream: &mut EventStream, now, count| {
            stream.send(at(now), &vec![(); count], |(), out| out.push(b'x'));
            received.try_recv().map_or(0, |piece| piece.len())
        };
        assert_eq!(send(&mut stream, 200, 60), 60);
        assert_eq!((send(&mut stream, 210, 60), stream.due()), (40, Some(at(300))));
        assert_eq!(send(&mut stream, 220, 7), 0);
        assert_eq!(stream.take_skipped(at(299)), None);
        assert_eq!(send(&mut stream, 300, 5), 5);
        assert_eq!((stream.take_skipped(at(300)), stream.due()), (Some(27), None));
    }

    #[test]
    fn without_a_subscriber_nothing_is_written() {
        let (pieces, received) = broadcast::channel(8);
        let mut stream = EventStream::new(pieces);
        drop(received);
        let at = Duration::from_secs(1);
        stream.send(at, &[1], |_, _| panic!("nobody subscribed"));
        stream.send_always(|_| panic!("nobody subscribed"));
        assert_eq!(stream.due(), None);
    }
}
