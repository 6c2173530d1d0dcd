//! Starting programs, so that limits, descriptors and signals are in order before the first
//! instruction of the program. There are two ways:
//!
//! - The **exec helper** starts workers. The supervisor starts its own executable anew; that
//!   fresh, single-threaded image receives a [`SpawnSpec`], prepares itself and executes the
//!   program. Its cost does not depend on how large the supervisor is, and it may allocate.
//! - The **command spawner** starts the commands of a launcher, which is small and has one thread.
//!   It clones a child that shares the launcher's memory until the exec, which takes a fraction of
//!   the time.

mod channel;
mod command;
mod exec;
pub mod exec_helper;
pub mod limits;
pub mod lookup;
mod program;
mod spec;
mod stack;

pub(crate) use self::channel::{HelperMessage, SentSpec};
pub use self::{
    command::{CommandProcess, CommandSpawner},
    program::Program,
    spec::SpawnSpec,
};
