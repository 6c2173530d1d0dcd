//! How workers start, live and end, and how a run stops.

mod child_environment;
mod intensity;
mod launch;
mod once;
mod orphans;
mod outcomes;
mod parent_death;
mod recycle;
mod restart;
mod rolling_restart;
mod scale;
mod service;
mod signals;
mod start_errors;
mod stopping;
mod warden;
