//! What was the server asked to do? Validated values, and what each client's process runs.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::Path,
    time::Duration,
};

use pool::limits::Limits;
use process::Program;

/// What is run unless another program is named. Looked up here, not in `PATH`.
pub(crate) const DEFAULT_PROGRAM: &str = "./connection_bin";

/// What UCSPI servers may say of a client and we do not: handed on from a server that started
/// us, it would be about the wrong one.
const SAID_OF_ANOTHER: [&str; 4] = ["TCPREMOTEHOST", "TCPREMOTEINFO", "TCPLOCALHOST", "TCPCONNNUM"];

/// Everything a server is asked to do.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where it listens: `HOST:PORT`.
    pub(crate) address: String,
    /// Clients served at once.
    pub(crate) connections_max: u32,
    /// What serves each of them.
    pub(crate) program: Program,
    /// How long running connections may take to finish when the server is asked to stop.
    pub(crate) grace: Duration,
    /// Whether connections that ended well go unmentioned.
    pub(crate) quiet: bool,
}

impl Settings {
    /// Whether a client that cannot be served is to be told so in HTTP.
    pub(crate) fn speaks_http(&self) -> bool {
        is_connection(&self.program)
    }
}

/// The program with these arguments, or the default one if there are none.
pub(crate) fn program(argv: Vec<OsString>, limits: Limits) -> Program {
    let argv = if argv.is_empty() { vec![DEFAULT_PROGRAM.into()] } else { argv };
    let env = env::vars_os().filter(|(name, _)| !SAID_OF_ANOTHER.iter().any(|said| name == said));
    Program { argv, env: env.collect(), directory: None, limits }
}

/// Whether the program is this workspace's own connection, wherever its file lies.
pub(crate) fn is_connection(program: &Program) -> bool {
    let file = |path: &OsStr| Path::new(path).file_name().map(OsStr::to_os_string);
    program.argv.first().and_then(|path| file(path)) == file(OsStr::new(DEFAULT_PROGRAM))
}
