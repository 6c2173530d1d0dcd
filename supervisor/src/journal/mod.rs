//! What is kept of a run, so that it survives the run? A journal: an SQLite file of runs, jobs and
//! attempts that the same command continues from, and that anybody may read meanwhile.
//!
//! [`Store`] is the file, opened by the one process that may write to it; [`Journal`] is the
//! thread that owns it, as the loop sees it; [`Reader`] looks at the file, written to or not.
//! [`identity`] says which job is which, [`resume`] what is left to do: both pure.
//!
//! A run [opens](Opened) the file, [compares](resume::compare) itself with the last one,
//! [begins](Opened::begin), and asks of each job of its input what its [turn](resume::Resume::next)
//! is. It hands over a [`Record::Job`] for a new one, [`Record::Started`] and [`Record::Ended`] for
//! each attempt, and once the end of a job is committed, and then put out, [`Record::Sent`].

mod append;
mod checksum;
#[expect(unsafe_code, reason = "a call that rusqlite does not wrap")]
mod errno;
mod error;
mod evidence;
mod identify;
pub mod identity;
mod lock;
mod open;
mod reader;
mod recorded;
mod records;
pub mod resume;
mod schema;
mod sent;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub use crate::settings::{OnLost, Sync};

pub use self::{
    error::{Damage, Error},
    identify::{Identity, too_long},
    open::Opened,
    reader::{Account, Reader},
    recorded::{Recorded, State},
    records::{Attempted, Header, Record, Run, Settled},
    sent::Ranges,
    store::{Ending, Store},
    writer::{Failure, GATHER, GATHER_RECORDS, Journal, Sequence},
};
