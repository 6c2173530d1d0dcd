//! How is a run seen from outside, while it goes on: what was typed about it.

use std::path::PathBuf;

use clap::Args;
use supervisor::{endpoint::Endpoint, settings::Report};

const VIEWS: &str = "Views";

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Write all that happens to FILE, as it happens: a JSON record a line, one for each job's end
    #[arg(long, value_name = "FILE", help_heading = VIEWS)]
    events: Option<PathBuf>,

    /// Show the run over HTTP at :PORT of this machine, HOST:PORT, or unix:PATH: a page at /,
    /// /metrics for Prometheus, /events, /healthz and /readyz
    ///
    /// Port 0 takes a free one, which stderr tells. Nothing can be changed there, but whoever comes
    /// sees what is run and why it failed: name a HOST that others reach only where they may.
    #[arg(long, value_name = "ADDR", help_heading = VIEWS)]
    serve: Option<Endpoint>,
}

impl Arguments {
    /// The files that are written.
    pub(super) fn reports(&self) -> Vec<Report> {
        self.events.clone().map(Report::Events).into_iter().collect()
    }

    /// Where it is shown.
    pub(super) fn serve(&self) -> Option<Endpoint> {
        self.serve.clone()
    }
}
