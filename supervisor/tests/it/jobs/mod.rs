//! Jobs for workers that speak the protocol: their input, how they end, and who is charged.

mod blame;
mod broken_worker;
mod end_to_end;
mod follow;
mod hang;
mod input_and_replies;
mod invalid_replies;
mod kills;
mod lines;
mod progress;
mod protocol;
mod wrappers;
