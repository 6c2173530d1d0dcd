//! Text for people: formats and parses sizes and durations, arranges tables for a terminal, and escapes
//! text of unknown origin that may contain control characters.

pub mod columns;
pub mod escape;
pub mod units;
