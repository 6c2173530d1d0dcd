//! Tests of the queue, without a thread.

use super::*;

#[test]
fn messages_are_dropped_beyond_the_limit_and_outcomes_are_not() {
    let writer = Writer::idle();
    let chunk = vec![0; DROPPABLE_BYTES_MAX / 2];
    let deliver = |count: usize| {
        (0..count).for_each(|_| writer.deliver(Stream::Stdout, &mut chunk.clone()));
    };
    deliver(3);
    (0..3).for_each(|_| writer.push(Stream::Stderr, chunk.clone()));
    deliver(3);
    assert_eq!(writer.dropped_bytes(), chunk.len() as u64);
    assert_eq!(writer.shared.take(&mut StatusLine::default()).len(), 8);
    assert!(!writer.has_room(), "a chunk counts until it is written");
}

#[test]
fn a_buffer_is_used_again_after_it_was_written() {
    let writer = Writer::idle();
    let mut bytes = Vec::with_capacity(1000);
    bytes.push(b'x');
    writer.deliver(Stream::Stdout, &mut bytes);
    assert_eq!(bytes.capacity(), 0);
    assert_eq!(writer.write_queued(), b"x");
    bytes.push(b'y');
    writer.deliver(Stream::Stdout, &mut bytes);
    assert!(bytes.is_empty() && bytes.capacity() == 1000);
}

#[test]
fn bytes_for_a_closed_stdout_are_counted() {
    let writer = Writer::idle();
    writer.push(Stream::Stdout, vec![0; 3]);
    for chunk in writer.shared.take(&mut StatusLine::default()) {
        writer.shared.written(chunk, 3, Err(Errno::EPIPE));
    }
    writer.deliver(Stream::Stdout, &mut vec![0; 4]);
    writer.push(Stream::Stderr, vec![0; 5]);
    assert_eq!((writer.failure(), writer.dropped_bytes()), (Some(WriteFailure::Closed), 7));
    assert_eq!(writer.shared.take(&mut StatusLine::default()).len(), 1);
}
