//! The JSON form of messages: one object per frame, whose `type` names the message.
//!
//! Unknown fields are ignored, so that later versions can add some. The hellos always have this
//! form, because they are sent before the two ends agree on a codec.

use std::borrow::Cow;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::CodecError,
    frame::HEADER_BYTES,
    wire::{
        Codec, Failure, FailureKind, SupervisorHello, ToSupervisor, ToWorker, VERSION, WorkerHello,
    },
};

/// The standard alphabet. Padding is written, but not required.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The longest part of an unknown `type`, in characters, that an error message repeats.
const SHOWN_CHARS_MAX: usize = 40;

/// A text field. A separate type because serde copies an `Option<Cow<str>>`, but lets an
/// `Option<Text>` borrow.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// All fields of all messages, so that `type` may stand anywhere in the object and the object is
/// parsed once.
#[derive(Default, Serialize, Deserialize)]
struct Form<'a> {
    #[serde(rename = "type", borrow)]
    tag: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_ns: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    payload: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    payload_base64: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    reason: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    result: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    result_base64: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    error: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<FailureKind>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    place: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<u8>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    base64: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fraction: Option<f64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    note: Option<Text<'a>>,
}

impl<'a> Form<'a> {
    fn new(tag: &'static str, id: Option<u64>) -> Self {
        Self { tag: tag.into(), id, ..Self::default() }
    }

    fn read(bytes: &'a [u8]) -> Result<Self, CodecError> {
        Ok(serde_json::from_slice(bytes)?)
    }

    fn write(&self, out: &mut Vec<u8>) {
        // This cannot fail: every field has a JSON form, and writing to a vector succeeds.
        let _ = serde_json::to_writer(out, self);
    }
}

impl<'a> Text<'a> {
    fn some(text: &'a str) -> Option<Self> {
        Some(Self(Cow::Borrowed(text)))
    }

    /// The bytes as text if they are UTF-8 (first field), otherwise as base64 (second field).
    fn either(bytes: &'a [u8]) -> (Option<Self>, Option<Self>) {
        match str::from_utf8(bytes) {
            Ok(text) => (Self::some(text), None),
            Err(_) => (None, Some(Self(Cow::Owned(BASE64.encode(bytes))))),
        }
    }

    fn into_bytes(self) -> Cow<'a, [u8]> {
        match self.0 {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }
    }

    fn decoded(self, field: &'static str) -> Result<Cow<'a, [u8]>, CodecError> {
        let bytes = BASE64.decode(self.0.as_bytes()).map_err(|_| CodecError::Base64(field))?;
        Ok(Cow::Owned(bytes))
    }
}

/// Returns the field's value, or an error that names the field.
fn need<T>(of: &'static str, field: &'static str, value: Option<T>) -> Result<T, CodecError> {
    value.ok_or(CodecError::Missing { of, field })
}

fn text_or_empty(text: Option<Text<'_>>) -> Cow<'_, str> {
    text.map_or(Cow::Borrowed(""), |text| text.0)
}

fn unknown_type(tag: &str) -> CodecError {
    CodecError::UnknownType(
        tag.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect(),
    )
}

pub(crate) fn write_to_worker(message: &ToWorker<'_>, out: &mut Vec<u8>) {
    let form = match message {
        ToWorker::Job { id, attempt, payload } => {
            let (payload, payload_base64) = Text::either(payload);
            let attempt = Some(*attempt);
            Form { attempt, payload, payload_base64, ..Form::new("job", Some(*id)) }
        }
        ToWorker::Resume => Form::new("resume", None),
        ToWorker::Cancel { id, reason } => {
            Form { reason: Text::some(reason), ..Form::new("cancel", Some(*id)) }
        }
        ToWorker::Bye => Form::new("bye", None),
    };
    form.write(out);
}

pub(crate) fn read_to_worker(bytes: &[u8]) -> Result<ToWorker<'_>, CodecError> {
    let form = Form::read(bytes)?;
    Ok(match &*form.tag {
        "job" => ToWorker::Job {
            id: need("job", "id", form.id)?,
            attempt: need("job", "attempt", form.attempt)?,
            payload: match (form.payload, form.payload_base64) {
                (Some(text), None) => text.into_bytes(),
                (None, Some(base64)) => base64.decoded("payload_base64")?,
                (None, None) => need("job", "payload", None)?,
                (Some(_), Some(_)) => return Err(CodecError::Ambiguous("job")),
            },
        },
        "resume" => ToWorker::Resume,
        "cancel" => ToWorker::Cancel {
            id: need("cancel", "id", form.id)?,
            reason: text_or_empty(form.reason),
        },
        "bye" => ToWorker::Bye,
        other => return Err(unknown_type(other)),
    })
}

