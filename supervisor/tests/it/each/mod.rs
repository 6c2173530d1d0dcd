//! `supervisor each`: a command per job.

mod commands;
mod isolation;
mod long_output;
mod parallel;
mod starting;
