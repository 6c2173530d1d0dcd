//! The name of a worker: its slot and its generation.

use std::fmt;

/// The id of a worker: its slot and its generation, written `w2.7`.
///
/// All news about a worker carries this id, so that late news about an earlier generation is
/// recognized.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkerId {
    /// The slot's number, from 1.
    pub slot: u32,
    /// The number of the worker within its slot, from 1.
    pub generation: u32,
}

impl WorkerId {
    /// A number that differs from worker to worker without order, for small differences between
    /// workers that would otherwise act at the same time.
    pub(crate) fn scattered(self) -> u32 {
        // Fibonacci hashing spreads neighbouring numbers far apart.
        let id = u64::from(self.slot) << 32 | u64::from(self.generation);
        u32::try_from(id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).unwrap_or_default()
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}.{}", self.slot, self.generation)
    }
}
