//! The name of a worker: its slot and its generation.

use std::fmt;

/// A worker: which slot, and the how-many-th life in it. Written `w2.7`.
///
/// What a worker says carries its id, so that the late word of a former life is told apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkerId {
    /// The slot's number, from 1.
    pub slot: u32,
    /// The life's number, from 1.
    pub life: u32,
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}.{}", self.slot, self.life)
    }
}
