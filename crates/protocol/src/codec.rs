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
pub use crate::{
    binary::{JOB_HEAD_BYTES, REPLY_HEAD_BYTES},
    error::CodecError,
};

/// Without the limit, a nine-byte message that claims a string of 4 GB allocates 4 GB.
const CONFIG: Configuration<LittleEndian, Fixint, Limit<FRAME_BYTES_MAX>> =
    bincode::config::legacy().with_limit::<FRAME_BYTES_MAX>();

/// The largest cap of a frame that two sides may agree on (`--max-frame`): 1 GiB.
pub const WIRE_BYTES_MAX: usize = 1 << 30;

/// The longest hello that is read: whoever says more has another protocol in mind.
pub const HELLO_BYTES_MAX: usize = 64 << 10;

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
    let header = frame_header(payload_bytes, JOB_HEAD_BYTES, cap)?;
    let mut head = [0; JOB_FRAME_HEAD_BYTES];
    head[..HEADER_BYTES].copy_from_slice(&header);
    head[HEADER_BYTES..].copy_from_slice(&binary::job_head(id, attempt, payload_bytes));
    Ok(head)
}

/// Bytes in the frame of a job, in bincode's form, before its payload.
pub const JOB_FRAME_HEAD_BYTES: usize = HEADER_BYTES + JOB_HEAD_BYTES;

/// Bytes in the frame of a successful reply, in bincode's form, before its result.
pub const REPLY_FRAME_HEAD_BYTES: usize = HEADER_BYTES + REPLY_HEAD_BYTES;

/// Encodes the frame of a successful reply, in bincode's form, up to its result of
/// `result_bytes` bytes. The caller writes the result behind it from where it lies.
///
/// # Errors
/// The frame body would be longer than `cap`.
#[inline]
pub fn reply_frame_head(
    id: u64,
    attempt: u32,
    service_ns: u64,
    result_bytes: usize,
    cap: usize,
) -> Result<[u8; REPLY_FRAME_HEAD_BYTES], FrameTooLong> {
    let header = frame_header(result_bytes, REPLY_HEAD_BYTES, cap)?;
    let mut head = [0; REPLY_FRAME_HEAD_BYTES];
    head[..HEADER_BYTES].copy_from_slice(&header);
    head[HEADER_BYTES..].copy_from_slice(&binary::reply_head(
        id,
        attempt,
        service_ns,
        result_bytes,
    ));
    Ok(head)
}

/// The header of a frame whose body is a head of `head_bytes` and `rest_bytes` behind it.
#[inline]
fn frame_header(
    rest_bytes: usize,
    head_bytes: usize,
    cap: usize,
) -> Result<[u8; HEADER_BYTES], FrameTooLong> {
    let length = rest_bytes.saturating_add(head_bytes);
    match u32::try_from(length) {
        Ok(header) if length <= cap => Ok(header.to_le_bytes()),
        _ => Err(FrameTooLong { length, cap }),
    }
}

/// Decodes the first [`JOB_HEAD_BYTES`] of a message to a worker in bincode's form, before the
/// rest has arrived: the job's id, its attempt and the length of its payload in bytes. `None` if
/// the message is not a job.
///
/// # Errors
/// Fewer bytes than [`JOB_HEAD_BYTES`].
pub fn read_job_head(head: &[u8]) -> Result<Option<(u64, u32, u64)>, CodecError> {
    binary::read_job_head(head)
}

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
