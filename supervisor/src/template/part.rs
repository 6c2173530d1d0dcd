//! The parts of a word of a command line.

use memchr::memrchr;
use serde::{Deserialize, Serialize};

/// A part of a word.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Part {
    Text(Vec<u8>),
    /// One input, by index from 0, or all inputs; which part of it; and where it stands.
    Input(Option<usize>, Form, Place),
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

/// Where in a command line a placeholder stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Place {
    /// In a word, which it is part of.
    Word,
    /// In `$(( ))` of a script.
    Arithmetic,
    /// In a comment of a script.
    Comment,
}

impl Place {
    /// Appends an input to a script so that no part of it runs as code.
    pub(super) fn put(self, input: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Word => quote(input, out),
            // The shell would expand what stands between quotes here. A question mark alone is no
            // arithmetic, so that the command fails.
            Self::Arithmetic => {
                let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte);
                out.extend(input.iter().map(|byte| if is_safe(*byte) { *byte } else { b'?' }));
            }
            Self::Comment => {
                out.extend(input.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
            }
        }
    }
}

/// Appends a word so that a shell reads it back unchanged: as it is if that is safe, otherwise in
/// single quotes.
pub fn quote(word: &[u8], out: &mut Vec<u8>) {
    let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+=:,./@%".contains(byte);
    if !word.is_empty() && word.iter().all(is_safe) {
        return out.extend_from_slice(word);
    }
    out.push(b'\'');
    for byte in word {
        match byte {
            b'\'' => out.extend_from_slice(br"'\''"),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
}

impl Form {
    /// The placeholder for this part of the only input.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Whole => "{}",
            Self::NoExtension => "{.}",
            Self::Base => "{/}",
            Self::BaseNoExtension => "{/.}",
            Self::Directory => "{//}",
        }
    }

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
