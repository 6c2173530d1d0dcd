//! Finds the placeholders of a command line.

use memchr::memchr;

use super::part::{Form, Part};

/// Options for reading a command line.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Whether the words are a script for the shell.
    pub shell: bool,
    /// A placeholder that replaces all those in braces.
    pub replace: Option<&'a str>,
    /// Number of inputs of a job.
    pub inputs: usize,
    /// Whether to append the input if there is no placeholder.
    pub append: bool,
}

/// Why a command line cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TemplateError {
    /// There are no words.
    #[error("name a COMMAND, or with --shell let each input be one")]
    Empty,
    /// A text looks like a placeholder but is none.
    #[error(
        "{{{0}}} is no placeholder: there are {{}} {{.}} {{/}} {{//}} {{/.}} {{#}} {{%}} {{1}} \
         {{2}}…; to pass it on as it stands, choose another placeholder: -I ,,"
    )]
    Unknown(String),
    /// A placeholder stands for an input that no job has.
    #[error("{{{text}}} stands for input {number}, and a job has {inputs}")]
    NoSuchInput {
        /// The placeholder.
        text: String,
        /// Number of the input, from 1.
        number: usize,
        /// Number of inputs of a job.
        inputs: usize,
    },
}

/// Splits a word at its placeholders.
pub(super) fn parts(word: &[u8], reading: Reading<'_>) -> Result<Vec<Part>, TemplateError> {
    let (mut parts, mut text, mut rest) = (Vec::new(), Vec::new(), word);
    while !rest.is_empty() {
        let found = match reading.replace {
            Some(replace) => rest
                .strip_prefix(replace.as_bytes())
                .map(|after| (Part::Input(None, Form::Whole), after)),
            None => placeholder(rest, text.last() == Some(&b'$'), reading.inputs)?,
        };
        match found {
            Some((part, after)) => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(part);
                rest = after;
            }
            None => {
                text.push(rest[0]);
                rest = &rest[1..];
            }
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

/// Parses the placeholder at the beginning of `text`, if there is one. A text that looks like a
/// placeholder but is none is refused, except for `${x}`, which belongs to the shell, and braces
/// with blanks, quotes or commas, which belong to other languages.
fn placeholder(
    text: &[u8],
    after_dollar: bool,
    inputs: usize,
) -> Result<Option<(Part, &[u8])>, TemplateError> {
    const LONGEST: usize = 32;
    let Some(inner) = text.strip_prefix(b"{") else { return Ok(None) };
    let Some(end) = memchr(b'}', &inner[..inner.len().min(LONGEST)]) else { return Ok(None) };
    let (name, after) = (&inner[..end], &inner[end + 1..]);
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-/#%+".contains(byte);
    if !name.iter().all(is_allowed) || after_dollar && !name.is_empty() {
        return Ok(None);
    }
    let digits = name.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, form) = name.split_at(digits);
    let shown = || String::from_utf8_lossy(name).into_owned();
    let form = match form {
        b"" => Form::Whole,
        b"." => Form::NoExtension,
        b"/" => Form::Base,
        b"//" => Form::Directory,
        b"/." => Form::BaseNoExtension,
        b"#" if digits == 0 => return Ok(Some((Part::Number, after))),
        b"%" if digits == 0 => return Ok(Some((Part::Slot, after))),
        _ => return Err(TemplateError::Unknown(shown())),
    };
    let number = match str::from_utf8(number).unwrap_or_default() {
        "" => None,
        digits => match digits.parse::<usize>() {
            Ok(number) if (1..=inputs).contains(&number) => Some(number - 1),
            number => {
                let number = number.unwrap_or(usize::MAX);
                return Err(TemplateError::NoSuchInput { text: shown(), number, inputs });
            }
        },
    };
    Ok(Some((Part::Input(number, form), after)))
}
