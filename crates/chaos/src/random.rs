//! Random numbers from a seed, so that a seed reproduces its plan.

/// A generator of random numbers: SplitMix64.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `least` to `most`, inclusive.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.number() % (most.saturating_sub(least) + 1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.number() % 100 < percent
    }

    /// A random element; `None` if there is none.
    pub(crate) fn pick<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let last = all.len().checked_sub(1)? as u64;
        all.get(usize::try_from(self.between(0, last)).ok()?).copied()
    }

    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for end in (1..all.len()).rev() {
            let other = usize::try_from(self.between(0, end as u64)).unwrap_or(end);
            all.swap(end, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_the_whole_sequence() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            let mut all: Vec<u64> = (0..50).map(|_| random.between(3, 9)).collect();
            random.shuffle(&mut all);
            all
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!((3..=9).all(|number| draw(7).contains(&number)));
        assert!(draw(7).iter().all(|number| (3..=9).contains(number)));
        assert_eq!(Random::new(1).pick::<u8>(&[]), None);
    }
}
