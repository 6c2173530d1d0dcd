//! Runs a [`Role`] when `compare` has started this program again as a child.

use std::{
    env, io,
    os::unix::process::CommandExt,
    process::{Command, exit},
};

use nix::{
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        signal::Signal,
    },
    unistd::getppid,
};

use super::{
    plan::{Fault, Plan, Way},
    role::{Role, SELF, VERB},
    stopwatch::{Line, Stopwatch, emit},
    ways::{each, runtime, serial, tasks, threads, workers},
};

/// Runs the role for which this process was started, and exits; returns if there is none. Must be
/// called before the arguments are parsed.
pub fn run_if_called() {
    let mut words = env::args_os().skip(1);
    if words.next().is_none_or(|verb| verb != VERB) {
        return;
    }
    let role = words.next().and_then(|text| serde_json::from_slice(text.as_encoded_bytes()).ok());
    let Some(role) = role else {
        eprintln!("{VERB} is how this program starts itself; it is not to be called by hand");
        exit(2);
    };
    match play(role) {
        Ok(()) => exit(0),
        Err(error) => {
            eprintln!("supervisor compare: {error}");
            exit(125);
        }
    }
}

fn play(role: Role) -> io::Result<()> {
    match role {
        Role::Way { way, plan, parent } => {
            tie_to(parent)?;
            restrict(way, &plan)?;
            run(way, &plan)
        }
        Role::Worker { plan } => workers::serve(&plan),
        Role::Job { plan } => each::run_job(&plan),
    }
}

/// Runs the jobs in this way: in this process, or by replacing it with a supervisor.
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
        Ok(()) => emit(&Line::Finished),
        Err(error) => emit(&Line::Failed { why: error.to_string() }),
    }
    end
}

/// Makes the kernel kill this process when its parent ends.
fn tie_to(parent: i32) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid().as_raw() == parent { Ok(()) } else { Err(io::Error::other("orphaned")) }
}

/// Disables core files, since crashes are planned here. Where jobs leak, also limits the memory of
/// the process: every process has the same limit, whether it runs all jobs or one of many.
fn restrict(way: Way, plan: &Plan) -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, 0, hard)?;
    if plan.fault == Fault::Leak && !way.is_isolated() {
        let (_, hard) = getrlimit(Resource::RLIMIT_DATA)?;
        setrlimit(Resource::RLIMIT_DATA, plan.memory_bytes.min(hard), hard)?;
    }
    Ok(())
}
