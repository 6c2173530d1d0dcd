//! Fuzzes functions that read untrusted bytes, for a bounded time and on stable Rust.
//!
//! A test describes a [`Target`]: valid inputs, and fragments of the format. The harness changes and
//! combines them (`mutate`) and passes each result to the test's check, which states a property of
//! the function. Each input is drawn from one number, the seed, which a failure names: with the
//! environment variable `FUZZ_SEED` the test begins with that input.
//!
//! All targets together take `FUZZ_SECONDS` (20 by default). A check must not panic, and must not ask
//! the allocator for more than a small multiple of its input at once (`allocation`).

mod allocation;
mod mutate;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use fastrand::Rng;

/// The number of targets in the workspace, which share the time.
const TARGETS: u32 = 16;
/// The time for all targets, in seconds, unless `FUZZ_SECONDS` says otherwise.
const SECONDS: u32 = 20;
/// The longest time for one input.
const CASE_TIME_MAX: Duration = Duration::from_secs(10);
/// The inputs among which the harness must find a planted fault.
const PLANTED_CASES_MAX: u64 = 200_000;
/// Inputs after which a target must have been seen to accept some and to refuse some.
const CASES_FOR_BOTH: u64 = 2000;
/// Attempts to make a failing input shorter.
const SHRINKS_MAX: usize = 2000;

/// What the function did with an input, if that is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Did {
    /// It read the input.
    Accept,
    /// It refused the input, as it should.
    Refuse,
}

/// The result of a check: what the function did, or how it broke its promise.
pub type Checked = Result<Did, String>;

/// Something that reads untrusted bytes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The name in messages.
    pub name: &'static str,
    /// Valid inputs, and inputs that once showed a fault. Each is checked as it is.
    pub seeds: Vec<Vec<u8>>,
    /// Fragments that the format gives a meaning to.
    pub words: &'static [&'static str],
}

/// An input that shows a fault.
#[derive(Debug)]
struct Found {
    seed: Option<u64>,
    input: Vec<u8>,
    why: String,
}

impl Target {
    /// Checks the seeds, and then inputs made of them until this target's time is over.
    ///
    /// # Panics
    /// The check found a fault, or the inputs were all accepted or all refused.
    pub fn fuzz(&self, check: impl Fn(&[u8]) -> Checked) {
        let time = Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(SECONDS.into())) / TARGETS;
        let first = number("FUZZ_SEED").unwrap_or_else(new_seed);
        let begun = Instant::now();
        let goes_on = |cases| cases == 0 || begun.elapsed() < time;
        match self.play(first, goes_on, &check) {
            Ok((accepted, refused)) => {
                println!("{}: {accepted} accepted, {refused} refused, from {first}", self.name);
                let is_enough = accepted + refused >= CASES_FOR_BOTH;
                assert!(!is_enough || accepted > 0 && refused > 0, "{} is one-sided", self.name);
            }
            Err(Found { seed, input, why }) => {
                let again = match seed {
                    Some(seed) => format!("FUZZ_SEED={seed} begins with it"),
                    None => "it is one of the valid inputs".into(),
                };
                panic!("{}: {why}\n{again}; shortened: b\"{}\"", self.name, input.escape_ascii());
            }
        }
    }

    /// Shows that the harness would find a fault of this kind: the check is of a function in which
    /// one is planted.
    ///
    /// # Panics
    /// It was not found, or its seed does not lead to it again.
    pub fn finds(&self, check: impl Fn(&[u8]) -> Checked) {
        let found = self.play(0, |cases| cases < PLANTED_CASES_MAX, &check);
        let Err(Found { seed, input, .. }) = found else {
            panic!("{}: the planted fault was not found", self.name);
        };
        assert!(judge(&input, &check).is_err(), "the shortened input shows no fault");
        if let Some(seed) = seed {
            assert!(judge(&self.input(seed), &check).is_err(), "the seed leads to another input");
        }
    }

    /// Checks the inputs of the seeds from `first` on while `goes_on` holds for their number. Returns
    /// how many were accepted and how many refused.
    fn play(
        &self,
        first: u64,
        goes_on: impl Fn(u64) -> bool,
        check: &dyn Fn(&[u8]) -> Checked,
    ) -> Result<(u64, u64), Found> {
        let (mut accepted, mut refused) = (0, 0);
        let mut judged = |seed, input: Vec<u8>| {
            match judge(&input, check) {
                Ok(Did::Accept) => accepted += 1,
                Ok(Did::Refuse) => refused += 1,
                Err(why) => return Err(Found { seed, input: shorten(input, check), why }),
            }
            Ok(())
        };
        for input in &self.seeds {
            judged(None, input.clone())?;
        }
        let mut cases = 0;
        while goes_on(cases) {
            let seed = first.wrapping_add(cases);
            judged(Some(seed), self.input(seed))?;
            cases += 1;
        }
        Ok((accepted, refused))
    }

    /// The input of a seed.
    fn input(&self, seed: u64) -> Vec<u8> {
        mutate::input(&mut Rng::with_seed(seed), &self.seeds, self.words)
    }
}

