//! Writes JSON: one record per line, with all control characters escaped.
//!
//! A record of an untrusted worker's text may be shown on a terminal. JSON lets C1 control
//! characters and the controls of writing direction pass; here they are escaped.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use text::escape::is_obeyed;

/// Appends a record and a newline.
pub fn push_line(out: &mut Vec<u8>, record: &impl Serialize) {
    let start = out.len();
    push_value(out, record);
    if out.len() > start {
        out.push(b'\n');
    }
}

/// Appends a value; nothing if it cannot be serialised.
pub(crate) fn push_value(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let start = out.len();
    if value.serialize(&mut Serializer::with_formatter(&mut *out, Visible)).is_err() {
        // Half a record must not stay in the stream.
        out.truncate(start);
    }
}

/// A record as a line of text.
#[must_use]
pub fn line(record: &impl Serialize) -> String {
    let mut out = Vec::new();
    push_line(&mut out, record);
    String::from_utf8(out).unwrap_or_default()
}

/// Compact JSON in which characters that a terminal obeys are escaped.
struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W>(&mut self, out: &mut W, mut fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        while let Some((at, c)) = fragment.char_indices().find(|(_, c)| is_obeyed(*c)) {
            out.write_all(&fragment.as_bytes()[..at])?;
            // All of them are in the basic plane: one escape each.
            write!(out, "\\u{:04x}", u32::from(c))?;
            fragment = &fragment[at + c.len_utf8()..];
        }
        out.write_all(fragment.as_bytes())
    }
}

/// The text of `bytes`, or their base64 where they are not UTF-8: JSON has no bytes.
pub(crate) fn text_or_base64(bytes: &[u8]) -> (Option<Cow<'_, str>>, Option<String>) {
    match str::from_utf8(bytes) {
        Ok(text) => (Some(text.into()), None),
        Err(_) => (None, Some(BASE64_STANDARD.encode(bytes))),
    }
}

/// Appends an integer.
pub(crate) fn number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a key and the text, or the other key and the base64 of bytes that are not UTF-8. Keys
/// include the comma before them and the colon behind.
pub(crate) fn string(bytes: &[u8], key: &[u8], key_base64: &[u8], out: &mut Vec<u8>) {
    if is_plain(bytes) {
        out.extend_from_slice(key);
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
    } else if let Ok(text) = str::from_utf8(bytes) {
        out.extend_from_slice(key);
        push_value(out, text);
    } else {
        out.extend_from_slice(key_base64);
        push_value(out, &BASE64_STANDARD.encode(bytes));
    }
}

/// Whether the bytes are ASCII of which nothing needs an escape. Does not stop at the first other
/// byte, so that the processor can check many bytes at a time.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, byte| {
        plain & (byte.wrapping_sub(b' ') < 0x5f) & (*byte != b'"') & (*byte != b'\\')
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde wants")]
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}
