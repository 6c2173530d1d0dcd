//! What may this program be, when `compare` starts it anew? A way of running jobs, a worker, or a
//! single job: under a hidden verb, with what it must know as JSON behind it.

use std::{
    env, io,
    os::unix::process::CommandExt,
    process::{self, Command},
};

use nix::{
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        signal::Signal,
    },
    unistd::getppid,
};
use serde::{Deserialize, Serialize};

use super::{
    plan::{Fault, Plan, Way},
    stopwatch::{Line, Stopwatch, tell},
    ways::{each, runtime, serial, tasks, threads, workers},
};

const VERB: &str = "__compare";
/// This very program, also where its file has been replaced since.
const SELF: &str = "/proc/self/exe";

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Part {
    /// A way of running the jobs; it ends with this parent.
    Way { way: Way, plan: Plan, parent: i32 },
    /// A worker that gets its jobs over pipes.
    Worker { plan: Plan },
    /// The process of one job.
    Job { plan: Plan },
}

impl Part {
    /// What starts this program as it.
    pub(super) fn to_words(&self) -> io::Result<[String; 3]> {
        Ok([SELF.into(), VERB.into(), serde_json::to_string(self)?])
    }

    /// From its start to its end.
    fn play(self) -> io::Result<()> {
        match self {
            Self::Way { way, plan, parent } => {
                tie_to(parent)?;
                restrict(way, &plan)?;
                run(way, &plan)
            }
            Self::Worker { plan } => workers::serve(&plan),
            Self::Job { plan } => each::do_one(&plan),
        }
    }
}

/// Plays a part, if this process was started for one; otherwise returns at once. To be called
/// before the arguments are read.
pub fn run_if_called() {
    let mut words = env::args_os().skip(1);
    if words.next().is_none_or(|verb| verb != VERB) {
        return;
    }
    let part = words.next().and_then(|text| serde_json::from_slice(text.as_encoded_bytes()).ok());
    let Some(part) = part else {
        eprintln!("{VERB} is how this program starts itself; it is not to be called by hand");
        process::exit(2);
    };
    match Part::play(part) {
        Ok(()) => process::exit(0),
        Err(error) => {
            eprintln!("supervisor compare: {error}");
            process::exit(125);
        }
    }
}

/// Runs the jobs in this way, in this process or as the supervisor that it becomes.
fn run(way: Way, plan: &Plan) -> io::Result<()> {
    let watch = Stopwatch::new(plan);
    let end = match way {
        Way::Serial => serial::run(plan, &watch),
        Way::Tasks => tasks::run(plan, &watch),
        Way::Runtime => runtime::run(plan, &watch),
        Way::Threads => threads::run(plan, &watch),
        Way::Workers => return Err(Command::new(SELF).args(workers::command(plan)?).exec()),
        Way::Each => return Err(Command::new(SELF).args(each::command(plan)?).exec()),
    };
    match &end {
        Ok(()) => tell(&Line::Finished),
        Err(error) => tell(&Line::Failed { why: error.to_string() }),
    }
    end
}

/// This process shall end with the one that compares, however that ends.
fn tie_to(parent: i32) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid().as_raw() == parent { Ok(()) } else { Err(io::Error::other("orphaned")) }
}

/// A planned crash leaves no core behind; and where a job leaks, each process has the same limit,
/// be it one for all jobs or one of many.
fn restrict(way: Way, plan: &Plan) -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, 0, hard)?;
    if plan.fault == Fault::Leak && !way.is_isolated() {
        let (_, hard) = getrlimit(Resource::RLIMIT_DATA)?;
        setrlimit(Resource::RLIMIT_DATA, plan.memory_bytes.min(hard), hard)?;
    }
    Ok(())
}
