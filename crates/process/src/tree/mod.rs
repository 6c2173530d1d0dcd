//! All descendants of a process: who they are, what they do, whom they belong to, and how they are
//! suspended and killed.

mod activity;
mod ancestry;
mod kill;
mod orphans;
mod suspend;
mod table;

pub use self::{
    activity::{Spent, Tree, Usage},
    ancestry::is_descendant,
    kill::{contains, kill_descendants, names},
    orphans::Orphans,
    suspend::suspend_all,
    table::ProcessTable,
};
