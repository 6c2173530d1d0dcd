//! `--dry-run`: prints the command of each job, quoted for a shell, and runs none.

use std::io::{self, Write};

use crate::{
    settings::Settings,
    source::{Batch, Source, SourceError},
    template::Filling,
};

/// Why a dry run did not print every command.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// The input cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// stdout cannot be written.
    #[error("stdout cannot be written: {0}")]
    Output(io::Error),
}

/// Writes the command of each job as a line, in the order of the jobs. A slot placeholder is
/// always 1, because slots are assigned only in a run.
///
/// # Errors
/// An input that cannot be read, or an output that cannot be written.
pub fn dry_run(settings: &Settings, out: &mut impl Write) -> Result<(), DryRunError> {
    let Some(jobs) = &settings.jobs else { return Ok(()) };
    let Some(commands) = &jobs.commands else { return Ok(()) };
    let mut source = Source::open(&jobs.source, jobs.separator, jobs.job_bytes_max())?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().map_err(DryRunError::Output)?;
    let (mut number, mut lines) = (0, Vec::new());
    loop {
        match runtime.block_on(source.next()) {
            Batch::Jobs(jobs) => {
                for job in jobs {
                    number += 1;
                    let filling = Filling { payload: job.payload.as_bytes(), number, slot: 1 };
                    commands.template.show(filling, &mut lines);
                    lines.push(b'\n');
                }
                out.write_all(&lines).map_err(DryRunError::Output)?;
                lines.clear();
            }
            // The job has a number, and would fail.
            Batch::TooLong { .. } => number += 1,
            Batch::Notice(_) | Batch::Lost(_) => {}
            Batch::Ended => return out.flush().map_err(DryRunError::Output),
            Batch::Failed(error) => return Err(error.into()),
        }
    }
}
