//! Fills a job into a command line. `gzip -c {} > {.}.gz` is split into words and placeholders once,
//! so that each job costs only a copy.
//!
//! The placeholders are those of GNU parallel: `{}` the input, `{.}` without its extension, `{/}` its
//! last component, `{//}` its directory, `{/.}` its last component without extension, `{#}` the
//! number of the job, `{%}` the slot, `{2}` (and `{2.}` and so on) the second of several inputs.

#[cfg(test)]
mod fuzzed;
mod part;
mod read;
mod shell;
#[cfg(test)]
mod tests;

use std::{
    ffi::{CStr, OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use memchr::memchr_iter;
use serde::{Deserialize, Serialize};

use self::part::{Form, Part, Place};
pub use self::{
    part::quote,
    read::{Reading, TemplateError},
};

/// Separates the inputs of a job; no input can contain it.
pub const INPUT_SEPARATOR: u8 = 0;

/// A command line with placeholders.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Template {
    words: Vec<Vec<Part>>,
    /// Whether the words are one script for `sh -c`.
    shell: bool,
    /// Number of inputs of a job.
    inputs: usize,
}

/// The values of the placeholders for one job.
#[derive(Clone, Copy, Debug)]
pub struct Filling<'a> {
    /// The inputs of the job, with [`INPUT_SEPARATOR`] between them.
    pub payload: &'a [u8],
    /// Number of the job.
    pub number: u64,
    /// Number of the slot in which the job runs.
    pub slot: u32,
}

/// The words of one command, each with a final zero byte. A buffer to be reused: it stops
/// allocating once it has grown.
#[derive(Debug, Default)]
pub struct Words {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Words {
    /// Returns each word without its zero byte.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.starts.iter().skip(1).copied().chain([self.bytes.len()]);
        self.starts.iter().zip(ends).map(|(start, end)| &self.bytes[*start..end - 1])
    }

    /// Returns each word as a C string; a zero byte inside a word ends it.
    pub fn c_strings(&self) -> impl Iterator<Item = &CStr> {
        let word = |start: &usize| CStr::from_bytes_until_nul(&self.bytes[*start..]);
        self.starts.iter().map(move |start| word(start).unwrap_or_default())
    }

    /// Whether a word contains a zero byte, at which the kernel would cut it.
    #[must_use]
    pub fn has_zero(&self) -> bool {
        memchr_iter(0, &self.bytes).count() > self.starts.len()
    }

    fn begin(&mut self) {
        self.starts.push(self.bytes.len());
    }

    fn end(&mut self) {
        self.bytes.push(0);
    }

    fn word(&mut self, text: &[u8]) {
        self.begin();
        self.bytes.extend_from_slice(text);
        self.end();
    }
}

impl Template {
    /// Reads a command line.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub fn read(words: &[OsString], reading: Reading<'_>) -> Result<Self, TemplateError> {
        if words.is_empty() && !reading.shell {
            return Err(TemplateError::Empty);
        }
        let read = |word: &OsString| read::parts(word.as_bytes(), reading);
        let mut words = words.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let is_text = |part: &Part| matches!(part, Part::Text(_));
        if reading.append && words.iter().flatten().all(is_text) {
            words.push(vec![Part::Input(None, Form::Whole, Place::Word)]);
        }
        if reading.shell && !is_input_alone(&words) {
            shell::place(&mut words)?;
        }
        Ok(Self { words, shell: reading.shell, inputs: reading.inputs })
    }

    /// Returns the program, if it is the same for every job.
    #[must_use]
    pub fn program(&self) -> Option<&OsStr> {
        match self.words.first()?.as_slice() {
            _ if self.shell => Some(OsStr::new(SHELL)),
            [] => Some(OsStr::new("")),
            [Part::Text(text)] => Some(OsStr::from_bytes(text)),
            _ => None,
        }
    }

    /// Whether a shell runs the command line.
    #[must_use]
    pub fn is_script(&self) -> bool {
        self.shell
    }

    /// Replaces the content of `words` by the command of a job.
    pub fn fill(&self, job: Filling<'_>, words: &mut Words) {
        words.bytes.clear();
        words.starts.clear();
        if self.shell {
            words.word(SHELL.as_bytes());
            words.word(b"-c");
            words.begin();
            self.script(job, &mut words.bytes);
            words.end();
            return;
        }
        for word in &self.words {
            // A placeholder for all inputs that is a whole word becomes one word per input.
            if let [Part::Input(None, form, _)] = word.as_slice() {
                inputs(job.payload, self.inputs).for_each(|input| words.word(form.of(input)));
                continue;
            }
            words.begin();
            word.iter().for_each(|part| self.part(part, job, &mut words.bytes, true));
            words.end();
        }
    }

    /// Appends the command of a job as a user could type it.
    pub fn show(&self, job: Filling<'_>, out: &mut Vec<u8>) {
        if self.shell {
            return self.script(job, out);
        }
        let mut words = Words::default();
        self.fill(job, &mut words);
        for (at, word) in words.iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            quote(word, out);
        }
    }

    fn script(&self, job: Filling<'_>, out: &mut Vec<u8>) {
        let is_plain = is_input_alone(&self.words);
        for (at, word) in self.words.iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            word.iter().for_each(|part| self.part(part, job, out, is_plain));
        }
    }

    fn part(&self, part: &Part, job: Filling<'_>, out: &mut Vec<u8>, is_plain: bool) {
        let put = |place: Place, input: &[u8], out: &mut Vec<u8>| match is_plain {
            true => out.extend_from_slice(input),
            false => place.put(input, out),
        };
        match part {
            Part::Text(text) => out.extend_from_slice(text),
            Part::Number => {
                out.extend_from_slice(itoa::Buffer::new().format(job.number).as_bytes());
            }
            Part::Slot => out.extend_from_slice(itoa::Buffer::new().format(job.slot).as_bytes()),
            Part::Input(None, form, place) => {
                for (at, input) in inputs(job.payload, self.inputs).enumerate() {
                    if at > 0 {
                        out.push(b' ');
                    }
                    put(*place, form.of(input), out);
                }
            }
            Part::Input(Some(number), form, place) => {
                let input = inputs(job.payload, self.inputs).nth(*number);
                put(*place, form.of(input.unwrap_or_default()), out);
            }
        }
    }
}

const SHELL: &str = "sh";

/// Returns the inputs of a job; the only input of a job is all of its bytes.
fn inputs(payload: &[u8], count: usize) -> impl Iterator<Item = &[u8]> {
    payload.splitn(count, |byte| *byte == INPUT_SEPARATOR)
}

/// Whether the input is the only word, so that in a script it is the script itself.
fn is_input_alone(words: &[Vec<Part>]) -> bool {
    matches!(words, [word] if *word == [Part::Input(None, Form::Whole, Place::Word)])
}
