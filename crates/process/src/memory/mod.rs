//! Memory: what the allocator of this process keeps, and what other processes hold.

mod allocator;
mod sampler;
mod shares;

pub use self::{
    allocator::keep_freed,
    sampler::{MemorySampler, TreeMemory},
};
