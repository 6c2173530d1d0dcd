//! How does a message become the bytes of a frame, and back? With bincode 2, fixed-width
//! integers (a third faster to decode than variable ones), little-endian; or in JSON, for
//! workers in other languages.
//!
//! The bytes are those of bincode 1.3's plain `serialize`, so the pinned crate can be replaced
//! without a change of protocol. Message types must not be recursive and must not hold
//! collections of zero-sized types: no limit stops those.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    binary,
    frame::{FRAME_BYTES_MAX, FrameTooLong, HEADER_BYTES},
    json,
    wire::{Codec, ToSupervisor, ToWorker},
};

/// Without the limit, a nine-byte message that claims a string of 4 GB allocates 4 GB.
const CONFIG: Configuration<LittleEndian, Fixint, Limit<FRAME_BYTES_MAX>> =
    bincode::config::legacy().with_limit::<FRAME_BYTES_MAX>();

/// The largest cap of a frame that two sides may agree on (`--max-frame`): 1 GiB.
pub const WIRE_BYTES_MAX: usize = 1 << 30;

/// The longest hello that is read: whoever says more has another protocol in mind.
pub const HELLO_BYTES_MAX: usize = 64 << 10;

/// Why bytes and a message could not be turned into one another.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The message has no bincode form.
    #[error("message cannot be encoded")]
    Encode(#[from] bincode::error::EncodeError),
    /// The bytes are no message of that type.
    #[error("bytes are not such a message")]
    Decode(#[from] bincode::error::DecodeError),
    /// The message is over the cap of its frame.
    #[error(transparent)]
    TooLong(#[from] FrameTooLong),
    /// The bytes hold a message and something after it.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
    /// The bytes end before the message does.
    #[error("the message ends too early")]
    Short,
    /// A number that stands for none of the forms there are.
    #[error("there is no {of} {variant}")]
    Variant {
        /// Of what.
        of: &'static str,
        /// The number.
        variant: u32,
    },
    /// What should be text is not UTF-8.
    #[error("a text is not UTF-8")]
    Text(#[from] std::str::Utf8Error),
    /// Not JSON, or a field of another type.
    #[error("not such a message in JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON with another `type` than those there are.
    #[error("unknown \"type\": \"{0}\"")]
    UnknownType(String),
    /// JSON without what its `type` needs.
    #[error("a \"{of}\" without \"{field}\"")]
    Missing {
        /// Its `type`.
        of: &'static str,
        /// What it needs.
        field: &'static str,
    },
    /// JSON that says two things where its `type` has room for one.
    #[error("a \"{0}\" with more than one result")]
    Ambiguous(&'static str),
    /// A field that should be base64 and is not.
    #[error("\"{0}\" is not base64")]
    Base64(&'static str),
}

/// Appends the bytes of `message` to `out`.
///
/// # Errors
/// A message that has no such form; `out` may then hold a part of it.
pub fn encode(message: &impl Serialize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(message, out, CONFIG)?;
    Ok(())
}

/// Reads the one message that `bytes` hold, exactly.
///
/// # Errors
/// Too few bytes, too many, or a value its type does not have.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    #[expect(clippy::disallowed_methods, reason = "the one place: limited, and its length checked")]
    let (message, length) = bincode::serde::decode_from_slice(bytes, CONFIG)?;
    match bytes.len() - length {
        0 => Ok(message),
        extra => Err(CodecError::Trailing(extra)),
    }
}

/// The frame of a job in bincode's form up to its payload, which can then be written from where
/// it lies.
///
/// # Errors
/// The whole is longer than `cap`.
pub fn job_frame_head(
    id: u64,
    attempt: u32,
    payload_bytes: usize,
    cap: usize,
) -> Result<[u8; JOB_FRAME_HEAD_BYTES], FrameTooLong> {
    let length = payload_bytes.saturating_add(binary::JOB_HEAD_BYTES);
    let fits = u32::try_from(length).ok().filter(|_| length <= cap);
    let header = fits.ok_or(FrameTooLong { length, cap })?;
    let mut head = [0; JOB_FRAME_HEAD_BYTES];
    head[..HEADER_BYTES].copy_from_slice(&header.to_le_bytes());
    head[HEADER_BYTES..].copy_from_slice(&binary::job_head(id, attempt, payload_bytes));
    Ok(head)
}

/// What stands in the frame of a job before its payload.
pub const JOB_FRAME_HEAD_BYTES: usize = HEADER_BYTES + binary::JOB_HEAD_BYTES;

/// The bodies of the frames after the hellos. What is read borrows its payload where its form
/// allows that, and nothing is allocated on the word of a length that the bytes do not bear out.
impl Codec {
    /// Appends what a supervisor says to `out`.
    #[inline]
    pub fn write_to_worker(self, message: &ToWorker<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Bincode => binary::write_to_worker(message, out),
            Self::Json => json::write_to_worker(message, out),
        }
    }

    /// Reads what a supervisor said.
    ///
    /// # Errors
    /// Bytes that are not exactly one message.
    #[inline]
    pub fn read_to_worker(self, bytes: &[u8]) -> Result<ToWorker<'_>, CodecError> {
        match self {
            Self::Bincode => binary::read_to_worker(bytes),
            Self::Json => json::read_to_worker(bytes),
        }
    }

    /// Appends what a worker says to `out`.
    #[inline]
    pub fn write_to_supervisor(self, message: &ToSupervisor<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Bincode => binary::write_to_supervisor(message, out),
            Self::Json => json::write_to_supervisor(message, out),
        }
    }

    /// Reads what a worker said.
    ///
    /// # Errors
    /// Bytes that are not exactly one message.
    #[inline]
    pub fn read_to_supervisor(self, bytes: &[u8]) -> Result<ToSupervisor<'_>, CodecError> {
        match self {
            Self::Bincode => binary::read_to_supervisor(bytes),
            Self::Json => json::read_to_supervisor(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Message {
        Empty,
        Tuple(u64, Option<i32>),
        Fields { name: String, list: Vec<Vec<u8>> },
    }

    #[test]
    fn the_bytes_are_fixed() {
        let mut out = Vec::new();
        encode(&Message::Tuple(258, Some(-2)), &mut out).unwrap();
        assert_eq!(out, [1, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 1, 254, 255, 255, 255]);
    }

    #[test]
    fn a_hostile_length_and_a_trailing_byte_are_refused() {
        let mut hostile = vec![2, 0, 0, 0];
        hostile.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(decode::<Message>(&hostile), Err(CodecError::Decode(_))));
        assert!(matches!(decode::<Message>(&[0, 0, 0, 0, 9]), Err(CodecError::Trailing(1))));
    }

    proptest! {
        #[test]
        fn messages_come_back_as_they_went(name in ".*", list in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9)) {
            let message = Message::Fields { name, list };
            let mut out = Vec::new();
            encode(&message, &mut out).unwrap();
            prop_assert_eq!(decode::<Message>(&out).unwrap(), message);
        }

        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode::<Message>(&bytes);
        }
    }
}
