//! The durable record of a run: an SQLite file of runs, jobs and attempts. The same command can
//! continue from it after any interruption, and other programs can read it at any time.
//!
//! [`Store`] is the file, opened by the only process that may write to it. [`Journal`] is the thread
//! that owns the store, as the run loop sees it. [`Reader`] reads the file, whether or not it is
//! being written. [`identity`] recognises jobs and [`resume`] decides what is left to do; both are
//! pure.
//!
//! A run [opens](Opened) the file, [compares](resume::compare) itself with the last run,
//! [begins](Opened::begin), and asks for each job of its input [what to do](resume::Resume::next).
//! It submits a [`Record::Job`] for each new job, [`Record::Started`] and [`Record::Ended`] for each
//! attempt, and, once the outcome of a job has been committed and then written, [`Record::Sent`].

mod append;
mod checksum;
mod connection;
mod durability;
#[expect(unsafe_code, reason = "a call that rusqlite does not wrap")]
mod errno;
mod error;
mod evidence;
pub mod identity;
mod lock;
mod open;
mod path;
mod reader;
mod record;
mod recorded;
pub mod resume;
mod row;
mod schema;
mod sent;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub use self::{
    durability::{OnLost, Sync},
    error::{Damage, Error},
    open::Opened,
    reader::{Account, Reader},
    record::{Attempted, Header, Record, Run, Settled},
    recorded::{Recorded, State},
    sent::Ranges,
    store::{Ending, Store},
    writer::{Failure, GATHER, GATHER_RECORDS, Journal, Sequence},
};
