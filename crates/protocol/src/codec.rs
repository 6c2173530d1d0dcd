//! The two encodings of messages: bincode for workers in Rust, JSON for all others.
//!
//! The methods of [`Codec`] encode and decode the messages of [`crate::wire`]. [`encode`] and
//! [`decode`] do the same for any other serde type, for private channels between a supervisor and
//! its helpers.
//!
//! The bincode form has fixed-width little-endian integers, which decode a third faster than
//! variable-width ones. Its bytes are those of bincode 1.3's plain `serialize`, so the pinned
//! crate can be replaced without a change of the protocol. A type for [`decode`] must not be
//! recursive and must not hold a collection of zero-sized values, since no limit stops those.

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

/// The form, with a limit on what a message may allocate: without it, nine bytes that announce a
/// string of 4 GB would allocate 4 GB.
const fn config<const BYTES_MAX: usize>() -> Configuration<LittleEndian, Fixint, Limit<BYTES_MAX>> {
    bincode::config::legacy().with_limit::<BYTES_MAX>()
}

/// The largest cap on a frame body that the two ends may agree on (`--max-frame`): 1 GiB.
pub const WIRE_BYTES_MAX: usize = 1 << 30;

/// The longest body of a hello that either end accepts. A longer one belongs to some other
/// protocol.
pub const HELLO_BYTES_MAX: usize = 64 << 10;

/// Appends the bincode form of `message` to `out`.
///
/// # Errors
/// The message has no bincode form. `out` may then hold a part of it.
pub fn encode(message: &impl Serialize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(message, out, config::<FRAME_BYTES_MAX>())?;
    Ok(())
}

/// Decodes one message in bincode form, which must fill `bytes` exactly.
///
/// # Errors
/// There are too few bytes, too many, or a value that its type does not have.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    // A type may be larger in memory than on the wire, by far less than a factor of 16.
    let (message, length) = match bytes.len() {
        0..=0x1000 => decode_within::<T, 0x1_0000>(bytes),
        0x1001..=0x4_0000 => decode_within::<T, 0x40_0000>(bytes),
        _ => decode_within::<T, FRAME_BYTES_MAX>(bytes),
    }?;
    match bytes.len() - length {
        0 => Ok(message),
        extra => Err(CodecError::Trailing(extra)),
    }
}

/// Decodes a message at the beginning of `bytes`, without allocating more than `BYTES_MAX` at once.
/// Returns the length of the message in bytes too.
#[expect(
    clippy::disallowed_methods,
    reason = "the only call: limited, and the caller checks the length"
)]
fn decode_within<T: DeserializeOwned, const BYTES_MAX: usize>(
    bytes: &[u8],
) -> Result<(T, usize), CodecError> {
    Ok(bincode::serde::decode_from_slice(bytes, config::<BYTES_MAX>())?)
}

/// Encodes the frame of a job in bincode form, up to its payload of `payload_bytes` bytes. The
/// caller writes the payload after it, without copying it first.
///
/// # Errors
/// The frame body would be longer than `cap` bytes.
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

/// Bytes in the frame of a job, in bincode form, before its payload.
pub const JOB_FRAME_HEAD_BYTES: usize = HEADER_BYTES + JOB_HEAD_BYTES;

/// Bytes in the frame of a successful reply, in bincode form, before its result.
pub const REPLY_FRAME_HEAD_BYTES: usize = HEADER_BYTES + REPLY_HEAD_BYTES;

/// Encodes the frame of a successful reply in bincode form, up to its result of `result_bytes`
/// bytes. The caller writes the result after it, without copying it first.
///
/// # Errors
/// The frame body would be longer than `cap` bytes.
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

/// Encodes the header of a frame whose body has `head_bytes` and then `rest_bytes` bytes.
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

/// Decodes the first [`JOB_HEAD_BYTES`] of a message to a worker in bincode form, before the rest
/// has arrived. Returns the job's id, its attempt and the length of its payload in bytes, or
/// `None` if the message is not a job.
///
/// # Errors
/// There are fewer bytes than [`JOB_HEAD_BYTES`].
pub fn read_job_head(head: &[u8]) -> Result<Option<(u64, u32, u64)>, CodecError> {
    binary::read_job_head(head)
}

/// Encoding and decoding of frame bodies after the hellos. A decoded message borrows its payload
/// from the bytes where the form allows it. No length is trusted: memory is allocated only for
/// bytes that are there.
impl Codec {
    /// Appends the encoded message to `out`.
    #[inline]
    pub fn write_to_worker(self, message: &ToWorker<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Bincode => binary::write_to_worker(message, out),
            Self::Json => json::write_to_worker(message, out),
        }
    }

    /// Decodes a message from a supervisor.
    ///
    /// # Errors
    /// `bytes` are not exactly one message.
    #[inline]
    pub fn read_to_worker(self, bytes: &[u8]) -> Result<ToWorker<'_>, CodecError> {
        match self {
            Self::Bincode => binary::read_to_worker(bytes),
            Self::Json => json::read_to_worker(bytes),
        }
    }

    /// Appends the encoded message to `out`.
    #[inline]
    pub fn write_to_supervisor(self, message: &ToSupervisor<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Bincode => binary::write_to_supervisor(message, out),
            Self::Json => json::write_to_supervisor(message, out),
        }
    }

    /// Decodes a message from a worker.
    ///
    /// # Errors
    /// `bytes` are not exactly one message.
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
    fn the_bincode_form_never_changes() {
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
        fn decoding_restores_what_was_encoded(name in ".*", list in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9)) {
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
