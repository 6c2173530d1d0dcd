//! What a worker program links, and what both sides of a pipe share: length-prefixed
//! [`frame`]s, the [`codec`] inside them, and the textual [`quantity`] that every
//! program of this workspace reads alike.
//!
//! Small and blocking: no runtime, no command line.

pub mod codec;
pub mod frame;
pub mod quantity;
pub mod wire;
