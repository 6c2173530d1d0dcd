//! What would be run? The command of each job as it could be typed, and nothing else.

use std::io::{self, Write};

use crate::{
    settings::Settings,
    source::{Source, SourceError, Supply},
    template::Filling,
};

/// Why the commands could not all be shown.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// The input.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The output.
    #[error("stdout cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Writes the command of each job as a line, in the order of the jobs. The slot is always the
/// first: which it would be shows only in a run.
///
/// # Errors
/// An input that cannot be read, or an output that cannot be written.
pub fn dry_run(settings: &Settings, out: &mut impl Write) -> Result<(), DryRunError> {
    let Some(jobs) = &settings.jobs else { return Ok(()) };
    let Some(commands) = &jobs.commands else { return Ok(()) };
    let mut source = Source::open(&jobs.source, jobs.separator, jobs.job_bytes_max())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (mut number, mut lines) = (0, Vec::new());
    loop {
        match runtime.block_on(source.next()) {
            Supply::Jobs(jobs) => {
                for job in jobs {
                    number += 1;
                    let filling = Filling { payload: job.payload.as_bytes(), number, slot: 1 };
                    commands.template.show(filling, &mut lines);
                    lines.push(b'\n');
                }
                out.write_all(&lines)?;
                lines.clear();
            }
            // It has a number, and would fail.
            Supply::TooLong { .. } => number += 1,
            Supply::Notice(_) => {}
            Supply::Ended => return Ok(out.flush()?),
            Supply::Failed(error) => return Err(error.into()),
        }
    }
}
