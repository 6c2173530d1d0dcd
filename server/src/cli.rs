//! The command line of the server. One fallible step turns arguments into settings.

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use pool::limits::Limits;
use process::{signals::die_by, warden};
use text::{
    address::HostPort,
    units::{parse_duration, parse_size},
};
use tokio::{runtime, task::LocalSet};

use crate::{
    End,
    admission::Places,
    fault::Fault,
    once, serve,
    settings::{Settings, program},
};

const CONNECTIONS_MAX_DEFAULT: u32 = 64;
const GRACE_DEFAULT: Duration = Duration::from_secs(10);

/// Runs ./connection_bin once and shows its output or its error; with --listen, a process for
/// each client.
///
/// A client's process has the client as its stdin and stdout, and PROTO, TCPREMOTEIP,
/// TCPREMOTEPORT, TCPLOCALIP and TCPLOCALPORT in its environment. Whatever happens in it, the
/// other clients do not notice; how it ended is logged on stderr.
#[derive(Debug, Parser)]
#[command(
    name = "server_bin",
    version,
    max_term_width = 100,
    after_help = "\
Signals: TERM, INT, QUIT and HUP close the listener and let running connections finish within \
the grace period; then they get TERM, and KILL 2 s later. A second signal takes the next of these \
steps at once. When the grace period begins, each process gets WINCH, which programs ignore by \
default; connection_bin then closes a connection that waits for a request. USR1 lists what is \
running.

Exit status: without --listen that of the connection, 128 + its number for a signal. 2 usage, \
125 a failure of the server, 126 the program cannot be executed, 127 it was not found. A signal that \
stopped the server ends it.

Examples: server_bin --listen :8080
          server_bin --listen 0.0.0.0:7 --memory 64M --timeout 1h --max-per-address 8 -- cat"
)]
struct Arguments {
    /// Accept clients on this address, without HOST only from this machine; port 0 takes a free
    /// one, which is logged on stderr
    #[arg(long, value_name = "[HOST]:PORT")]
    listen: Option<HostPort>,

    /// Clients served at once; others are refused [default: 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_connections: Option<u32>,

    /// Clients served at once from one address; the first 64 bits of an IPv6 address count
    /// [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_per_address: Option<u32>,

    /// Time for each connection, from its start to its end; then its process gets TERM, and KILL
    /// 2 s later [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = parse_timeout)]
    timeout: Option<Duration>,

    /// Memory for each connection: 512M means 512 MiB. The same as --limit data=SIZE
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,

    /// Resource limits for each connection: as, data, cpu, nofile, nproc, fsize, core, stack
    #[arg(long, value_name = "NAME=VALUE,…")]
    limit: Vec<Limits>,

    /// Time for running connections to finish when the server is stopped [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    grace: Option<Duration>,

    /// Log only connections that did not end with success
    #[arg(short, long)]
    quiet: bool,

    /// The program that serves each client [default: ./connection_bin]
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    program: Vec<OsString>,
}

/// Runs the server and returns its exit status.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where help cannot be printed, there is nowhere to report that.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(u8::MAX));
        }
    };
    match run(arguments) {
        Ok(End::Status(status)) => status.into(),
        Ok(End::By(signal)) => die_by(signal),
        Err(fault) => {
            // Where stderr is closed, there is nowhere to report that.
            let _ = writeln!(io::stderr(), "server_bin: {fault}");
            fault.exit_status().into()
        }
    }
}

fn run(arguments: Arguments) -> Result<End, Fault> {
    let settings = arguments.settings()?;
    let ward = warden::split(true, None).map_err(Fault::refused("split off the warden"))?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Fault::refused("start the runtime"))?;
    LocalSet::new().block_on(&runtime, async {
        match settings {
            None => once::run(ward).await,
            Some(settings) => serve::run(settings, ward).await,
        }
    })
}

/// Parses the time limit of a connection.
fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => {
            Err("zero leaves no time for any client; write 1h, for example".into())
        }
        Ok(limit) => Ok(limit),
        Err(error) => Err(error.to_string()),
    }
}

impl Arguments {
    /// The settings for `--listen`; `None` without it, for a single connection.
    fn settings(self) -> Result<Option<Settings>, Fault> {
        let Some(address) = self.listen else {
            return match self.without_meaning() {
                None => Ok(None),
                Some(flag) => Err(Fault::Usage(format!(
                    "{flag} has no meaning without --listen: then ./connection_bin is run once, \
                     as it is"
                ))),
            };
        };
        Ok(Some(Settings {
            address,
            places: Places {
                total: self.max_connections.unwrap_or(CONNECTIONS_MAX_DEFAULT),
                per_origin: self.max_per_address,
            },
            program: program(self.program, Limits::gather(&self.limit, self.memory)),
            timeout: self.timeout,
            grace: self.grace.unwrap_or(GRACE_DEFAULT),
            quiet: self.quiet,
        }))
    }

    /// The first argument that is given and has no meaning without `--listen`.
    fn without_meaning(&self) -> Option<&'static str> {
        let given = [
            (self.max_connections.is_some(), "--max-connections"),
            (self.max_per_address.is_some(), "--max-per-address"),
            (self.timeout.is_some(), "--timeout"),
            (self.memory.is_some(), "--memory"),
            (!self.limit.is_empty(), "--limit"),
            (self.grace.is_some(), "--grace"),
            (self.quiet, "--quiet"),
            (!self.program.is_empty(), "a program"),
        ];
        given.into_iter().find_map(|(given, flag)| given.then_some(flag))
    }
}
