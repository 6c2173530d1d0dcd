//! [`CodecError`]: why bytes are not a message, or a message has no bytes.

use crate::frame::FrameTooLong;

/// Why a message could not be encoded, or bytes could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The message has no bincode form.
    #[error("message cannot be encoded")]
    Encode(#[from] bincode::error::EncodeError),
    /// The bytes are not a message of the expected type.
    #[error("bytes are not such a message")]
    Decode(#[from] bincode::error::DecodeError),
    /// The message exceeds the cap on its frame.
    #[error(transparent)]
    TooLong(#[from] FrameTooLong),
    /// The message is complete, but more bytes follow: this many.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
    /// The bytes end before the message does.
    #[error("the message ends too early")]
    Short,
    /// A variant number that is not assigned.
    #[error("there is no {of} {variant}")]
    Variant {
        /// What the number should identify, such as `message`.
        of: &'static str,
        /// The number that was found.
        variant: u32,
    },
    /// A text field is not UTF-8.
    #[error("a text is not UTF-8")]
    Text(#[from] std::str::Utf8Error),
    /// The bytes are not JSON, or a field has the wrong type.
    #[error("not such a message in JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The JSON object has a `type` that the protocol does not define.
    #[error("unknown \"type\": \"{0}\"")]
    UnknownType(String),
    /// The JSON object lacks a field that its `type` requires.
    #[error("a \"{of}\" without \"{field}\"")]
    Missing {
        /// The object's `type`.
        of: &'static str,
        /// The name of the field.
        field: &'static str,
    },
    /// The JSON object of this `type` has several fields of which only one is allowed.
    #[error("a \"{0}\" with more than one result")]
    Ambiguous(&'static str),
    /// The field of this name is not valid base64.
    #[error("\"{field}\" is not base64 in the standard alphabet: {reason}")]
    Base64 {
        /// The name of the field.
        field: &'static str,
        /// The first byte that is wrong.
        reason: base64::DecodeError,
    },
    /// The field of this name has a value that it cannot have.
    #[error("\"{field}\" {reason}")]
    Field {
        /// The name of the field.
        field: &'static str,
        /// What is wrong with its value, as the rest of a sentence.
        reason: String,
    },
}
