//! Requests to a run from another process.

mod requests;
#[cfg(feature = "top")]
mod top;
mod trust;
mod verbs;
