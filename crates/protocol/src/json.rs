//! The JSON form of messages: one object per frame, whose `type` names the message.
//!
//! Unknown fields are ignored, so that later versions can add some. Numbers may be written in the
//! ways of common runtimes: a whole number as `7.0`, a time as a fraction.

use std::borrow::Cow;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::CodecError,
    number::{Nanoseconds, Whole},
    wire::{Failure, FailureKind, ToSupervisor, ToWorker},
};

/// The standard alphabet. Padding is written, but not required.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The longest part of an unknown `type`, in characters, that an error message repeats.
const SHOWN_CHARS_MAX: usize = 40;

/// The `kind` of a failure that is a panic. Every other kind is an error.
const PANIC: &str = "panic";

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
    id: Option<Whole>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<Whole>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_ns: Option<Nanoseconds>,
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
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    kind: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    place: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<Whole>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<Whole>,
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
        Self { tag: tag.into(), id: id.map(Whole), ..Self::default() }
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
        let decoded = BASE64.decode(self.0.as_bytes());
        Ok(Cow::Owned(decoded.map_err(|reason| CodecError::Base64 { field, reason })?))
    }
}

/// Returns the field's value, or an error that names the field.
fn need<T>(of: &'static str, field: &'static str, value: Option<T>) -> Result<T, CodecError> {
    value.ok_or(CodecError::Missing { of, field })
}

/// Returns the number in the field, or an error that names the field.
fn number<T: TryFrom<u64>>(
    of: &'static str,
    field: &'static str,
    value: Option<Whole>,
) -> Result<T, CodecError> {
    let Whole(number) = need(of, field, value)?;
    let too_large = |_| CodecError::Field { field, reason: format!("is too large: {number}") };
    T::try_from(number).map_err(too_large)
}

fn text_or_empty(text: Option<Text<'_>>) -> Cow<'_, str> {
    text.map_or(Cow::Borrowed(""), |text| text.0)
}

pub(crate) fn unknown_type(tag: &str) -> CodecError {
    CodecError::UnknownType(
        tag.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect(),
    )
}

pub(crate) fn write_to_worker(message: &ToWorker<'_>, out: &mut Vec<u8>) {
    let form = match message {
        ToWorker::Job { id, attempt, payload } => {
            let (payload, payload_base64) = Text::either(payload);
            let attempt = Some(u64::from(*attempt).into());
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
            id: number("job", "id", form.id)?,
            attempt: number("job", "attempt", form.attempt)?,
            payload: match (form.payload, form.payload_base64) {
                (Some(text), None) => text.into_bytes(),
                (None, Some(base64)) => base64.decoded("payload_base64")?,
                (None, None) => need("job", "payload", None)?,
                (Some(_), Some(_)) => return Err(CodecError::Ambiguous("job")),
            },
        },
        "resume" => ToWorker::Resume,
        "cancel" => ToWorker::Cancel {
            id: number("cancel", "id", form.id)?,
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
            form.attempt = Some(u64::from(*attempt).into());
            form.service_ns = Some(Nanoseconds(*service_ns)).filter(|_| *service_ns > 0);
            match result {
                Ok(result) => (form.result, form.result_base64) = Text::either(result),
                Err(failure) => {
                    form.error = Text::some(&failure.message);
                    form.kind = Text::some(match failure.kind {
                        FailureKind::Error => "error",
                        FailureKind::Panic => PANIC,
                    });
                    form.place = Text::some(&failure.place).filter(|place| !place.0.is_empty());
                }
            }
            form
        }
        ToSupervisor::Started { id, pid } => {
            Form { pid: Some(u64::from(*pid).into()), ..Form::new("started", Some(*id)) }
        }
        ToSupervisor::Output { id, stream, bytes } => {
            let (text, base64) = Text::either(bytes);
            let stream = Some(u64::from(*stream).into());
            Form { stream, text, base64, ..Form::new("output", Some(*id)) }
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
            id: number("reply", "id", form.id)?,
            attempt: number("reply", "attempt", form.attempt)?,
            service_ns: form.service_ns.map_or(0, |Nanoseconds(ns)| ns),
            result: read_result(form)?,
        },
        "started" => ToSupervisor::Started {
            id: number("started", "id", form.id)?,
            pid: number("started", "pid", form.pid)?,
        },
        "output" => ToSupervisor::Output {
            id: number("output", "id", form.id)?,
            stream: number("output", "stream", form.stream)?,
            bytes: match (form.text, form.base64) {
                (Some(text), None) => text.into_bytes(),
                (None, Some(base64)) => base64.decoded("base64")?,
                (None, None) => need("output", "text", None)?,
                (Some(_), Some(_)) => return Err(CodecError::Ambiguous("output")),
            },
        },
        "progress" => ToSupervisor::Progress {
            id: number("progress", "id", form.id)?,
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
            kind: match form.kind {
                Some(Text(kind)) if kind == PANIC => FailureKind::Panic,
                _ => FailureKind::Error,
            },
            message: message.0,
            place: text_or_empty(form.place),
        })),
        (None, None, None) => {
            Err(CodecError::Missing { of: "reply", field: "result\" or \"error" })
        }
        _ => Err(CodecError::Ambiguous("reply")),
    }
}
