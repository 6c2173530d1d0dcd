//! The state of a run for people and other programs: one fold of its events, the [`board`], and
//! the views that are drawn from it.

pub mod board;
pub mod histogram;
pub mod history;
pub mod narrate;
pub mod narrator;
pub mod progress;
pub mod settled;
mod starts;
pub mod summary;
pub mod table;
pub mod view;
