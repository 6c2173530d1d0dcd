//! How is a run seen from outside, while it goes on: what was typed about it.

use std::path::PathBuf;

use clap::Args;
use supervisor::settings::Report;

const VIEWS: &str = "Views";

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Write all that happens to FILE, as it happens: a JSON record a line, one for each job's end
    #[arg(long, value_name = "FILE", help_heading = VIEWS)]
    events: Option<PathBuf>,
}

impl Arguments {
    /// The files that are written.
    pub(super) fn reports(&self) -> Vec<Report> {
        self.events.clone().map(Report::Events).into_iter().collect()
    }
}
