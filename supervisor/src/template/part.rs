//! The parts of a word of a command line.

use memchr::memrchr;
use serde::{Deserialize, Serialize};

/// A part of a word.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Part {
    Text(Vec<u8>),
    /// One input, by index from 0, or all inputs; and which part of it.
    Input(Option<usize>, Form),
    /// The number of the job.
    Number,
    /// The number of the slot.
    Slot,
}

/// Which part of an input a placeholder stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Form {
    Whole,
    /// Without the extension of the last component.
    NoExtension,
    /// The last component.
    Base,
    BaseNoExtension,
    /// Everything before the last component; `.` if there is nothing.
    Directory,
}

impl Form {
    pub(super) fn of(self, input: &[u8]) -> &[u8] {
        let base = memrchr(b'/', input).map_or(0, |slash| slash + 1);
        // A leading dot marks a hidden file and does not start an extension.
        let dot = memrchr(b'.', &input[base..]).filter(|dot| *dot > 0);
        let end = dot.map_or(input.len(), |dot| base + dot);
        match self {
            Self::Whole => input,
            Self::NoExtension => &input[..end],
            Self::Base => &input[base..],
            Self::BaseNoExtension => &input[base..end],
            Self::Directory if base == 0 => b".",
            Self::Directory if base == 1 => b"/",
            Self::Directory => &input[..base - 1],
        }
    }
}
