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

use std::{
    ffi::{CStr, OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use memchr::memchr_iter;
use serde::{Deserialize, Serialize};

use self::part::{Form, Part};
pub use self::read::{Reading, TemplateError};

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
            words.push(vec![Part::Input(None, Form::Whole)]);
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
            if let [Part::Input(None, form)] = word.as_slice() {
                inputs(job.payload, self.inputs).for_each(|input| words.word(form.of(input)));
                continue;
            }
            words.begin();
            word.iter().for_each(|part| self.part(part, job, &mut words.bytes, plain));
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
        // With the input as the only word, the input itself is the script.
        let is_input = |word: &Vec<Part>| *word == [Part::Input(None, Form::Whole)];
        let is_script = self.words.len() == 1 && self.words.iter().all(is_input);
        let put = if is_script { plain } else { |out: &mut Vec<u8>, text: &[u8]| quote(text, out) };
        for (at, word) in self.words.iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            word.iter().for_each(|part| self.part(part, job, out, put));
        }
    }

    fn part(&self, part: &Part, job: Filling<'_>, out: &mut Vec<u8>, put: fn(&mut Vec<u8>, &[u8])) {
        match part {
            Part::Text(text) => out.extend_from_slice(text),
            Part::Number => {
                out.extend_from_slice(itoa::Buffer::new().format(job.number).as_bytes());
            }
            Part::Slot => out.extend_from_slice(itoa::Buffer::new().format(job.slot).as_bytes()),
            Part::Input(None, form) => {
                for (at, input) in inputs(job.payload, self.inputs).enumerate() {
                    if at > 0 {
                        out.push(b' ');
                    }
                    put(out, form.of(input));
                }
            }
            Part::Input(Some(number), form) => {
                let input = inputs(job.payload, self.inputs).nth(*number);
                put(out, form.of(input.unwrap_or_default()));
            }
        }
    }
}

const SHELL: &str = "sh";

/// Returns the inputs of a job; the only input of a job is all of its bytes.
fn inputs(payload: &[u8], count: usize) -> impl Iterator<Item = &[u8]> {
    payload.splitn(count, |byte| *byte == INPUT_SEPARATOR)
}

fn plain(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
}

