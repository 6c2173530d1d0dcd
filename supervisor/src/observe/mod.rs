//! What a run looks like: the [`board`], which is the one fold of its events, and what is drawn
//! from it.

pub mod board;
pub mod histogram;
pub mod history;
pub mod narrate;
pub mod narrator;
pub mod progress;
pub mod settled;
pub mod snapshot;
pub mod summary;
pub mod table;
pub mod view;
