//! Makes control characters of foreign text visible before it is shown on a terminal: a worker's
//! output must not move the cursor, set the title, or reverse the order of letters.

use std::fmt::Write;

/// Returns the text with every character written out that a terminal would obey: `^[` for escape,
/// `<U+202E>` for characters that change the writing direction, `\xff` for bytes that are not
/// UTF-8. Tabs are kept.
#[must_use]
pub fn visible(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut out, c));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Returns the beginning of the text, at most `bytes_max` bytes of it, like [`visible`]. A text that
/// is longer ends with `…`.
#[must_use]
pub fn visible_start(text: &[u8], bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return visible(text);
    }
    // A character of up to four bytes is not cut in two.
    let is_boundary = |at: &usize| text[*at] & 0xc0 != 0x80;
    let end = (bytes_max.saturating_sub(3)..=bytes_max).rev().find(is_boundary);
    visible(&text[..end.unwrap_or(bytes_max)]) + "…"
}

fn push(out: &mut String, c: char) {
    match c {
        '\t' => out.push(c),
        // C0 is shown as a caret and the character 64 code points further on.
        '\0'..='\x1f' => out.extend(['^', char::from_u32(c as u32 + 64).unwrap_or('?')]),
        '\x7f' => out.push_str("^?"),
        c if is_obeyed(c) => {
            let _ = write!(out, "<U+{:04X}>", c as u32);
        }
        c => out.push(c),
    }
}

/// Whether a terminal does anything with a character except show it. This holds for control
/// characters, and for what Unicode calls bidirectional controls and line separators.
#[must_use]
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(visible_start("añb".as_bytes(), 4), "añb");
        assert_eq!(visible_start("añb".as_bytes(), 3), "añ…");
        assert_eq!(visible_start("añb".as_bytes(), 2), "a…");
        assert_eq!(visible_start(&[0x80; 9], 5), "\\x80".repeat(5) + "…");
        assert_eq!(visible_start(b"ab", 0), "…");
    }

    #[test]
    fn nothing_a_terminal_obeys_is_left() {
        for (text, shown) in [
            (&b"plain \xc3\xa9\t!"[..], "plain é\t!"),
            (b"\x1b[31mred", "^[[31mred"),
            (b"a\rb\x7f\0", "a^Mb^?^@"),
            ("\u{9b}31m \u{202e}abc".as_bytes(), "<U+009B>31m <U+202E>abc"),
            (b"\xff\xfe", "\\xff\\xfe"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }
}
