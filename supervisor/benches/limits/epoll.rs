//! One small frame in flight to each of two children, in one loop.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use super::{
    FRAME, frame,
    kid::Kid,
    poll::{Poll, READ},
};

pub(super) fn run(count: usize) -> Duration {
    let kids = Kid::two(None, |mut jobs, mut replies| {
        let mut frame = [0; FRAME];
        while jobs.read_exact(&mut frame).is_ok() {
            frame[8] ^= 1;
            replies.write_all(&frame).unwrap();
        }
    });
    let mut poll = Poll::new();
    for (token, kid) in (0..).zip(&kids) {
        poll.add(&kid.replies, READ, token);
    }
    let began = Instant::now();
    let (mut sent, mut done) = (0, 0);
    for kid in &kids {
        (&kid.jobs).write_all(&frame(sent)).unwrap();
        sent += 1;
    }
    let mut reply = [0; FRAME];
    while done < count {
        for event in 0..poll.wait() {
            let kid = &kids[usize::from(poll.token(event) == 1)];
            (&kid.replies).read_exact(&mut reply).unwrap();
            done += 1;
            if sent < count {
                (&kid.jobs).write_all(&frame(sent)).unwrap();
                sent += 1;
            }
        }
    }
    began.elapsed()
}
