//! Finds the placeholders of a command line.

use memchr::{memchr, memmem};

use super::part::{Form, Part, Place};

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
    /// A placeholder of GNU parallel that is a Perl expression.
    #[error(
        "{{= =}} is Perl, which this is not: compute the value in a script, with --shell; to pass it \
         on as it stands, choose another placeholder: -I ,,"
    )]
    Perl,
    /// A placeholder stands where a part of an input could run as code.
    #[error(
        "{form} stands {place} in the script, where a part of an input could run as code: leave the \
         quotes out, because inputs are quoted already; or give the input to a shell as an argument: \
         supervisor each sh -c '… \"$1\" …' x {form}"
    )]
    Quoted {
        /// The placeholder.
        form: &'static str,
        /// Where it stands, with its preposition.
        place: &'static str,
    },
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
                .map(|after| (Part::Input(None, Form::Whole, Place::Word), after)),
            None => placeholder(rest, text.last() == Some(&b'$'), reading)?,
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
/// placeholder but is none is refused. Braces with letters, blanks, quotes or commas belong to other
/// languages; `${1}`, and in a script `{1..3}`, belong to the shell.
fn placeholder<'a>(
    text: &'a [u8],
    after_dollar: bool,
    reading: Reading<'_>,
) -> Result<Option<(Part, &'a [u8])>, TemplateError> {
    const LONGEST: usize = 32;
    let Some(inner) = text.strip_prefix(b"{") else { return Ok(None) };
    if inner.starts_with(b"=") && memmem::find(inner, b"=}").is_some() {
        return Err(TemplateError::Perl);
    }
    let Some(end) = memchr(b'}', &inner[..inner.len().min(LONGEST)]) else { return Ok(None) };
    let (name, after) = (&inner[..end], &inner[end + 1..]);
    let is_allowed = |byte: &u8| byte.is_ascii_digit() || b"._-/#%+".contains(byte);
    let is_range = reading.shell && memmem::find(name, b"..").is_some();
    if !name.iter().all(is_allowed) || is_range || after_dollar && !name.is_empty() {
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
    let inputs = reading.inputs;
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
    Ok(Some((Part::Input(number, form, Place::Word), after)))
}
