//! Prepares foreign text for the screen: on one line, without control characters, cut to a width.

use ratatui::text::Span;
use text::escape::visible;

/// Returns the text on one line, with control characters made visible.
pub(super) fn plain(text: &str) -> String {
    visible(text.as_bytes()).replace('\t', " ")
}

/// Cuts a text to `width_max` columns; an ellipsis marks the cut.
pub(super) fn cut(text: &str, width_max: u16) -> String {
    let width_max = usize::from(width_max);
    if Span::raw(text).width() <= width_max {
        return text.into();
    }
    let (mut kept, mut width) = (String::new(), 1);
    for c in text.chars() {
        width += Span::raw(c.encode_utf8(&mut [0; 4]) as &str).width();
        if width > width_max {
            break;
        }
        kept.push(c);
    }
    if width_max > 0 {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_text_ends_with_an_ellipsis() {
        for (text, width_max, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(cut(text, width_max), expected);
        }
    }

    #[test]
    fn control_characters_are_made_visible() {
        assert_eq!(plain("a\x1b[2J\tb\r\n\u{9b}c"), "a^[[2J b^M^J<U+009B>c");
    }
}
