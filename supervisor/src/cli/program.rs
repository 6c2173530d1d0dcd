//! The arguments that say what processes are started with, and how many of them.

use std::{env, ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use pool::{limits::Limits, signal::Signal};
use process::{KillScope, Program, warden};
use supervisor::{
    run::{self, RunError},
    settings::{Notify, Settings, Workers},
};
use text::units::{parse_duration, parse_size};

use super::{exit, refusal::Faults};

/// The variable that names the socket of the service manager.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// The longest time between two signs of life that the service manager accepts, in microseconds.
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
/// The process that is to give them.
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// Returns what the service manager that started this process wants to know, if one did.
pub(super) fn service_manager() -> Option<Notify> {
    let socket = env::var_os(NOTIFY_SOCKET).filter(|name| !name.is_empty())?;
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = number(WATCHDOG_PID).is_none_or(|pid| pid == u64::from(std::process::id()));
    let watchdog = number(WATCHDOG_USEC).filter(|micros| is_ours && *micros > 0);
    Some(Notify { socket, watchdog: watchdog.map(Duration::from_micros) })
}

/// Whether workers inherit the variable. The service manager speaks with the supervisor alone.
fn is_inherited((name, _): &(OsString, OsString)) -> bool {
    ![NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID].iter().any(|own| name == own)
}

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// How many at a time: a number, or auto for one per CPU, +N or -N for so many more or fewer, N%
    /// of them [default: auto; copies of a program without jobs: 1]
    #[arg(
        short,
        long,
        allow_hyphen_values = true,
        visible_short_aliases = ['j', 'P'],
        visible_aliases = ["jobs", "max-procs"],
        value_name = "N"
    )]
    pub(super) workers: Option<Workers>,

    /// Time between the stop signal and SIGKILL
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(super) grace: Duration,

    /// The signal that asks a process to stop
    #[arg(long, value_name = "SIGNAL", default_value = "TERM")]
    pub(super) stop_signal: Signal,

    /// How far an end reaches: to all that descends from a process, whatever session it is in; to
    /// its process group; or to the process alone
    #[arg(long, value_name = "REACH", value_enum, default_value = "tree")]
    pub(super) kill: KillScopeArgument,

    /// Memory for each worker or command, with all that descends from it: 512M means 512 MiB
    ///
    /// Each of its processes is refused more private memory than that (--limit data=SIZE sets that
    /// apart, or lifts it with data=unlimited), and once they hold more together, it is killed.
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size)]
    pub(super) memory: Option<u64>,

    /// Resource limits for each process: as, data, cpu, nofile, nproc, fsize, core, stack
    #[arg(long, value_name = "NAME=VALUE,…")]
    pub(super) limit: Vec<Limits>,

    /// Set a variable in the environment
    #[arg(long, value_name = "NAME=VALUE", value_parser = clap::builder::OsStringValueParser::new())]
    pub(super) env: Vec<OsString>,

    /// Clear the environment except for --env and the variables that the supervisor sets
    #[arg(long)]
    pub(super) env_clear: bool,

    /// The directory to start in; a relative PROGRAM is looked up there
    #[arg(long, value_name = "DIR")]
    pub(super) cwd: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum KillScopeArgument {
    Tree,
    Group,
    Leader,
}

impl From<KillScopeArgument> for KillScope {
    fn from(kill_scope: KillScopeArgument) -> Self {
        match kill_scope {
            KillScopeArgument::Tree => Self::Tree,
            KillScopeArgument::Group => Self::Group,
            KillScopeArgument::Leader => Self::Leader,
        }
    }
}

impl Arguments {
    /// Converts the arguments to a program that runs `argv`.
    ///
    /// # Errors
    /// All faults of the arguments.
    pub(super) fn to_program(&self, argv: Vec<OsString>) -> Result<Program, Faults> {
        let mut faults = Faults::default();
        if let Some(directory) = self.cwd.as_deref().filter(|directory| !directory.is_dir()) {
            let reason = if directory.exists() { "is not a directory" } else { "is not there" };
            let directory = directory.display();
            faults.add(format!("--cwd {directory} {reason}: give a directory to start in"));
        }
        let inherited =
            if self.env_clear { Vec::new() } else { env::vars_os().filter(is_inherited).collect() };
        let env = environment(inherited, &self.env, &mut faults);
        let limits = Limits::gather(&self.limit, self.memory);
        faults.or(Some(Program { argv, env, directory: self.cwd.clone(), limits }))
    }
}

/// Starts the warden and runs the program; returns the exit status.
pub(super) fn run(settings: &Settings) -> ExitCode {
    let notify = settings.notify.as_ref().map(|notify| notify.socket.as_os_str());
    let ward = warden::split(settings.kill_scope == KillScope::Tree, notify)
        .map_err(|reason| RunError::Refused { what: "split off the warden", reason });
    match ward.and_then(|ward| run::run(settings, ward)) {
        Ok(end) => exit::with(end, settings),
        Err(error) => exit::cannot_run(&error),
    }
}

/// Adds the variables of `--env` to the inherited ones.
fn environment(
    mut env: Vec<(OsString, OsString)>,
    added: &[OsString],
    faults: &mut Faults,
) -> Vec<(OsString, OsString)> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    for pair in added {
        let bytes = pair.as_bytes();
        let equals = bytes.iter().position(|byte| *byte == b'=').filter(|at| *at > 0);
        let Some(at) = equals else {
            faults.add(format!("--env `{}` sets no variable: write NAME=value", pair.display()));
            continue;
        };
        let name = OsString::from_vec(bytes[..at].to_vec());
        let value = OsString::from_vec(bytes[at + 1..].to_vec());
        env.retain(|(known, _)| *known != name);
        env.push((name, value));
    }
    env
}
