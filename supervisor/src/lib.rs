//! Runs work in worker processes, so that one crash, leak or hang costs one job and nothing
//! else, and tells exactly which and why.
//!
//! Reading order: [`event`] (the words), [`pool`] (every decision), [`run`] (the loop),
//! [`executor`] (what is done about it), [`os`] (how).

pub mod about;
mod alarm;
pub mod command;
#[cfg(feature = "compare")]
pub mod compare;
pub mod control;
pub mod dry_run;
pub mod endpoint;
pub mod escape;
pub mod event;
pub mod executor;
pub mod exit;
pub mod hang;
pub mod job;
#[cfg(feature = "journal")]
pub mod journal;
pub mod launcher;
pub mod limits;
mod notice;
pub mod observe;
pub mod onlook;
#[expect(unsafe_code, reason = "the system calls that no library wraps")]
pub mod os;
pub mod pool;
mod progress;
pub mod run;
pub mod settings;
pub mod signal;
pub mod sink;
pub mod source;
pub mod template;
#[cfg_attr(not(feature = "web"), path = "web/absent.rs")]
pub mod web;
pub mod words;
