//! What does the run look like? One fold of its events, the [`board`], and the views of it.

pub mod board;
pub mod narrate;
pub mod narrator;
pub mod progress;
pub mod summary;
pub mod table;
