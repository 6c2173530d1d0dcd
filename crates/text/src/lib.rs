//! Text for people: formats and parses sizes, durations and addresses, arranges tables for a terminal,
//! and escapes text of unknown origin that may contain control characters.

pub mod address;
pub mod columns;
pub mod escape;
pub mod units;
pub mod utf8;
