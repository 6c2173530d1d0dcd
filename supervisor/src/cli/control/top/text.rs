//! How does a foreign text come onto the screen? As a line, cut where its room ends.

use ratatui::text::Span;
use text::escape::visible;

/// A text on one line, with nothing in it that a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    visible(text.as_bytes()).replace('\t', " ")
}

/// Its beginning, so wide at most; an ellipsis says that there is more.
pub(super) fn cut(text: &str, room: u16) -> String {
    let room = usize::from(room);
    if Span::raw(text).width() <= room {
        return text.into();
    }
    let (mut kept, mut width) = (String::new(), 1);
    for c in text.chars() {
        width += Span::raw(c.encode_utf8(&mut [0; 4]) as &str).width();
        if width > room {
            break;
        }
        kept.push(c);
    }
    if room > 0 {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_ends_with_an_ellipsis() {
        for (text, room, shown) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(cut(text, room), shown);
        }
    }

    #[test]
    fn nothing_a_terminal_obeys_is_left() {
        assert_eq!(plain("a\x1b[2J\tb\r\n\u{9b}c"), "a^[[2J b^M^J<U+009B>c");
    }
}