/// Appends a word so that a shell reads it back unchanged: as it is if that is safe, otherwise in
/// single quotes.
pub fn quote(word: &[u8], out: &mut Vec<u8>) {
    let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+=:,./@%".contains(byte);
    if !word.is_empty() && word.iter().all(is_safe) {
        return out.extend_from_slice(word);
    }
    out.push(b'\'');
    for byte in word {
        match byte {
            b'\'' => out.extend_from_slice(br"'\''"),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reading(shell: bool, inputs: usize) -> Reading<'static> {
        Reading { shell, replace: None, inputs, append: true }
    }

    fn read(words: &[&str], reading: Reading<'_>) -> Result<Template, TemplateError> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Template::read(&words, reading)
    }

    fn filled(words: &[&str], reading: Reading<'_>, payload: &str) -> Vec<String> {
        let mut filled = Words::default();
        let template = read(words, reading).unwrap();
        template.fill(Filling { payload: payload.as_bytes(), number: 7, slot: 2 }, &mut filled);
        assert_eq!(filled.c_strings().count(), filled.iter().count());
        filled.iter().map(|word| String::from_utf8(word.to_vec()).unwrap()).collect()
    }

    #[test]
    fn placeholders_are_those_of_gnu_parallel() {
        let path = "dir.d/sub/file.tar.gz";
        for (word, value) in [
            ("{}", path),
            ("{.}", "dir.d/sub/file.tar"),
            ("{/}", "file.tar.gz"),
            ("{//}", "dir.d/sub"),
            ("{/.}", "file.tar"),
            ("{#}-{%}", "7-2"),
            ("{1/}", "file.tar.gz"),
            ("x{}y", "xdir.d/sub/file.tar.gzy"),
            ("{a b} {\"x\":{/}} ${HOME}", "{a b} {\"x\":file.tar.gz} ${HOME}"),
        ] {
            let reading = Reading { append: false, ..reading(false, 1) };
            assert_eq!(filled(&["c", word], reading, path)[1..], [value], "{word}");
        }
        for (input, form, value) in [
            ("a", "{//}", "."),
            ("/a", "{//}", "/"),
            (".bashrc", "{.}", ".bashrc"),
            ("d.x/f", "{.}", "d.x/f"),
            ("d/", "{/}", ""),
            ("", "{.}", ""),
        ] {
            assert_eq!(filled(&["c", form], reading(false, 1), input)[1..], [value], "{form}");
        }
    }

    #[test]
    fn several_inputs_become_words_or_are_joined() {
        let two = "a b\0c";
        assert_eq!(filled(&["echo"], reading(false, 2), two), ["echo", "a b", "c"]);
        assert_eq!(filled(&["echo", "{2}-{1}"], reading(false, 2), two), ["echo", "c-a b"]);
        assert_eq!(filled(&["echo", "<{}>"], reading(false, 2), two), ["echo", "<a b c>"]);
        assert_eq!(filled(&["echo"], reading(true, 2), two), ["sh", "-c", "echo 'a b' c"]);
    }

    #[test]
    fn a_script_is_quoted_and_an_input_may_be_one() {
        let script = |words: &[&str], input| filled(words, reading(true, 1), input).remove(2);
        assert_eq!(
            script(&["wc -l < {} | tee {/}.n"], "a'b"),
            r"wc -l < 'a'\''b' | tee 'a'\''b'.n"
        );
        assert_eq!(script(&[], "echo $((1+1)) | cat"), "echo $((1+1)) | cat");
        assert_eq!(script(&["echo"], ""), "echo ''");
        let several = |words: &[&str]| filled(words, reading(true, 2), "echo $x;\0ls a").remove(2);
        assert_eq!(several(&[]), "echo $x; ls a");
        assert_eq!(several(&["{}"]), "echo $x; ls a");
        assert_eq!(several(&["{2} {1}"]), "'ls a' 'echo $x;'");
    }

    #[test]
    fn a_custom_placeholder_leaves_braces_alone() {
        let reading = Reading { replace: Some(",,"), ..reading(false, 1) };
        assert_eq!(filled(&["awk", "{print}", "x,,"], reading, "f"), ["awk", "{print}", "xf"]);
    }

    #[test]
    fn an_unknown_placeholder_is_refused() {
        let refused =
            |words: &[&str], inputs| read(words, reading(false, inputs)).unwrap_err().to_string();
        assert!(
            refused(&["echo", "{x}"], 1).starts_with("{x} is no placeholder: there are {} {.}")
        );
        assert!(
            refused(&["echo", "{3}"], 2).starts_with("{3} stands for input 3, and a job has 2")
        );
        assert!(refused(&["echo", "{0}"], 2).contains("a job has 2"));
        assert!(refused(&["echo", "{..}"], 1).contains("no placeholder"));
        assert!(refused(&[], 1).starts_with("name a COMMAND"));
    }

    #[test]
    fn the_program_is_known_if_it_is_always_the_same() {
        let program = |words: &[&str], shell| {
            let template = read(words, reading(shell, 1)).unwrap();
            template.program().map(|program| program.to_string_lossy().into_owned())
        };
        assert_eq!(program(&["gzip", "{}"], false).as_deref(), Some("gzip"));
        assert_eq!(program(&["gzip"], true).as_deref(), Some("sh"));
        assert_eq!(program(&["{}"], false), None);
    }

    proptest! {
        #[test]
        fn a_shown_command_is_read_back_by_the_shell(input in "[^\0]{0,20}") {
            let template = read(&["printf", "%s", "{}"], reading(false, 1)).unwrap();
            let mut shown = Vec::new();
            template.show(Filling { payload: input.as_bytes(), number: 1, slot: 1 }, &mut shown);
            let script = String::from_utf8(shown).unwrap();
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            prop_assert_eq!(output.stdout, input.as_bytes());
        }
    }
}
