//! The command line itself.

mod check_worker;
mod manual;
mod usage;
