//! `supervisor each`: a command per job.

mod commands;
mod parallel;
