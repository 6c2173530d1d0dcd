//! The journal: what it survives, what it shows, and how a run resumes from it.

mod crash_recovery;
mod durable;
mod place;
mod resume;
mod verbs;
