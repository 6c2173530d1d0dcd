//! What a run writes, in each form, and what happens when nobody reads it.

mod backpressure;
mod events;
mod forms;
mod terminal;
