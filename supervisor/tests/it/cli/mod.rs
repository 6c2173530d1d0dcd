//! The command line itself.

mod manual;
mod usage;
