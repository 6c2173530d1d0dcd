//! All descendants of a process: who they are, what they do, and how they are suspended and killed.

mod activity;
mod kill;
mod suspend;
mod table;

pub use self::{
    activity::{Spent, Tree, Usage},
    kill::{contains, kill_descendants, names},
    suspend::Suspended,
    table::ProcessTable,
};
