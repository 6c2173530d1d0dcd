//! How does a message become the bytes of a frame, and back? With bincode 2, fixed-width
//! integers (a third faster to decode than variable ones), little-endian.
//!
//! The bytes are those of bincode 1.3's plain `serialize`, so the pinned crate can be replaced
//! without a change of protocol. Message types must not be recursive and must not hold
//! collections of zero-sized types: no limit stops those.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::{Serialize, de::DeserializeOwned};

use crate::frame::{FRAME_BYTES_MAX, FrameTooLong};

/// Without the limit, a nine-byte message that claims a string of 4 GB allocates 4 GB.
const CONFIG: Configuration<LittleEndian, Fixint, Limit<FRAME_BYTES_MAX>> =
    bincode::config::legacy().with_limit::<FRAME_BYTES_MAX>();

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
