//! Explains what is wrong with a message from a worker that cannot be decoded.
//!
//! Decoding must be fast and stops at the first error. What the author of a worker needs is the
//! name of the field and the reason; what the supervisor needs is the job that the message was to
//! answer, so that one bad reply fails one job and the worker lives on. Both are read here, a second
//! time and leniently, from a message that was refused.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{
    binary,
    error::CodecError,
    number::{Nanoseconds, Whole},
    wire::Codec,
};

/// What is wrong with a message from a worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flaw {
    /// The id and the attempt of the job that the message answers; `None` if it is not a reply, or
    /// these two cannot be read.
    pub job: Option<(u64, u32)>,
    /// What is wrong: the field, and why its value cannot be taken.
    pub reason: String,
}

impl Codec {
    /// Explains why a message from a worker was refused with `error`.
    #[cold]
    #[must_use]
    pub fn explain(self, bytes: &[u8], error: &CodecError) -> Flaw {
        match self {
            Self::Bincode => Flaw { job: binary::replied_job(bytes), reason: error.to_string() },
            Self::Json => explain_json(bytes, error),
        }
    }
}

/// What the value of a field must be.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Whole,
    Time,
    Number,
}

/// The fields of all messages from a worker. Those that tell a reply come first.
const FIELDS: [(&str, Kind); 15] = [
    ("type", Kind::Text),
    ("id", Kind::Whole),
    ("attempt", Kind::Whole),
    ("result", Kind::Text),
    ("result_base64", Kind::Text),
    ("error", Kind::Text),
    ("kind", Kind::Text),
    ("place", Kind::Text),
    ("service_ns", Kind::Time),
    ("pid", Kind::Whole),
    ("stream", Kind::Whole),
    ("text", Kind::Text),
    ("base64", Kind::Text),
    ("fraction", Kind::Number),
    ("note", Kind::Text),
];
const TYPE: usize = 0;
const ID: usize = 1;
const ATTEMPT: usize = 2;
const RESULTS: std::ops::RangeInclusive<usize> = 3..=5;

/// The values of the known fields, as they are written.
#[derive(Default)]
struct Fields<'a> {
    values: [Option<&'a RawValue>; FIELDS.len()],
    /// The first field that occurs twice.
    twice: Option<usize>,
}

fn explain_json(bytes: &[u8], error: &CodecError) -> Flaw {
    let mut fields = Fields::default();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = FieldsSeed(&mut fields).deserialize(&mut json).and_then(|()| json.end());
    let reason = match read {
        Err(fault) if fault.is_data() => "a message is a JSON object".to_owned(),
        Err(fault) => not_json(bytes, &fault),
        Ok(()) => fields.fault().unwrap_or_else(|| error.to_string()),
    };
    Flaw { job: fields.job(), reason }
}

fn not_json(bytes: &[u8], fault: &serde_json::Error) -> String {
    let at = fault.column().saturating_sub(1);
    let rest = bytes.get(at..).filter(|_| fault.line() == 1).unwrap_or_default();
    let is_no_number = ["NaN", "Infinity", "-Infinity"].iter().any(|word| {
        // The parser stops at the first character, or at the one after a sign.
        rest.starts_with(word.as_bytes()) || rest.starts_with(&word.as_bytes()[1..])
    });
    let hint = if is_no_number { " (JSON has no NaN and no Infinity)" } else { "" };
    format!("not JSON: {fault}{hint}")
}

impl Fields<'_> {
    /// The job that the message answers, as far as that is certain.
    fn job(&self) -> Option<(u64, u32)> {
        if self.twice.is_some_and(|field| field == ID || field == ATTEMPT) {
            return None;
        }
        let whole = |field: usize| {
            let Whole(number) = serde_json::from_str(self.values[field]?.get()).ok()?;
            Some(number)
        };
        let has_result = RESULTS.into_iter().any(|field| self.values[field].is_some());
        let is_reply = match self.tag() {
            Some(tag) => tag.eq_ignore_ascii_case("reply"),
            None => has_result,
        };
        let job = (whole(ID)?, u32::try_from(whole(ATTEMPT)?).ok()?);
        is_reply.then_some(job)
    }

    fn tag(&self) -> Option<Cow<'_, str>> {
        serde_json::from_str(self.values[TYPE]?.get()).ok()
    }

    /// The first field whose value cannot be taken.
    fn fault(&self) -> Option<String> {
        if let Some(field) = self.twice {
            return Some(format!("\"{}\" occurs twice", FIELDS[field].0));
        }
        let is_given = |field: usize| self.values[field].is_some_and(|value| !is_null(value));
        let wrong = FIELDS
            .iter()
            .zip(self.values)
            .find_map(|((name, kind), value)| Some(format!("\"{name}\" {}", kind.fault(value?)?)));
        let is_null_result = !RESULTS.into_iter().any(is_given) && self.values[3].is_some();
        wrong.or_else(|| is_null_result.then(|| "\"result\" must be a string, not null".to_owned()))
    }
}

impl Kind {
    /// What is wrong with a value; null counts as an absent field.
    fn fault(self, value: &RawValue) -> Option<String> {
        let (text, shape) = (value.get(), shape(value));
        let expected = match self {
            _ if is_null(value) => return None,
            Self::Text if shape == "a string" => {
                let fault = serde_json::from_str::<Cow<'_, str>>(text).err()?.to_string();
                let fault = fault.split(" at line").next().unwrap_or_default();
                return Some(format!("is not text: {fault}"));
            }
            Self::Text => "a string",
            Self::Whole if serde_json::from_str::<Whole>(text).is_ok() => return None,
            Self::Whole => "a whole number that is not negative",
            Self::Time if serde_json::from_str::<Nanoseconds>(text).is_ok() => return None,
            Self::Number if serde_json::from_str::<f64>(text).is_ok() => return None,
            Self::Time | Self::Number => "a number",
        };
        let shown = if shape == "a number" { text } else { shape };
        Some(format!("must be {expected}, not {shown}"))
    }
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// Names what a value is, for a message.
fn shape(value: &RawValue) -> &'static str {
    match value.get().as_bytes() {
        [b'"', ..] => "a string",
        [b'{', ..] => "an object",
        [b'[', ..] => "a list",
        [b't' | b'f', ..] => "true or false",
        [b'n', ..] => "null",
        _ => "a number",
    }
}

/// Reads the fields of an object into a place that keeps what was read before an error.
struct FieldsSeed<'f, 'a>(&'f mut Fields<'a>);

impl<'de> DeserializeSeed<'de> for FieldsSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldsSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let value: &'de RawValue = map.next_value()?;
            let Some(field) = FIELDS.iter().position(|(known, _)| *known == name) else { continue };
            if self.0.values[field].replace(value).is_some() {
                self.0.twice.get_or_insert(field);
            }
        }
        Ok(())
    }
}
