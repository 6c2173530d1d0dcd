//! Output of workers: pieces on their way to observers.

use std::{borrow::Cow, sync::Arc};

use crate::template::INPUT_SEPARATOR;
use pool::event::WorkerId;
use text::escape::visible;

/// One read of a worker's output; it may begin and end in the middle of a line.
#[derive(Clone, Debug)]
pub struct OutputPiece {
    /// The worker that wrote it.
    pub worker: WorkerId,
    /// The stream it was written to: 1 for stdout, 2 for stderr.
    pub stream: u8,
    /// The bytes, unchanged.
    pub bytes: Arc<[u8]>,
}

/// What stands in front of each line of a job's output to tell whose it is: the inputs of the job,
/// with a blank between them. Control characters are made visible, so that no input can begin a line
/// of its own or change a terminal.
#[must_use]
pub fn tag(payload: &[u8]) -> Cow<'_, [u8]> {
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    if !payload.iter().any(is_control) {
        return payload.into();
    }
    let blank = |byte: &u8| if *byte == INPUT_SEPARATOR { b' ' } else { *byte };
    let shown: Vec<u8> = payload.iter().map(blank).collect();
    if shown.iter().any(is_control) {
        return visible(&shown).into_bytes().into();
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_one_line() {
        assert_eq!(*tag(b"a\tb \xff"), *b"a\tb \xff");
        assert_eq!(*tag(b"a\0b"), *b"a b");
        assert_eq!(*tag(b"a\0b\nsupervisor: \x1b["), *b"a b^Jsupervisor: ^[[");
    }
}
