//! The ways of running jobs, each in its native form, as one would write it by itself. They share
//! what the jobs do and the stopwatch, and nothing else.

pub(super) mod each;
pub(super) mod runtime;
pub(super) mod serial;
pub(super) mod tasks;
pub(super) mod threads;
pub(super) mod workers;
