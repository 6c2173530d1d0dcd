//! The settings of the server: validated values, and the program that serves each client.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::Path,
    time::Duration,
};

use pool::limits::Limits;
use process::Program;
use text::address::HostPort;

use crate::admission::Places;

/// The program that serves clients by default; a path, so that it is not looked up in `PATH`.
pub(crate) const DEFAULT_PROGRAM: &str = "./connection_bin";

/// Variables that UCSPI servers may set for a client and this server does not. If another server
/// started this one, their values are about the wrong client, so they are removed.
const FOREIGN_VARIABLES: [&str; 4] =
    ["TCPREMOTEHOST", "TCPREMOTEINFO", "TCPLOCALHOST", "TCPCONNNUM"];

/// The validated settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The address to listen on.
    pub(crate) address: HostPort,
    /// The number of clients that are served at once.
    pub(crate) places: Places,
    /// The program that serves each client.
    pub(crate) program: Program,
    /// The time limit of a connection.
    pub(crate) timeout: Option<Duration>,
    /// Time for running connections to finish when the server is asked to stop.
    pub(crate) grace: Duration,
    /// Whether connections that ended with success are not logged.
    pub(crate) quiet: bool,
}

impl Settings {
    /// Whether the clients speak HTTP, so that a refusal can be an HTTP answer.
    pub(crate) fn speaks_http(&self) -> bool {
        is_connection(&self.program)
    }
}

/// The program with these arguments, or the default program without arguments.
pub(crate) fn program(argv: Vec<OsString>, limits: Limits) -> Program {
    let argv = if argv.is_empty() { vec![DEFAULT_PROGRAM.into()] } else { argv };
    let env =
        env::vars_os().filter(|(name, _)| !FOREIGN_VARIABLES.iter().any(|foreign| name == foreign));
    Program { argv, env: env.collect(), directory: None, limits }
}

/// Whether the program is `connection_bin` of this workspace, judged by its file name.
pub(crate) fn is_connection(program: &Program) -> bool {
    let file = |path: &OsStr| Path::new(path).file_name().map(OsStr::to_os_string);
    program.argv.first().and_then(|path| file(path)) == file(OsStr::new(DEFAULT_PROGRAM))
}
