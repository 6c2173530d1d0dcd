//! Which job is which, from one run to the next? A job is known by the digest of what it is, and
//! jobs alike by their order among themselves; so lines may be inserted, removed and reordered.
//!
//! The digest is BLAKE3's, cut to 128 bits, and not a quicker checksum: jobs come from strangers,
//! and whoever could make two with one digest could have one of them skipped as done. It costs
//! some 80 ns for a short job.

use std::{fmt, io};

/// What a job is known by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest([u8; 16]);

impl Digest {
    /// That of a job's payload.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        Self::cut(blake3::hash(payload))
    }

    /// That of something of several parts, such as a command's words and what it reads: where one
    /// ends and the next begins makes a difference.
    #[must_use]
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self::cut(hasher.finalize())
    }

    /// That of all that can be read.
    ///
    /// # Errors
    /// What the system says.
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

    /// One that was written down; `None` where that is of another length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// As it is written down.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn cut(hash: blake3::Hash) -> Self {
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash.as_bytes()[..16]);
        Self(digest)
    }

    /// Its first bits: as good a spread as any.
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

/// The jobs of a journal, by what they are known by. Each is given out once.
///
/// Takes 29 bytes a job, and is needed only until the input has been read.
#[derive(Debug)]
pub struct Known {
    /// In order, so that jobs alike stand together, the first of them first.
    jobs: Vec<(Digest, u64)>,
    /// How many of those alike were given out, at the place of the first of them.
    given: Vec<u32>,
    /// Where the digests begin that begin with these bits.
    starts: Vec<u32>,
    bits: u32,
    left: u64,
}

/// There are about so many jobs for each start.
const JOBS_PER_START: usize = 8;

impl Known {
    /// Those of a journal: what each is known by, and its number. What is beyond four thousand
    /// million would be taken for new.
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

    /// The number of the next job that is known by this; `None` where there is no other.
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

    /// How many were not given out.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The numbers of those that were not given out, in no order.
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

    /// All can be given out anew.
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
    fn a_digest_is_of_all_that_makes_a_job() {
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
        fn each_job_is_given_out_once_and_the_first_of_those_alike_first(
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
