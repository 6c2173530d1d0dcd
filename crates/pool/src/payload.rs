//! The bytes of jobs and replies.

use std::{fmt, sync::Arc};

/// The bytes of a job or a reply.
///
/// Up to 30 bytes are stored inline, because an allocation costs more than all other work for such
/// a job. Longer payloads are reference-counted: a clone copies no bytes.
#[derive(Clone)]
pub struct Payload(Form);

/// Up to this many bytes are stored inline.
const SHORT_BYTES_MAX: usize = 30;
/// A payload of at least this many bytes keeps the whole frame in which it arrived, so that its
/// bytes are not copied.
const LONG_BYTES_MIN: usize = 32 << 10;

#[derive(Clone)]
enum Form {
    Short {
        length: u8,
        bytes: [u8; SHORT_BYTES_MAX],
    },
    Medium(Arc<[u8]>),
    /// The bytes of a frame from `start` on.
    Shared {
        frame: Arc<Vec<u8>>,
        start: usize,
    },
}

impl Payload {
    /// A copy of these bytes.
    #[must_use]
    pub fn copy(bytes: &[u8]) -> Self {
        if bytes.len() <= SHORT_BYTES_MAX {
            let mut short = [0; SHORT_BYTES_MAX];
            short[..bytes.len()].copy_from_slice(bytes);
            #[expect(clippy::cast_possible_truncation, reason = "at most 30")]
            return Self(Form::Short { length: bytes.len() as u8, bytes: short });
        }
        if bytes.len() < LONG_BYTES_MIN {
            return Self(Form::Medium(bytes.into()));
        }
        Self(Form::Shared { frame: Arc::new(bytes.to_vec()), start: 0 })
    }

    /// The bytes of `frame` from `start` on. From 32 KiB on they are not copied.
    #[must_use]
    pub fn take(frame: Vec<u8>, start: usize) -> Self {
        let start = start.min(frame.len());
        if frame.len() - start < LONG_BYTES_MIN {
            return Self::copy(&frame[start..]);
        }
        Self(Form::Shared { frame: Arc::new(frame), start })
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Short { length, bytes } => &bytes[..usize::from(*length)],
            Form::Medium(bytes) => bytes,
            Form::Shared { frame, start } => &frame[*start..],
        }
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the payload is at least 32 KiB long, so that a writer should write it directly from
    /// its shared frame instead of copying it.
    #[must_use]
    pub fn is_frame_shared(&self) -> bool {
        matches!(self.0, Form::Shared { .. })
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_bytes().escape_ascii().to_string(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_payload_is_as_small_as_its_form_allows() {
        assert_eq!(size_of::<Payload>(), 32);
    }

    proptest! {
        #[test]
        fn bytes_are_kept_whatever_their_form(length in 0usize..70_000, start in 0usize..100) {
            let bytes: Vec<u8> = (0..=250u8).cycle().take(length).collect();
            let start = start.min(length);
            let copy = Payload::copy(&bytes);
            prop_assert_eq!(copy.as_bytes(), &bytes[..]);
            let taken = Payload::take(bytes.clone(), start);
            prop_assert_eq!(taken.as_bytes(), &bytes[start..]);
            prop_assert_eq!(taken.clone(), taken);
        }
    }
}
