//! What does the run look like? One fold of its events, the [`board`], and the views of it.

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