pub(crate) fn write_to_supervisor(message: &ToSupervisor<'_>, out: &mut Vec<u8>) {
    let form = match message {
        ToSupervisor::Reply { id, attempt, service_ns, result } => {
            let mut form = Form::new("reply", Some(*id));
            form.attempt = Some(*attempt);
            form.service_ns = Some(*service_ns).filter(|ns| *ns > 0);
            match result {
                Ok(result) => (form.result, form.result_base64) = Text::either(result),
                Err(failure) => {
                    form.error = Text::some(&failure.message);
                    form.kind = Some(failure.kind);
                    form.place = Text::some(&failure.place).filter(|place| !place.0.is_empty());
                }
            }
            form
        }
        ToSupervisor::Started { id, pid } => {
            Form { pid: Some(*pid), ..Form::new("started", Some(*id)) }
        }
        ToSupervisor::Output { id, stream, bytes } => {
            let (text, base64) = Text::either(bytes);
            Form { stream: Some(*stream), text, base64, ..Form::new("output", Some(*id)) }
        }
        ToSupervisor::Progress { id, fraction, note } => {
            let (fraction, note) = (Some(*fraction), Text::some(note));
            Form { fraction, note, ..Form::new("progress", Some(*id)) }
        }
        ToSupervisor::Bye => Form::new("bye", None),
    };
    form.write(out);
}

pub(crate) fn read_to_supervisor(bytes: &[u8]) -> Result<ToSupervisor<'_>, CodecError> {
    let form = Form::read(bytes)?;
    Ok(match &*form.tag {
        "reply" => ToSupervisor::Reply {
            id: need("reply", "id", form.id)?,
            attempt: need("reply", "attempt", form.attempt)?,
            service_ns: form.service_ns.unwrap_or(0),
            result: read_result(form)?,
        },
        "started" => ToSupervisor::Started {
            id: need("started", "id", form.id)?,
            pid: need("started", "pid", form.pid)?,
        },
        "output" => ToSupervisor::Output {
            id: need("output", "id", form.id)?,
            stream: need("output", "stream", form.stream)?,
            bytes: match (form.text, form.base64) {
                (Some(text), None) => text.into_bytes(),
                (None, Some(base64)) => base64.decoded("base64")?,
                (None, None) => need("output", "text", None)?,
                (Some(_), Some(_)) => return Err(CodecError::Ambiguous("output")),
            },
        },
        "progress" => ToSupervisor::Progress {
            id: need("progress", "id", form.id)?,
            fraction: need("progress", "fraction", form.fraction)?,
            note: text_or_empty(form.note),
        },
        "bye" => ToSupervisor::Bye,
        other => return Err(unknown_type(other)),
    })
}

fn read_result(form: Form<'_>) -> Result<Result<Cow<'_, [u8]>, Failure<'_>>, CodecError> {
    match (form.result, form.result_base64, form.error) {
        (Some(text), None, None) => Ok(Ok(text.into_bytes())),
        (None, Some(base64), None) => Ok(Ok(base64.decoded("result_base64")?)),
        (None, None, Some(message)) => Ok(Err(Failure {
            kind: form.kind.unwrap_or(FailureKind::Error),
            message: message.0,
            place: text_or_empty(form.place),
        })),
        (None, None, None) => {
            Err(CodecError::Missing { of: "reply", field: "result\" or \"error" })
        }
        _ => Err(CodecError::Ambiguous("reply")),
    }
}

/// A hello together with its `type`.
#[derive(Serialize)]
struct Tagged<'a, T> {
    #[serde(rename = "type")]
    tag: &'static str,
    #[serde(flatten)]
    hello: &'a T,
}

/// The fields that hellos of every version are assumed to have.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    tag: Cow<'a, str>,
    version: u32,
}

fn hello_frame(hello: &impl Serialize) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    // This cannot fail: every field has a JSON form, and writing to a vector succeeds.
    let _ = serde_json::to_writer(&mut frame, &Tagged { tag: "hello", hello });
    let length = u32::try_from(frame.len() - HEADER_BYTES).unwrap_or(u32::MAX);
    frame[..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    frame
}

/// Decodes a hello. The fields of other versions are unknown, so `of_version` makes the result
/// from the version alone.
fn read_hello<T: DeserializeOwned>(
    bytes: &[u8],
    of_version: impl FnOnce(u32) -> T,
) -> Result<T, CodecError> {
    let head: Head<'_> = serde_json::from_slice(bytes)?;
    match (&*head.tag, head.version) {
        ("hello", VERSION) => Ok(serde_json::from_slice(bytes)?),
        ("hello", other) => Ok(of_version(other)),
        (other, _) => Err(unknown_type(other)),
    }
}

impl SupervisorHello {
    /// Encodes the complete frame, header included.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        hello_frame(self)
    }

    /// Decodes the body of a first frame. If its version is not [`VERSION`], the other fields of
    /// the result are empty: compare the version first.
    ///
    /// # Errors
    /// The body is not a hello.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let empty =
            |version| Self { version, codecs: Vec::new(), max_frame: 0, worker: String::new() };
        read_hello(bytes, empty)
    }
}

impl WorkerHello {
    /// Encodes the complete frame, header included.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        hello_frame(self)
    }

    /// Decodes the body of a first frame. If its version is not [`VERSION`], the other fields of
    /// the result are empty: compare the version first.
    ///
    /// # Errors
    /// The body is not a hello.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let empty =
            |version| Self { version, codec: Codec::Json, pid: 0, capabilities: Vec::new() };
        read_hello(bytes, empty)
    }
}
