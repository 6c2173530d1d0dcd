//! `supervisor each`: a command per job.

mod commands;
mod long_output;
mod parallel;
