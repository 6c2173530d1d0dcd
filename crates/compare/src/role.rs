//! What this program is when `compare` starts it again: one way of running jobs, a worker, or a
//! single job. A hidden verb selects this, followed by the role as JSON.

use std::io;

use serde::{Deserialize, Serialize};

use super::plan::{Plan, Way};

pub(super) const VERB: &str = "__compare";
/// This program, even if its file has been replaced since it was started.
pub(super) const SELF: &str = "/proc/self/exe";

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Role {
    /// Runs the jobs in one way. The process is killed when `parent` ends.
    Way { way: Way, plan: Plan, parent: i32 },
    /// A worker that receives jobs over pipes.
    Worker { plan: Plan },
    /// The process of one job.
    Job { plan: Plan },
}

impl Role {
    /// Returns the command line that starts this program in this role.
    pub(super) fn to_words(&self) -> io::Result<[String; 3]> {
        Ok([SELF.into(), VERB.into(), serde_json::to_string(self)?])
    }
}
