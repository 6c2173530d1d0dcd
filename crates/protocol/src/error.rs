//! [`CodecError`]: the reasons why bytes and a message cannot be turned into one another.

use crate::frame::FrameTooLong;

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
