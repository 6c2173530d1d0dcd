//! The hellos, which are always JSON, because they are sent before the two ends agree on a codec.
//!
//! They are decoded field by field, so that an error names the field. There is one hello per
//! worker, so speed does not matter.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    error::CodecError,
    frame::HEADER_BYTES,
    json::unknown_type,
    wire::{Codec, SupervisorHello, VERSION, WorkerHello},
};

/// A hello together with its `type`.
#[derive(Serialize)]
struct Tagged<'a, T> {
    #[serde(rename = "type")]
    tag: &'static str,
    #[serde(flatten)]
    hello: &'a T,
}

impl SupervisorHello {
    /// Encodes the complete frame, header included.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        to_frame(self)
    }

    /// Decodes the body of a first frame. If its version is not [`VERSION`], the other fields of
    /// the result are empty: compare the version first.
    ///
    /// # Errors
    /// The body is not a hello.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let fields = Fields::of_hello(bytes)?;
        let version = fields.whole("version")?;
        if version != VERSION {
            let (codecs, worker) = (Vec::new(), String::new());
            return Ok(Self { version, codecs, max_frame: 0, worker });
        }
        Ok(Self {
            version,
            codecs: fields.texts("codecs")?,
            max_frame: fields.whole("max_frame")?,
            worker: fields.text("worker")?.to_owned(),
        })
    }
}

impl WorkerHello {
    /// Encodes the complete frame, header included.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        to_frame(self)
    }

    /// Decodes the body of a first frame. If its version is not [`VERSION`], the other fields of
    /// the result are empty: compare the version first.
    ///
    /// # Errors
    /// The body is not a hello.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let fields = Fields::of_hello(bytes)?;
        let version = fields.whole("version")?;
        if version != VERSION {
            return Ok(Self { version, codec: Codec::Json, pid: 0, capabilities: Vec::new() });
        }
        let codec = match fields.text("codec")? {
            "bincode" => Codec::Bincode,
            "json" => Codec::Json,
            other => {
                let other = other.escape_debug();
                return Err(wrong(
                    "codec",
                    format!("must be \"bincode\" or \"json\", not \"{other}\""),
                ));
            }
        };
        let capabilities = fields.texts("capabilities")?;
        Ok(Self { version, codec, pid: fields.whole("pid")?, capabilities })
    }
}

fn to_frame(hello: &impl Serialize) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    // This cannot fail: every field has a JSON form, and writing to a vector succeeds.
    let _ = serde_json::to_writer(&mut frame, &Tagged { tag: "hello", hello });
    let length = u32::try_from(frame.len() - HEADER_BYTES).unwrap_or(u32::MAX);
    frame[..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    frame
}

fn wrong(field: &'static str, reason: String) -> CodecError {
    CodecError::Field { field, reason }
}

/// The fields of a hello.
struct Fields(Map<String, Value>);

impl Fields {
    fn of_hello(bytes: &[u8]) -> Result<Self, CodecError> {
        let fields = Self(serde_json::from_slice(bytes)?);
        match fields.text("type")? {
            "hello" => Ok(fields),
            other => Err(unknown_type(other)),
        }
    }

    fn get(&self, field: &'static str) -> Result<&Value, CodecError> {
        self.0.get(field).ok_or(CodecError::Missing { of: "hello", field })
    }

    fn text(&self, field: &'static str) -> Result<&str, CodecError> {
        let value = self.get(field)?;
        value
            .as_str()
            .ok_or_else(|| wrong(field, format!("must be a string, not {}", shape(value))))
    }

    /// A whole number, also one that is written as `1.0`.
    fn whole<T: TryFrom<u64>>(&self, field: &'static str) -> Result<T, CodecError> {
        let value = self.get(field)?;
        let number: Option<crate::number::Whole> = serde_json::from_value(value.clone()).ok();
        number.and_then(|number| T::try_from(number.0).ok()).ok_or_else(|| {
            wrong(field, format!("must be a whole number within its range, not {}", shape(value)))
        })
    }

    /// A list of strings; an absent one is empty.
    fn texts(&self, field: &'static str) -> Result<Vec<String>, CodecError> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(value) => serde_json::from_value(value.clone()).map_err(|_| {
                wrong(field, format!("must be a list of strings, not {}", shape(value)))
            }),
        }
    }
}

/// Names what a value is, for a message.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(_) => "a string".into(),
        Value::Array(list) if list.iter().any(|item| !item.is_string()) => {
            "a list of other values".into()
        }
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}
