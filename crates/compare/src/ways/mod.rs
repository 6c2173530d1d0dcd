//! The ways of running jobs, each written as one would write it on its own. They share the work of
//! the jobs and the stopwatch, and nothing else.

pub(super) mod each;
pub(super) mod runtime;
pub(super) mod serial;
pub(super) mod tasks;
pub(super) mod threads;
pub(super) mod workers;
