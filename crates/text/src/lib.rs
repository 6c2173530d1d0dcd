//! Text for people: formats and parses sizes and durations, and escapes text of unknown origin that
//! may contain control characters.

pub mod escape;
pub mod units;
pub mod utf8;
