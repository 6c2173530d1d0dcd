//! Finds where in a shell script each placeholder stands. An input is put into a script as a quoted
//! word, which is safe only where the shell would read a word: between the quotes of the script, the
//! added quotes would end them, and the input would run as code.

use super::{
    part::{Form, Part, Place},
    read::TemplateError,
};

/// Notes the place of each placeholder for an input.
///
/// # Errors
/// A placeholder stands where no input is safe.
pub(super) fn place(words: &mut [Vec<Part>]) -> Result<(), TemplateError> {
    let mut lexer = Lexer::default();
    for (at, word) in words.iter_mut().enumerate() {
        if at > 0 {
            lexer.text(b" ");
        }
        for part in word {
            match part {
                Part::Text(text) => lexer.text(text),
                // Numbers are safe everywhere.
                Part::Number | Part::Slot => lexer.word_begins = false,
                Part::Input(_, form, place) => *place = lexer.place(*form)?,
            }
        }
    }
    Ok(())
}

/// What the shell is reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Words of commands.
    Code,
    SingleQuotes,
    DoubleQuotes,
    Backticks,
    /// `$((`, with the number of parentheses that are open.
    Arithmetic(u32),
    Comment,
    HereDocument,
}

/// A here-document whose text has not begun, or is being read.
#[derive(Clone, Debug)]
struct HereDocument {
    delimiter: Vec<u8>,
    strips_tabs: bool,
}

#[derive(Debug, Default)]
struct Lexer {
    /// What is being read inside of what; plain code if empty.
    states: Vec<State>,
    /// Whether the last character was a backslash that quotes the next one.
    is_escaped: bool,
    /// Whether a word may begin, so that `#` begins a comment.
    word_begins: bool,
    documents: Vec<HereDocument>,
    /// The line of a here-document so far.
    line: Vec<u8>,
    has_begun: bool,
    /// Whether something was read that shells read in different ways, or that ends where only a full
    /// parser sees it. Nothing behind it is certain.
    is_lost: bool,
}

impl Lexer {
    fn state(&self) -> State {
        self.states.last().copied().unwrap_or(State::Code)
    }

    fn place(&mut self, form: Form) -> Result<Place, TemplateError> {
        self.word_begins = false;
        let refuse = |place| Err(TemplateError::Quoted { form: form.shown(), place });
        match self.state() {
            _ if self.is_lost => refuse("behind `case` or `((` or `$'`"),
            _ if self.is_escaped => refuse("behind a backslash"),
            State::Code => Ok(Place::Word),
            State::Arithmetic(_) => Ok(Place::Arithmetic),
            State::Comment => Ok(Place::Comment),
            State::SingleQuotes | State::DoubleQuotes => refuse("between quotes"),
            State::Backticks => refuse("between backticks"),
            State::HereDocument => refuse("in a here-document"),
        }
    }

    fn text(&mut self, text: &[u8]) {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.word_begins = true;
        }
        let mut rest = text;
        while let Some((byte, after)) = rest.split_first() {
            rest = self.next(*byte, after);
        }
    }

    /// Reads a character. Returns what follows it and what belongs to it.
    fn next<'a>(&mut self, byte: u8, after: &'a [u8]) -> &'a [u8] {
        if self.state() == State::HereDocument {
            self.document(byte);
            return after;
        }
        if std::mem::take(&mut self.is_escaped) {
            self.word_begins = false;
            return after;
        }
        match (self.state(), byte) {
            (State::SingleQuotes, b'\'')
            | (State::DoubleQuotes, b'"')
            | (State::Backticks, b'`') => {
                self.states.pop();
            }
            (State::Comment, b'\n') => {
                self.states.pop();
                self.newline();
            }
            (State::SingleQuotes | State::Comment, _) => {}
            (_, b'\\') => self.is_escaped = true,
            (State::Backticks, _) => {}
            (_, b'`') => self.states.push(State::Backticks),
            (_, b'$') if after.starts_with(b"((") => {
                self.states.push(State::Arithmetic(2));
                return &after[2..];
            }
            (_, b'$') if after.starts_with(b"(") => {
                self.states.push(State::Code);
                self.word_begins = true;
                return &after[1..];
            }
            (State::Arithmetic(depth), b'(' | b')') => self.parenthesis(depth, byte),
            (State::Arithmetic(_), b'\'' | b'"') => self.is_lost = true,
            (State::Code, _) => return self.code(byte, after),
            (State::DoubleQuotes | State::Arithmetic(_) | State::HereDocument, _) => {}
        }
        after
    }

    fn parenthesis(&mut self, depth: u32, byte: u8) {
        self.states.pop();
        match (byte, depth) {
            (b'(', _) => self.states.push(State::Arithmetic(depth + 1)),
            (_, 2..) => self.states.push(State::Arithmetic(depth - 1)),
            _ => {}
        }
    }

    fn code<'a>(&mut self, byte: u8, after: &'a [u8]) -> &'a [u8] {
        let may_begin = std::mem::replace(&mut self.word_begins, b" \t\n;&|()<>".contains(&byte));
        let begins_case = may_begin && byte == b'c' && after.starts_with(b"ase");
        self.is_lost |= begins_case && !self.states.is_empty()
            || byte == b'(' && may_begin && after.starts_with(b"(")
            || byte == b'$' && after.starts_with(b"'");
        match byte {
            b'\'' => self.states.push(State::SingleQuotes),
            b'"' => self.states.push(State::DoubleQuotes),
            b'#' if may_begin => self.states.push(State::Comment),
            b'(' => self.states.push(State::Code),
            b')' => drop(self.states.pop()),
            b'\n' => self.newline(),
            b'<' if after.starts_with(b"<<") => return &after[2..],
            b'<' if after.starts_with(b"<") => return self.here_document(&after[1..]),
            _ => {}
        }
        after
    }

    /// Reads the delimiter of a here-document.
    fn here_document<'a>(&mut self, after: &'a [u8]) -> &'a [u8] {
        let strips_tabs = after.first() == Some(&b'-');
        let word = &after[usize::from(strips_tabs)..];
        let start = word.iter().take_while(|byte| b" \t".contains(byte)).count();
        let mut quote = None;
        let is_inside = |byte: &&u8| {
            quote = match quote {
                Some(open) if open == **byte => None,
                None if b"'\"".contains(byte) => Some(**byte),
                quote => quote,
            };
            quote.is_some() || !b" \t\n;&|()<>".contains(byte)
        };
        let length = word[start..].iter().take_while(is_inside).count();
        let (delimiter, rest) = word[start..].split_at(length);
        let is_quote = |byte: &u8| b"'\"\\".contains(byte);
        let delimiter = delimiter.iter().copied().filter(|byte| !is_quote(byte)).collect();
        self.documents.push(HereDocument { delimiter, strips_tabs });
        rest
    }

    /// The text of a here-document begins behind the line that announces it.
    fn newline(&mut self) {
        self.word_begins = true;
        if !self.documents.is_empty() {
            self.states.push(State::HereDocument);
        }
    }

    /// Reads a character of a here-document, which ends with a line that is its delimiter.
    fn document(&mut self, byte: u8) {
        if byte != b'\n' {
            return self.line.push(byte);
        }
        let line = std::mem::take(&mut self.line);
        let Some(document) = self.documents.first() else { return };
        let tabs = line.iter().take_while(|byte| **byte == b'\t').count();
        if line[if document.strips_tabs { tabs } else { 0 }..] == document.delimiter {
            self.documents.remove(0);
        }
        if self.documents.is_empty() {
            self.states.pop();
            self.word_begins = true;
        }
    }
}
