//! The arguments about observing a run while it is in progress.

use std::path::PathBuf;

use clap::Args;
use supervisor::{
    endpoint::Endpoint,
    settings::{Report, Serve},
};

const VIEWS: &str = "Views";

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Write the events of the run to FILE as they happen: one JSON record per line
    #[arg(long, value_name = "FILE", help_heading = VIEWS)]
    events: Option<PathBuf>,

    /// A name for the run, for supervisor ps, why, stop and the others: letters, digits, - _ .
    #[arg(long, value_name = "NAME", value_parser = name, help_heading = VIEWS)]
    name: Option<String>,

    /// Show the run over HTTP at :PORT of this machine, HOST:PORT, or unix:PATH: a page at /,
    /// /metrics for Prometheus, /events, /healthz and /readyz
    ///
    /// Port 0 takes a free port, which is printed on stderr. Nothing can be changed there, but everybody
    /// who can connect sees what is run and why it failed: listen only where trusted users connect.
    #[arg(long, value_name = "ADDR", help_heading = VIEWS)]
    serve: Option<Endpoint>,

    /// Another name of this host by which --serve is asked, such as that of a container or of a
    /// proxy in front of it; may be given several times
    ///
    /// Requests that name another host are refused, because a page of that host could send them from
    /// the browser of a user here.
    #[arg(long, value_name = "NAME", value_parser = host, requires = "serve", help_heading = VIEWS)]
    serve_host: Vec<String>,
}

impl Arguments {
    /// Returns the files to write during the run.
    pub(super) fn reports(&self) -> Vec<Report> {
        self.events.clone().map(Report::Events).into_iter().collect()
    }

    /// Returns the name of the run.
    pub(super) fn name(&self) -> Option<String> {
        self.name.clone()
    }

    /// Returns the address at which to serve the run over HTTP, and the names of the host.
    pub(super) fn serve(&self) -> Option<Serve> {
        let endpoint = self.serve.clone()?;
        Some(Serve { endpoint, hosts: self.serve_host.clone() })
    }
}

fn host(text: &str) -> Result<String, String> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_good) {
        return Err("give the name alone, without a port: such as status.example.com".into());
    }
    Ok(text.trim_end_matches('.').into())
}

fn name(text: &str) -> Result<String, String> {
    const BYTES_MAX: usize = 64;
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.is_empty() || text.len() > BYTES_MAX || !text.bytes().all(is_good) {
        return Err(format!("a name has letters, digits, - _ and ., and {BYTES_MAX} at most"));
    }
    Ok(text.into())
}
