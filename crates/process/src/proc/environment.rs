//! Searches the environment with which a process was executed. The process can overwrite it, move
//! it, and make it as large as its address space, so that the search reads a bounded number of bytes,
//! piece by piece: a caller with other things to do can do them between two pieces.

use std::{
    fs::File,
    io::{self, Read},
};

/// Upper bound for the bytes that are read: the kernel executes no program with more than 6 MiB of
/// arguments and environment.
const BYTES_MAX: usize = 6 << 20;
/// The bytes that one step of a search reads.
const PIECE_BYTES: usize = 16 << 10;

/// Whether a pair `NAME=value` is in the environment of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// The process shows no environment: it is ending or gone, is executing a program just now, was
    /// executed without an environment, or belongs to another user.
    Unknown,
}

/// A search for a pair `NAME=value` in the environment of a process.
#[derive(Debug)]
pub struct VariableSearch<'a> {
    pair: &'a [u8],
    environ: io::Result<File>,
    read_bytes: usize,
    /// The number of bytes at the beginning of the pair that the entry under way has in common with
    /// it; `None` once they differ.
    matched: Option<usize>,
}

impl<'a> VariableSearch<'a> {
    /// Opens the environment that the process has now.
    #[must_use]
    pub fn new(pid: i32, pair: &'a [u8]) -> Self {
        let environ = File::open(format!("/proc/{pid}/environ"));
        Self { pair, environ, read_bytes: 0, matched: Some(0) }
    }

    /// Reads the next piece. Returns the result once it is known.
    pub fn step(&mut self) -> Option<Found> {
        let mut piece = [0; PIECE_BYTES];
        let read = self.environ.as_mut().map_or(Ok(0), |environ| environ.read(&mut piece));
        let length = read.unwrap_or(0);
        if self.take(&piece[..length]) {
            return Some(Found::Yes);
        }
        self.read_bytes += length;
        match (length, self.read_bytes) {
            (0, 0) => Some(Found::Unknown),
            (0, _) if self.matched == Some(self.pair.len()) => Some(Found::Yes),
            (0, _) | (_, BYTES_MAX..) => Some(Found::No),
            _ => None,
        }
    }

    /// Searches to the end.
    #[must_use]
    pub fn finish(mut self) -> Found {
        loop {
            if let Some(found) = self.step() {
                return found;
            }
        }
    }

    /// Takes the next bytes. Returns whether an entry that ends in them is the pair.
    fn take(&mut self, bytes: &[u8]) -> bool {
        for (nth, part) in bytes.split(|byte| *byte == 0).enumerate() {
            if nth > 0 {
                if self.matched == Some(self.pair.len()) {
                    return true;
                }
                self.matched = Some(0);
            }
            let goes_on = |matched: &usize| self.pair[*matched..].starts_with(part);
            self.matched = self.matched.filter(goes_on).map(|matched| matched + part.len());
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_found_wherever_the_pieces_end() {
        let search = |pieces: [&[u8]; 2]| {
            let environ = Err(io::ErrorKind::NotFound.into());
            let mut search =
                VariableSearch { pair: b"A=1", environ, read_bytes: 0, matched: Some(0) };
            pieces.into_iter().any(|piece| search.take(piece))
        };
        for (text, is_there) in [
            (&b"A=1\0"[..], true),
            (b"B=A=1\0A=1\0C=\0", true),
            (b"A=12\0A=\0\0A=0\0AA=1\0", false),
            (b"B=A=1\0", false),
        ] {
            for at in 0..=text.len() {
                let (first, second) = text.split_at(at);
                assert_eq!(search([first, second]), is_there, "{text:?} {at}");
            }
        }
    }

    #[test]
    fn a_process_without_an_environment_is_unknown() {
        assert_eq!(VariableSearch::new(0, b"A=1").finish(), Found::Unknown);
        let mut child =
            std::process::Command::new("sleep").arg("1000").env_clear().spawn().unwrap();
        let pid = child.id().cast_signed();
        assert_eq!(VariableSearch::new(pid, b"A=1").finish(), Found::Unknown);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
