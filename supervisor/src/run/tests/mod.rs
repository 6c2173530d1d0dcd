//! The loop without waiting: news in, responses and actions out.

mod control;
mod settle;
mod stop;
pub(in crate::run) mod support;
