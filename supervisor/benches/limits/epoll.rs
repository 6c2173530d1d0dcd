//! Echoes small frames, one in flight to each of two children, in one loop.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use super::{
    FRAME,
    child::Child,
    frame,
    poll::{Poll, READ},
};

pub(super) fn run(count: usize) -> Duration {
    let children = Child::two(None, |mut jobs, mut replies| {
        let mut frame = [0; FRAME];
        while jobs.read_exact(&mut frame).is_ok() {
            frame[8] ^= 1;
            replies.write_all(&frame).unwrap();
        }
    });
    let mut poll = Poll::new();
    for (token, child) in (0..).zip(&children) {
        poll.add(&child.replies, READ, token);
    }
    let began = Instant::now();
    let (mut sent, mut done) = (0, 0);
    for child in &children {
        (&child.jobs).write_all(&frame(sent)).unwrap();
        sent += 1;
    }
    let mut reply = [0; FRAME];
    while done < count {
        for event in 0..poll.wait() {
            let child = &children[usize::from(poll.token(event) == 1)];
            (&child.replies).read_exact(&mut reply).unwrap();
            done += 1;
            if sent < count {
                (&child.jobs).write_all(&frame(sent)).unwrap();
                sent += 1;
            }
        }
    }
    began.elapsed()
}
