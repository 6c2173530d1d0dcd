//! Memory: what the allocator of this process keeps, and what other processes hold.

mod allocator;
mod same;
mod sampler;
mod shares;
mod swap;

pub use self::{allocator::keep_freed, sampler::MemorySampler};
