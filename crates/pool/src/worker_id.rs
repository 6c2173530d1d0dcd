//! The name of a worker: its slot and its generation.

use std::fmt;

/// A worker: a slot and one generation in it. Written `w2.7`.
///
/// All that a worker says carries its id, so that late news of an earlier generation is recognized.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkerId {
    /// The slot's number, from 1.
    pub slot: u32,
    /// The number of the worker among those of its slot, from 1.
    pub generation: u32,
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}.{}", self.slot, self.generation)
    }
}
