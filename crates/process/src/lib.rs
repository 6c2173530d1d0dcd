//! Every system call. These files know nothing of the pool, and hand out descriptors and plain
//! values; who waits for them is not their business.
//!
//! What happens between the spawn and a worker's first instruction is told in [`launch`]
//! (what is sent) and [`stub`] (what is done with it).

#![expect(unsafe_code, reason = "the system calls that no library wraps")]

pub mod census;
pub mod child;
pub mod cpu;
pub mod descriptors;
pub mod examine;
pub mod exec;
pub mod freeze;
pub mod launch;
pub mod limits;
pub mod listen;
pub mod lookup;
pub mod memory;
pub mod notify;
pub mod process;
pub mod procfs;
pub mod program;
pub mod scales;
pub mod signals;
pub mod stdout;
pub mod stub;
pub mod sweep;
pub mod terminal;
pub mod warden;
