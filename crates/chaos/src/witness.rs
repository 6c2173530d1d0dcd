//! Reads the second ledger: the lines that the jobs wrote.

use std::{fs, path::Path};

use crate::{Fault, books::Witnessed};

/// Reads all lines, in order.
pub(crate) fn read(path: &Path) -> Result<Vec<Witnessed>, Fault> {
    let text = fs::read_to_string(path)?;
    let line = |line| parse(line).ok_or_else(|| format!("{}: `{line}`", path.display()).into());
    text.lines().map(line).collect()
}

fn parse(line: &str) -> Option<Witnessed> {
    let mut words = line.split(' ');
    let is_end = match words.next()? {
        "start" => false,
        "end" => true,
        _ => return None,
    };
    Some(Witnessed {
        is_end,
        job: words.next()?.parse().ok()?,
        attempt: words.next()?.parse().ok()?,
        pid: words.next()?.parse().ok()?,
        supervisor: words.next()?.parse().ok()?,
    })
}
