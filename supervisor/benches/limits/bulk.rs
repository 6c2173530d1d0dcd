//! Echoes payloads of 1 MiB, one in flight to each of two children, over pipes of 1 MiB. The payloads
//! are one block of memory, or different lines of a file.

use std::{
    fs::File,
    io::{Read, Write},
    time::{Duration, Instant},
};

use super::{
    child::{Child, now},
    poll::{Poll, READ, WRITE},
};

const SIZE: usize = 1 << 20;
/// Bit of a token that marks a child's jobs pipe.
const JOBS: u64 = 2;

/// Memory for a payload that begins at a page boundary, as mapped memory does. The kernel copies it a
/// little faster.
struct Pages(Vec<u8>);

impl Pages {
    const PAGE: usize = 4096;

    fn new() -> Self {
        Self(vec![1; SIZE + Self::PAGE])
    }

    fn bytes(&mut self) -> &mut [u8] {
        let start = self.0.as_ptr().align_offset(Self::PAGE);
        &mut self.0[start..start + SIZE]
    }

    /// Reads the next line of the file, if payloads come from a file.
    fn fill(&mut self, input: Option<&mut File>) {
        if let Some(input) = input {
            input.read_exact(self.bytes()).unwrap();
            input.read_exact(&mut [0]).unwrap();
        }
    }
}

pub(super) fn run(count: usize, mut input: Option<File>) -> Duration {
    let children = Child::two(Some(1 << 20), |mut jobs, mut replies| {
        let mut memory = Pages::new();
        let payload = memory.bytes();
        while jobs.read_exact(payload).is_ok() {
            payload[0] ^= 1;
            replies.write_all(payload).unwrap();
        }
    });
    let mut poll = Poll::new();
    for (token, child) in (0..).zip(&children) {
        child.set_nonblocking();
        poll.add(&child.replies, READ, token);
        poll.add(&child.jobs, 0, token | JOBS);
    }
    // For each child: bytes written, bytes read, the payload and the reply.
    let mut lanes = [(); 2].map(|()| (0, 0, Pages::new(), Pages::new()));
    let began = Instant::now();
    let (mut sent, mut done) = (0, 0);
    for ((token, child), lane) in (0..).zip(&children).zip(&mut lanes) {
        lane.2.fill(input.as_mut());
        poll.change(&child.jobs, WRITE, token | JOBS);
        sent += 1;
    }
    while done < count {
        for event in 0..poll.wait() {
            let token = poll.token(event);
            let at = usize::from(token & 1 == 1);
            let (child, (written, read, payload, answer)) = (&children[at], &mut lanes[at]);
            if token & JOBS != 0 {
                *written += now((&child.jobs).write(&payload.bytes()[*written..]));
                if *written == SIZE {
                    poll.change(&child.jobs, 0, token);
                }
                continue;
            }
            *read += now((&child.replies).read(&mut answer.bytes()[*read..]));
            if *read < SIZE {
                continue;
            }
            done += 1;
            if sent < count {
                sent += 1;
                (*written, *read) = (0, 0);
                payload.fill(input.as_mut());
                poll.change(&child.jobs, WRITE, token | JOBS);
            }
        }
    }
    began.elapsed()
}
