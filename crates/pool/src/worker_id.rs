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

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}.{}", self.slot, self.generation)
    }
}
