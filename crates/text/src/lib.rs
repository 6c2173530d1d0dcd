//! How values are written for people and read from them: sizes, durations, and text of unknown
//! origin that may hold control characters.

pub mod escape;
pub mod units;
