//! The reader of the supervisor's stdout, which reads promptly, slowly, or with long pauses.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::PathBuf,
    process::ChildStdout,
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::random::Random;

/// How the reader reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    Prompt,
    Slow,
    Rests,
}

impl Pace {
    pub(crate) const ALL: [Self; 3] = [Self::Prompt, Self::Slow, Self::Rests];
}

/// Where the output of a run goes.
#[derive(Debug)]
pub(crate) enum Output {
    Pipe(JoinHandle<io::Result<Vec<u8>>>),
    File(PathBuf),
}

impl Output {
    pub(crate) fn of_pipe(stdout: ChildStdout, pace: Pace, seed: u64) -> Self {
        Self::Pipe(thread::spawn(move || read(stdout, pace, &mut Random::new(seed))))
    }

    /// Returns the whole output. Call this after every process that can write to it has ended.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Pipe(reader) => {
                reader.join().unwrap_or_else(|_| Err(io::Error::other("the reader panicked")))
            }
            Self::File(path) => fs::read(path),
        }
    }
}

fn read(mut pipe: impl Read, pace: Pace, random: &mut Random) -> io::Result<Vec<u8>> {
    const PIECE_BYTES: u64 = 16 << 10;
    let mut output = Vec::new();
    loop {
        let piece = if pace == Pace::Prompt { u64::MAX } else { PIECE_BYTES };
        if (&mut pipe).take(piece).read_to_end(&mut output)? == 0 {
            return Ok(output);
        }
        match pace {
            Pace::Prompt => {}
            Pace::Slow => thread::sleep(Duration::from_millis(random.between(1, 10))),
            Pace::Rests if random.chance(20) => {
                thread::sleep(Duration::from_millis(random.between(200, 900)));
            }
            Pace::Rests => {}
        }
    }
}

/// Creates a file that serves as the stdout of a run.
pub(crate) fn file(path: &PathBuf) -> io::Result<(File, Output)> {
    Ok((File::create(path)?, Output::File(path.clone())))
}
