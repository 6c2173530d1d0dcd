//! The limit of open files. The supervisor raises its own soft limit to the hard limit; programs
//! that it starts get the user's limits back.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// The user's limits of open files, as they were when this program started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenFiles {
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

/// The limit of open files is too low; the message says what fits and how to raise the limit.
#[derive(Debug, thiserror::Error)]
#[error(
    "{count} {what} need {need} open files and the limit is {hard}: \
     {}raise the limit with `ulimit -Hn`",
    fewer(*fits, flag)
)]
pub struct TooFewFiles {
    what: &'static str,
    flag: &'static str,
    count: u32,
    need: u64,
    hard: u64,
    fits: u64,
}

/// The remedy that needs no higher limit, if there is one.
fn fewer(fits: u64, flag: &str) -> String {
    if fits == 0 { String::new() } else { format!("ask for at most {fits} with {flag}, or ") }
}

/// Descriptors for each process: the read ends of its stdout and stderr, two pidfds (the crate's
/// and the runtime's), and the socket of the exec helper until the exec.
const PER_PROCESS: u64 = 5;
/// Additional descriptors while a process starts: the far ends of those three, and what the spawn
/// itself opens. Processes start one at a time.
const PER_START: u64 = 8;
/// Descriptors that every program needs besides: its standard streams, the runtime, the signal
/// pipe, and one additional worker during a roll.
const BASE: u64 = 24 + PER_PROCESS + PER_START;

impl OpenFiles {
    /// Raises the soft limit to the hard limit and returns the previous limits.
    ///
    /// # Errors
    /// The kernel refused, for which it has no known reason.
    pub fn raise() -> io::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(Self { soft, hard })
    }

    /// Checks that the limit allows `count` processes. `each` is the number of open files that a
    /// process needs besides those that every process needs, `others` the number that the program
    /// needs besides. The message calls the processes `what` and names the option `flag` that sets
    /// their number.
    ///
    /// # Errors
    /// The limit is too low.
    pub fn suffice_for(
        self,
        count: u32,
        each: u64,
        others: u64,
        what: &'static str,
        flag: &'static str,
    ) -> Result<(), TooFewFiles> {
        let each = PER_PROCESS + each;
        let base = BASE + others;
        let need = base + each * u64::from(count);
        if need <= self.hard {
            return Ok(());
        }
        let fits = self.hard.saturating_sub(base) / each;
        Err(TooFewFiles { what, flag, count, need, hard: self.hard, fits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_files_are_refused_with_the_number_that_fits() {
        let files = OpenFiles { soft: 64, hard: 64 };
        assert!(files.suffice_for(5, 0, 0, "workers", "--workers").is_ok());
        let message = files.suffice_for(512, 0, 0, "workers", "--workers").unwrap_err().to_string();
        assert!(
            message.contains("512 workers need 2597") && message.contains("at most 5"),
            "{message}"
        );
        let none = OpenFiles { soft: 8, hard: 8 };
        let message = none.suffice_for(1, 0, 0, "workers", "--workers").unwrap_err().to_string();
        assert!(
            message.ends_with("the limit is 8: raise the limit with `ulimit -Hn`"),
            "{message}"
        );
    }
}
