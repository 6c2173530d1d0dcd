//! Echoes small frames, 64 in flight to each of two children, written and read in batches.

use std::{
    fs::File,
    io::{Read, Write},
    time::{Duration, Instant},
};

use super::{
    FRAME, LENGTH,
    child::{Child, now},
    frame, id,
    poll::{Poll, READ, WRITE},
    spin,
};

const IN_FLIGHT: usize = 64;
const BATCH: usize = 64 << 10;
/// Bit of a token that marks a child's jobs pipe.
const JOBS: u64 = 2;

pub(super) fn run(count: usize, time: Duration) -> Duration {
    let children = Child::two(None, |jobs, replies| child(jobs, replies, time));
    let mut poll = Poll::new();
    for (token, child) in (0..).zip(&children) {
        child.set_nonblocking();
        poll.add(&child.replies, READ, token);
        poll.add(&child.jobs, 0, token | JOBS);
    }
    let mut lanes = children.each_ref().map(Lane::new);
    let began = Instant::now();
    let (mut sent, mut done, mut sum) = (0, 0, 0);
    for (token, lane) in (0..).zip(&mut lanes) {
        lane.send(&mut sent, count, &poll, token);
    }
    while done < count {
        for event in 0..poll.wait() {
            let token = poll.token(event);
            let lane = &mut lanes[usize::from(token & 1 == 1)];
            if token & JOBS == 0 {
                done += lane.receive(&mut sum);
            }
            lane.send(&mut sent, count, &poll, token & 1);
        }
    }
    let took = began.elapsed();
    let all = u64::try_from(count).unwrap();
    assert_eq!(sum, all * (all - 1) / 2, "each frame comes back");
    took
}

/// The buffers and counters of one child.
struct Lane<'a> {
    child: &'a Child,
    out: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    have: usize,
    in_flight: usize,
    waits: bool,
}

impl<'a> Lane<'a> {
    fn new(child: &'a Child) -> Self {
        let (out, input) = (Vec::with_capacity(BATCH), vec![0; BATCH]);
        Self { child, out, written: 0, input, have: 0, in_flight: 0, waits: false }
    }

    fn send(&mut self, sent: &mut usize, count: usize, poll: &Poll, token: u64) {
        while self.in_flight < IN_FLIGHT && *sent < count && self.out.len() + FRAME <= BATCH {
            self.out.extend_from_slice(&frame(*sent));
            *sent += 1;
            self.in_flight += 1;
        }
        while self.written < self.out.len() {
            match now((&self.child.jobs).write(&self.out[self.written..])) {
                0 => break,
                length => self.written += length,
            }
        }
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        let waits = !self.out.is_empty();
        if waits != self.waits {
            poll.change(&self.child.jobs, if waits { WRITE } else { 0 }, token | JOBS);
            self.waits = waits;
        }
    }

    fn receive(&mut self, sum: &mut u64) -> usize {
        self.have += now((&self.child.replies).read(&mut self.input[self.have..]));
        let frames = self.input[..self.have].chunks_exact(FRAME);
        let (done, used) = (frames.len(), frames.len() * FRAME);
        *sum += frames.map(|frame| u64::from(id(frame))).sum::<u64>();
        self.input.copy_within(used..self.have, 0);
        self.have -= used;
        self.in_flight -= done;
        done
    }
}

fn child(mut jobs: File, mut replies: File, time: Duration) {
    let (mut input, mut out) = (vec![0; BATCH], Vec::with_capacity(BATCH));
    let mut have = 0;
    loop {
        let length = jobs.read(&mut input[have..]).unwrap();
        if length == 0 {
            return;
        }
        have += length;
        for frame in input[..have].chunks_exact_mut(FRAME) {
            assert_eq!(frame[..4], LENGTH.to_le_bytes(), "a frame");
            frame[8] ^= 1;
            if !time.is_zero() {
                spin(time);
            }
            out.extend_from_slice(frame);
        }
        replies.write_all(&out).unwrap();
        input.copy_within(out.len()..have, 0);
        have -= out.len();
        out.clear();
    }
}
