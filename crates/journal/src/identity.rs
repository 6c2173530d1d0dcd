//! Recognises jobs from one run to the next. A job is identified by the digest of its content, and
//! identical jobs by their order among themselves, so users may insert, remove and reorder lines.
//!
//! The digest is BLAKE3, cut to 128 bits, and not a faster checksum: jobs come from untrusted
//! sources, and two jobs with the same digest would make the supervisor skip one of them as done.
//! It takes about 80 ns for a short job.

use std::{fmt, io};

/// Identifies the content of a job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest([u8; 16]);

impl Digest {
    /// Returns the digest of a payload.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        Self::cut(blake3::hash(payload))
    }

    /// Returns the digest of several parts, such as the words of a command and its input. Where one
    /// part ends and the next begins makes a difference.
    #[must_use]
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self::cut(hasher.finalize())
    }

    /// Returns the digest of everything that can be read from `file`.
    ///
    /// # Errors
    /// Reading failed.
    pub fn of_file(mut file: impl io::Read) -> io::Result<Self> {
        let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; 64 << 10]);
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(Self::cut(hasher.finalize())),
                Ok(length) => hasher.update(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
        }
    }

    /// Reads a digest; `None` if the length is wrong.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the bytes of the digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn cut(hash: blake3::Hash) -> Self {
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.as_bytes()[..16]);
        Self(digest)
    }

    /// Returns the first `bits` bits, which are evenly distributed.
    fn prefix(&self, bits: u32) -> usize {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        let shift = u64::BITS - bits;
        usize::try_from(u64::from_be_bytes(first).checked_shr(shift).unwrap_or(0)).unwrap_or(0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Returns the digest of a job that is too long to be kept, of which only the length is known.
#[must_use]
pub fn too_long(bytes: u64) -> Digest {
    Digest::of_parts([&b"too long"[..], &bytes.to_le_bytes()])
}

/// The jobs of a journal by digest. Each job can be taken once.
///
/// Takes 29 bytes per job, and is needed only until the input has been read.
#[derive(Debug)]
pub struct Known {
    /// Sorted, so that identical jobs are adjacent and in order.
    jobs: Vec<(Digest, u64)>,
    /// Number of identical jobs that were taken, at the index of the first of them.
    given: Vec<u32>,
    /// Index in `jobs` of the first digest with each prefix of `bits` bits.
    starts: Vec<u32>,
    bits: u32,
    left: u64,
}

/// Average number of jobs per entry of `starts`.
const JOBS_PER_START: usize = 8;

impl Known {
    /// Creates the index from the digest and the number of each job. Jobs beyond the first 2^32 are
    /// ignored, and so would count as new.
    #[must_use]
    pub fn new(mut jobs: Vec<(Digest, u64)>) -> Self {
        jobs.truncate(u32::MAX as usize);
        jobs.sort_unstable();
        let bits = (jobs.len() / JOBS_PER_START).checked_ilog2().unwrap_or(0);
        let mut starts = vec![0u32; (1 << bits) + 1];
        for (digest, _) in &jobs {
            starts[digest.prefix(bits) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let (given, left) = (vec![0; jobs.len()], jobs.len() as u64);
        Self { jobs, given, starts, bits, left }
    }

    /// Takes the next job with this digest and returns its number; `None` if there is none left.
    pub fn take(&mut self, digest: &Digest) -> Option<u64> {
        let prefix = digest.prefix(self.bits);
        let (from, to) = (self.starts[prefix] as usize, self.starts[prefix + 1] as usize);
        let first = from + self.jobs[from..to].partition_point(|(other, _)| other < digest);
        let given = self.given.get_mut(first)?;
        let (found, job) = self.jobs.get(first + *given as usize)?;
        if found != digest {
            return None;
        }
        *given += 1;
        self.left -= 1;
        Some(*job)
    }

    /// Returns the number of jobs that were not taken.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Returns the numbers of the jobs that were not taken, in no particular order.
    pub fn rest(&self) -> impl Iterator<Item = u64> {
        let alike = self.jobs.chunk_by(|(one, _), (other, _)| one == other);
        let starts = alike.scan(0, |at, jobs| {
            let start = *at;
            *at += jobs.len();
            Some((start, jobs))
        });
        starts
            .flat_map(|(start, jobs)| jobs.iter().skip(self.given[start] as usize))
            .map(|(_, job)| *job)
    }

    /// Puts all jobs back, so that each can be taken again.
    pub fn put_back(&mut self) {
        self.given.fill(0);
        self.left = self.jobs.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_digest_depends_on_every_part_of_a_job() {
        assert_eq!(Digest::of(b"abc").to_string(), "6437b3ac38465133ffb63b75273a8db5");
        let parts = |parts: &[&'static [u8]]| Digest::of_parts(parts.iter().copied());
        let all = [
            Digest::of(b""),
            Digest::of(b"ab"),
            parts(&[b""]),
            parts(&[b"ab"]),
            parts(&[b"a", b"b"]),
            parts(&[b"b", b"a"]),
        ];
        for (at, digest) in all.iter().enumerate() {
            assert_eq!(all.iter().position(|other| other == digest), Some(at));
            assert_eq!(Digest::from_bytes(digest.as_bytes()), Some(*digest));
        }
        assert_eq!(Digest::from_bytes(b"short"), None);
    }

    proptest! {
        #[test]
        fn each_job_is_taken_once_and_identical_jobs_in_order(
            recorded in prop::collection::vec(0u8..60, 0..300),
            asked in prop::collection::vec(0u8..70, 0..300),
        ) {
            let digest = |word: u8| Digest::of(&[word]);
            let numbered = recorded.iter().zip(1..);
            let jobs = numbered.clone().map(|(word, job)| (digest(*word), job)).collect();
            let mut known = Known::new(jobs);
            for _ in 0..2 {
                let mut model: BTreeMap<u8, VecDeque<u64>> = BTreeMap::new();
                numbered.clone().for_each(|(word, job)| model.entry(*word).or_default().push_back(job));
                for word in &asked {
                    let expected = model.get_mut(word).and_then(VecDeque::pop_front);
                    prop_assert_eq!(known.take(&digest(*word)), expected);
                }
                let mut rest: Vec<u64> = known.rest().collect();
                rest.sort_unstable();
                let mut left: Vec<u64> = model.into_values().flatten().collect();
                left.sort_unstable();
                prop_assert_eq!(known.left(), left.len() as u64);
                prop_assert_eq!(rest, left);
                known.put_back();
            }
        }
    }
}
