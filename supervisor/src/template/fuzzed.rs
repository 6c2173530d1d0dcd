//! Fuzzes the reader of command lines.

use std::os::unix::ffi::OsStringExt;

use fuzz::{Checked, Did, Target};

use super::*;

/// The bits of the first byte are options; the words follow, with zero bytes between them.
fn command_lines() -> Target {
    let seeds = [
        &b"\x00gzip\0-c\0{}\0{.}.gz"[..],
        b"\x01echo {} > {/}.out; echo ${HOME} {#} {%}",
        b"\x02a\0b c\0'd'",
        b"\x0c{1} {2/.} {2//}\0,,",
        b"\x04,,\0x,,y",
    ];
    let words =
        &["{", "}", "{}", "{/.}", "{//}", "{#}", "{3}", "{0}", "{99}", "$", ",,", "'", "\\", " "];
    Target { name: "templates", seeds: seeds.map(<[u8]>::to_vec).into(), words }
}

/// What a shell makes of a line of words in single quotes.
fn unquoted(line: &[u8]) -> Vec<Vec<u8>> {
    let (mut words, mut is_quoted, mut rest) = (vec![Vec::new()], false, line);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\'' => is_quoted = !is_quoted,
            b'\\' if !is_quoted => {
                words.last_mut().unwrap().push(rest[0]);
                rest = &rest[1..];
            }
            b' ' if !is_quoted => words.push(Vec::new()),
            byte => words.last_mut().unwrap().push(*byte),
        }
    }
    words
}

/// A command line without placeholders stays as it is; any is shown as a user could type it.
fn check(input: &[u8], fill: impl Fn(&Template, Filling<'_>, &mut Words)) -> Checked {
    let Some((options, line)) = input.split_first() else { return Ok(Did::Refuse) };
    let words: Vec<_> = line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let reading = Reading {
        shell: options & 1 != 0,
        append: options & 2 != 0,
        replace: (options & 4 != 0).then_some(",,"),
        inputs: if options & 8 != 0 { 2 } else { 1 },
    };
    let typed: Vec<_> = words.iter().cloned().map(OsString::from_vec).collect();
    let template = match Template::read(&typed, reading) {
        Ok(template) => template,
        Err(error) if error.to_string().contains(text::escape::is_obeyed) => {
            return Err(format!("the message is {error}"));
        }
        Err(_) => return Ok(Did::Refuse),
    };
    let job = Filling { payload: b"dir/in put'.txt\0second", number: 7, slot: 2 };
    let (mut filled, mut shown) = (Words::default(), Vec::new());
    fill(&template, job, &mut filled);
    template.show(job, &mut shown);
    let filled: Vec<_> = filled.iter().map(<[u8]>::to_vec).collect();
    let is_plain = !reading.shell && !line.contains(&b'{') && !line.contains(&b',');
    if is_plain && filled[..words.len()] != words {
        return Err(format!("{filled:?} is executed"));
    }
    if !reading.shell && unquoted(&shown) != filled {
        return Err(format!("{} is shown for {filled:?}", shown.escape_ascii()));
    }
    Ok(Did::Accept)
}

#[test]
fn any_command_line_is_filled_as_it_is_shown_or_refused() {
    command_lines().fuzz(|input| check(input, Template::fill));
}

#[test]
fn a_word_that_loses_its_blanks_would_be_found() {
    command_lines().finds(|input| {
        check(input, |template, job, words| {
            template.fill(job, words);
            let trimmed: Vec<_> = words.iter().map(|word| word.trim_ascii_end().to_vec()).collect();
            *words = Words::default();
            trimmed.iter().for_each(|word| words.word(word));
        })
    });
}
