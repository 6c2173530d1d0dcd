//! A payload of 1 MiB in flight to each of two children, over pipes as large: always the same from
//! memory, or each another from a file.

use std::{
    fs::File,
    io::{Read, Write},
    time::{Duration, Instant},
};

use super::{
    kid::{Kid, now},
    poll::{Poll, READ, WRITE},
};

const SIZE: usize = 1 << 20;
/// Set in the token of a child's jobs pipe.
const JOBS: u64 = 2;

/// Memory for a payload that begins where a page does, as mapped memory would: the kernel copies
/// it a little faster.
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

    /// Takes the next line of the file, if there is one to be read.
    fn fill(&mut self, input: Option<&mut File>) {
        if let Some(input) = input {
            input.read_exact(self.bytes()).unwrap();
            input.read_exact(&mut [0]).unwrap();
        }
    }
}

pub(super) fn run(count: usize, mut input: Option<File>) -> Duration {
    let kids = Kid::two(Some(1 << 20), |mut jobs, mut replies| {
        let mut memory = Pages::new();
        let payload = memory.bytes();
        while jobs.read_exact(payload).is_ok() {
            payload[0] ^= 1;
            replies.write_all(payload).unwrap();
        }
    });
    let mut poll = Poll::new();
    for (token, kid) in (0..).zip(&kids) {
        kid.without_waiting();
        poll.add(&kid.replies, READ, token);
        poll.add(&kid.jobs, 0, token | JOBS);
    }
    // How far each has been written and read, the payload and the answer.
    let mut lanes = [(); 2].map(|()| (0, 0, Pages::new(), Pages::new()));
    let began = Instant::now();
    let (mut sent, mut done) = (0, 0);
    for ((token, kid), lane) in (0..).zip(&kids).zip(&mut lanes) {
        lane.2.fill(input.as_mut());
        poll.change(&kid.jobs, WRITE, token | JOBS);
        sent += 1;
    }
    while done < count {
        for event in 0..poll.wait() {
            let token = poll.token(event);
            let at = usize::from(token & 1 == 1);
            let (kid, (written, read, payload, answer)) = (&kids[at], &mut lanes[at]);
            if token & JOBS != 0 {
                *written += now((&kid.jobs).write(&payload.bytes()[*written..]));
                if *written == SIZE {
                    poll.change(&kid.jobs, 0, token);
                }
                continue;
            }
            *read += now((&kid.replies).read(&mut answer.bytes()[*read..]));
            if *read < SIZE {
                continue;
            }
            done += 1;
            if sent < count {
                sent += 1;
                (*written, *read) = (0, 0);
                payload.fill(input.as_mut());
                poll.change(&kid.jobs, WRITE, token | JOBS);
            }
        }
    }
    began.elapsed()
}
