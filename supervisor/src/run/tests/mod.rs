//! The loop without waiting: news in, responses and actions out.

mod commands;
mod settle;
mod stop;
pub(in crate::run) mod support;
