//! What does a command line become for a job? `gzip -c {} > {.}.gz` is cut into words and
//! placeholders once, and for each job only copied together.
//!
//! The placeholders are GNU parallel's: `{}` the input, `{.}` without its extension, `{/}` its
//! last component, `{//}` its directory, `{/.}` its last component without extension, `{#}` the
//! job's number, `{%}` the slot, `{2}` (and `{2.}` and so on) the second of several inputs.

mod read;

use std::{
    ffi::{CStr, OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use memchr::{memchr_iter, memrchr};
use serde::{Deserialize, Serialize};

pub use read::{Reading, TemplateError};

/// Separates the inputs of a job that has several: none can hold it.
pub const INPUT_SEPARATOR: u8 = 0;

/// A command line with holes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Template {
    words: Vec<Vec<Part>>,
    /// Whether the words are one script for `sh -c`.
    shell: bool,
    /// Of how many inputs a job consists.
    inputs: usize,
}

/// A piece of a word.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Part {
    Text(Vec<u8>),
    /// An input, from 0, or all of them; and what of it.
    Input(Option<usize>, Form),
    Number,
    Slot,
}

/// What of an input is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Form {
    Whole,
    /// Without what follows the last dot of its last component.
    NoExtension,
    /// The last component.
    Base,
    BaseNoExtension,
    /// All but the last component; `.` where there is no other.
    Directory,
}

/// A job as it is filled in.
#[derive(Clone, Copy, Debug)]
pub struct Filling<'a> {
    /// Its inputs.
    pub payload: &'a [u8],
    /// Its number.
    pub number: u64,
    /// Where it runs.
    pub slot: u32,
}

/// The words of one command, each ended by a zero byte. To be used again for the next one:
/// nothing is allocated once it has grown.
#[derive(Debug, Default)]
pub struct Words {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Words {
    /// Each word, without its zero byte.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.starts.iter().skip(1).copied().chain([self.bytes.len()]);
        self.starts.iter().zip(ends).map(|(start, end)| &self.bytes[*start..end - 1])
    }

    /// Each word as a C string; a zero byte inside a word ends it.
    pub fn c_strings(&self) -> impl Iterator<Item = &CStr> {
        let word = |start: &usize| CStr::from_bytes_until_nul(&self.bytes[*start..]);
        self.starts.iter().map(move |start| word(start).unwrap_or_default())
    }

    /// Whether a word holds a zero byte, at which the kernel would end it.
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

    /// The program, where it is the same for every job.
    #[must_use]
    pub fn program(&self) -> Option<&OsStr> {
        match self.words.first()?.as_slice() {
            _ if self.shell => Some(OsStr::new(SHELL)),
            [] => Some(OsStr::new("")),
            [Part::Text(text)] => Some(OsStr::from_bytes(text)),
            _ => None,
        }
    }

    /// Whether it is for a shell.
    #[must_use]
    pub fn is_script(&self) -> bool {
        self.shell
    }

    /// The command of a job, in place of what `words` held.
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
            // All inputs of a job are a word each where they stand alone.
            if let [Part::Input(None, form)] = word.as_slice() {
                inputs(job.payload, self.inputs).for_each(|input| words.word(form.of(input)));
                continue;
            }
            words.begin();
            word.iter().for_each(|part| self.part(part, job, &mut words.bytes, plain));
            words.end();
        }
    }

    /// The command of a job as it could be typed.
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
        // Each input is a script, or several side by side are one.
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

/// The inputs of a job: all of its bytes where it has one.
fn inputs(payload: &[u8], count: usize) -> impl Iterator<Item = &[u8]> {
    payload.splitn(count, |byte| *byte == INPUT_SEPARATOR)
}

impl Form {
    fn of(self, input: &[u8]) -> &[u8] {
        let base = memrchr(b'/', input).map_or(0, |slash| slash + 1);
        // A dot at the very front hides a file and begins no extension.
        let dot = memrchr(b'.', &input[base..]).filter(|dot| *dot > 0);
        let end = dot.map_or(input.len(), |dot| base + dot);
        match self {
            Self::Whole => input,
            Self::NoExtension => &input[..end],
            Self::Base => &input[base..],
            Self::BaseNoExtension => &input[base..end],
            Self::Directory if base == 0 => b".",
            Self::Directory if base == 1 => b"/",
            Self::Directory => &input[..base - 1],
        }
    }
}

fn plain(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
}

/// As a shell reads it back: as it stands where that is safe, else between single quotes.
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
    fn placeholders_are_gnu_parallels() {
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
    fn several_inputs_are_a_word_each_or_stand_side_by_side() {
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
    fn another_placeholder_leaves_braces_alone() {
        let reading = Reading { replace: Some(",,"), ..reading(false, 1) };
        assert_eq!(filled(&["awk", "{print}", "x,,"], reading, "f"), ["awk", "{print}", "xf"]);
    }

    #[test]
    fn what_looks_like_a_placeholder_and_is_none_is_refused() {
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
    fn the_program_is_known_where_it_is_always_the_same() {
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
        fn what_is_shown_is_read_back_by_the_shell(input in "[^\0]{0,20}") {
            let template = read(&["printf", "%s", "{}"], reading(false, 1)).unwrap();
            let mut shown = Vec::new();
            template.show(Filling { payload: input.as_bytes(), number: 1, slot: 1 }, &mut shown);
            let script = String::from_utf8(shown).unwrap();
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            prop_assert_eq!(output.stdout, input.as_bytes());
        }
    }
}
