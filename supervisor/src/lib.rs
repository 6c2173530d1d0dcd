//! Runs work in worker processes, so that one crash, leak or hang costs one job and nothing
//! else, and tells exactly which and why.

pub mod event;
pub mod exit;
pub mod limits;
pub mod pool;
pub mod settings;
pub mod signal;