/// Checks one input. A panic, a large allocation and a long time are faults too.
fn judge(input: &[u8], check: &dyn Fn(&[u8]) -> Checked) -> Checked {
    let begun = Instant::now();
    allocation::forget();
    let done = catch_unwind(AssertUnwindSafe(|| check(input)));
    let largest = allocation::largest();
    let did = done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        format!("it panicked: {}", text.unwrap_or("without a message"))
    })??;
    if largest > allocation::bytes_max(input.len()) {
        return Err(format!("it asked for {largest} bytes at once"));
    }
    if begun.elapsed() > CASE_TIME_MAX {
        return Err(format!("it took {:?}", begun.elapsed()));
    }
    Ok(did)
}

/// Leaves out parts of a failing input for as long as it fails.
fn shorten(mut input: Vec<u8>, check: &dyn Fn(&[u8]) -> Checked) -> Vec<u8> {
    let mut left = SHRINKS_MAX;
    let mut part = input.len();
    while part > 0 {
        let mut at = 0;
        while at + part <= input.len() && left > 0 {
            left -= 1;
            let shorter = [&input[..at], &input[at + part..]].concat();
            if judge(&shorter, check).is_err() {
                input = shorter;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    input
}

/// The number in an environment variable.
fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs() << 30 | u64::from(now.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a length and as many bytes; `trust` is a reader that believes the length.
    fn read(input: &[u8], trust: bool) -> Checked {
        let Some((length, rest)) = input.split_first_chunk::<4>() else { return Ok(Did::Refuse) };
        let length = u32::from_le_bytes(*length) as usize;
        let _room = Vec::<u8>::with_capacity(if trust { length } else { length.min(rest.len()) });
        Ok(if length == rest.len() { Did::Accept } else { Did::Refuse })
    }

    fn target() -> Target {
        let seeds = vec![b"\x03\0\0\0abc".to_vec(), b"\0\0\0\0".to_vec()];
        Target { name: "harness", seeds, words: &["{", "}}", "-1"] }
    }

    #[test]
    fn a_reader_without_a_fault_passes() {
        let cases = target().play(7, |cases| cases < 20_000, &|input| read(input, false)).unwrap();
        assert!(cases.0 > 100 && cases.1 > 100, "{cases:?}");
    }

    #[test]
    fn a_reader_that_believes_a_length_is_found() {
        target().finds(|input| read(input, true));
    }

    #[test]
    fn a_panic_is_found_and_shortened() {
        let check = |input: &[u8]| {
            assert!(!input.windows(2).any(|pair| pair == b"}}"), "as planted");
            Ok(Did::Accept)
        };
        target().finds(check);
        let found = target().play(0, |cases| cases < PLANTED_CASES_MAX, &check).unwrap_err();
        assert_eq!((found.input.as_slice(), found.seed.is_some()), (&b"}}"[..], true));
        assert!(found.why.contains("as planted"), "{}", found.why);
    }

    #[test]
    fn one_seed_makes_one_input() {
        let inputs = |seed| (seed..seed + 50).map(|seed| target().input(seed)).collect::<Vec<_>>();
        assert_eq!(inputs(9), inputs(9));
        assert_ne!(inputs(9), inputs(1009));
    }
}
