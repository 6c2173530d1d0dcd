//! Where are the placeholders of a command line?

use memchr::memchr;

use super::{Form, Part};

/// How a command line is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// As a script for the shell.
    pub shell: bool,
    /// What stands for the input in place of `{}`; no other placeholder is then known.
    pub replace: Option<&'a str>,
    /// Of how many inputs a job consists.
    pub inputs: usize,
    /// Whether the input goes behind the last word where there is no placeholder.
    pub append: bool,
}

/// Why a command line cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TemplateError {
    /// No words.
    #[error("name a COMMAND, or with --shell let each input be one")]
    Empty,
    /// In the form of a placeholder, and none.
    #[error(
        "{{{0}}} is no placeholder: there are {{}} {{.}} {{/}} {{//}} {{/.}} {{#}} {{%}} {{1}} \
         {{2}}…; to pass it on as it stands, choose another placeholder: -I ,,"
    )]
    Unknown(String),
    /// An input that no job has.
    #[error("{{{text}}} stands for input {number}, and a job has {inputs}")]
    NoSuchInput {
        /// The placeholder.
        text: String,
        /// The input it names.
        number: usize,
        /// How many there are.
        inputs: usize,
    },
}

/// Cuts a word at its placeholders.
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

/// What has the form of a placeholder is one, or is refused; but `${x}` is the shell's, and what
/// has blanks, quotes or commas in it is somebody else's.
fn placeholder(
    text: &[u8],
    after_dollar: bool,
    inputs: usize,
) -> Result<Option<(Part, &[u8])>, TemplateError> {
    const LONGEST: usize = 32;
    let Some(inner) = text.strip_prefix(b"{") else { return Ok(None) };
    let Some(end) = memchr(b'}', &inner[..inner.len().min(LONGEST)]) else { return Ok(None) };
    let (name, after) = (&inner[..end], &inner[end + 1..]);
    let is_ours = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-/#%+".contains(byte);
    if !name.iter().all(is_ours) || after_dollar && !name.is_empty() {
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
