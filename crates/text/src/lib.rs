//! Text for people: formats and parses sizes, durations and addresses, and escapes text of unknown
//! origin that may contain control characters.

pub mod address;
pub mod escape;
pub mod units;
