//! Files that cannot be written for a while, in a run that goes on all the same: what is dropped is
//! counted and reported once when it begins and once when it is over.

use std::collections::HashMap;

use nix::errno::Errno;

use super::{
    chunk::{Chunk, Target},
    reports::ReportFile,
    writer::Stream,
};

/// The files that cannot be written, with the number of lines dropped.
#[derive(Debug, Default)]
pub(super) struct Outages(HashMap<Target, u64>);

impl Outages {
    /// Notes the result of a write. Returns a message when an outage begins or ends.
    pub(super) fn note(
        &mut self,
        chunk: &Chunk,
        result: nix::Result<()>,
        reports: &[ReportFile],
    ) -> Option<String> {
        let target = chunk.target;
        let name = match target {
            Target::Stream(Stream::Stdout) => "stdout",
            // There is nowhere to report that.
            Target::Stream(Stream::Stderr) => return None,
            Target::Report(number) | Target::Head(number) => reports.get(number)?.name(),
        };
        match result {
            // The reader has left for good, and the run ends.
            Err(Errno::EPIPE) => None,
            Err(error) => {
                let is_new = !self.0.contains_key(&target);
                *self.0.entry(target).or_default() += chunk.content.lines();
                let reason = std::io::Error::from(error).to_string();
                let reason = reason.split(" (os error").next().unwrap_or(&reason).to_owned();
                is_new.then(|| {
                    format!(
                        "supervisor: {name} cannot be written: {reason}: its lines are dropped and \
                         counted until it can\n"
                    )
                })
            }
            Ok(()) => {
                let lines = self.0.remove(&target)?;
                Some(format!(
                    "supervisor: {name} can be written again: {lines} lines were dropped\n"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::chunk::Content;

    #[test]
    fn an_outage_is_reported_when_it_begins_and_when_it_ends() {
        let mut outages = Outages::default();
        let (target, content) = (Target::Stream(Stream::Stdout), Content::Bytes(b"a\nb\n".into()));
        let chunk = Chunk { target, content, is_droppable: true };
        let mut note = |result| outages.note(&chunk, result, &[]);
        assert_eq!(note(Ok(())), None);
        let begin = "supervisor: stdout cannot be written: No space left on device: its lines are \
                     dropped and counted until it can\n";
        assert_eq!(note(Err(Errno::ENOSPC)).as_deref(), Some(begin));
        assert_eq!(note(Err(Errno::ENOSPC)), None);
        let end = "supervisor: stdout can be written again: 4 lines were dropped\n";
        assert_eq!(note(Ok(())).as_deref(), Some(end));
        assert_eq!((note(Ok(())), note(Err(Errno::EPIPE))), (None, None));
    }
}
