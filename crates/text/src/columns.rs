//! Arranges text for a terminal: tables with aligned columns that fit the width of the terminal, and
//! text cut in the middle, where the beginning and the end tell most.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns between two cells of a row.
const GAP: usize = 2;
/// The smallest width to which a cell of free text is cut, unless the text is shorter.
const TEXT_WIDTH_MIN: usize = 12;

/// A column of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Column {
    name: &'static str,
    kind: Kind,
    /// The column with the highest rank is omitted first if the table is too wide; 0 is always shown.
    rank: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Aligned left.
    Word,
    /// Aligned right.
    Number,
    /// Aligned left, and cut in the middle if the table is too wide.
    Text,
}

impl Column {
    /// A column of words, which are aligned left.
    #[must_use]
    pub const fn word(name: &'static str) -> Self {
        Self { name, kind: Kind::Word, rank: 0 }
    }

    /// A column of numbers, which are aligned right.
    #[must_use]
    pub const fn number(name: &'static str) -> Self {
        Self { name, kind: Kind::Number, rank: 0 }
    }

    /// A column of free text, which is cut in the middle if the table is too wide.
    #[must_use]
    pub const fn text(name: &'static str) -> Self {
        Self { name, kind: Kind::Text, rank: 0 }
    }

    /// Allows that the column is omitted. Of several such columns, the one with the highest rank is
    /// omitted first.
    #[must_use]
    pub const fn omitted_by_rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }
}

/// Renders a table with a line of headings and a final newline. `width` is the number of columns of the
/// terminal; `None` cuts and omits nothing.
#[must_use]
pub fn table<R: AsRef<[String]>>(columns: &[Column], rows: &[R], width: Option<usize>) -> String {
    let natural = |(at, column): (usize, &Column)| {
        let cells = rows.iter().filter_map(|row| row.as_ref().get(at));
        cells.map(|cell| cell.width()).max().unwrap_or(0).max(column.name.width())
    };
    let widths: Vec<_> = columns.iter().enumerate().map(natural).collect();
    let layout = Layout::new(columns, &widths, width);
    let mut out = layout.head();
    rows.iter().for_each(|row| out.push_str(&layout.line(row.as_ref())));
    out
}

/// The widths of the columns of a table whose rows are not all known at the start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Each column with its width; `None` if it is omitted.
    columns: Vec<(Column, Option<usize>)>,
    /// The width of the terminal.
    width: Option<usize>,
}

impl Layout {
    /// Distributes the width of a terminal among columns that would like to have the given widths.
    #[must_use]
    pub fn new(columns: &[Column], wanted: &[usize], width: Option<usize>) -> Self {
        let available = width.unwrap_or(usize::MAX);
        let mut shown: Vec<bool> = vec![true; columns.len()];
        let least = |at: usize| match columns[at].kind {
            Kind::Text => wanted[at].min(TEXT_WIDTH_MIN),
            Kind::Word | Kind::Number => wanted[at],
        };
        let needed = |shown: &[bool]| {
            let widths = (0..columns.len()).filter(|at| shown[*at]).map(|at| least(at) + GAP);
            widths.sum::<usize>().saturating_sub(GAP)
        };
        while needed(&shown) > available {
            let droppable = (0..columns.len()).filter(|at| shown[*at] && columns[*at].rank > 0);
            let Some(at) = droppable.max_by_key(|at| columns[*at].rank) else { break };
            shown[at] = false;
        }
        let mut spare = available.saturating_sub(needed(&shown));
        let mut widths: Vec<_> =
            (0..columns.len()).map(|at| shown[at].then(|| least(at))).collect();
        // The texts share what is left; a short text leaves its share to the longer ones.
        let mut texts: Vec<_> = (0..columns.len()).filter(|at| least(*at) < wanted[*at]).collect();
        texts.retain(|at| shown[*at]);
        texts.sort_by_key(|at| wanted[*at]);
        let count = texts.len();
        for (done, at) in texts.into_iter().enumerate() {
            let more = (wanted[at] - least(at)).min(spare / (count - done));
            widths[at] = Some(least(at) + more);
            spare -= more;
        }
        Self { columns: columns.iter().copied().zip(widths).collect(), width }
    }

    /// The line of headings.
    #[must_use]
    pub fn head(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(column, _)| column.name.to_owned()).collect();
        self.line(&names)
    }

    /// A row, with a final newline.
    #[must_use]
    pub fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for ((column, width), cell) in self.columns.iter().zip(cells) {
            let Some(width) = *width else { continue };
            if !line.is_empty() {
                line.push_str("  ");
            }
            let cell = match column.kind {
                Kind::Text if self.width.is_some() => cut_middle(cell, width),
                Kind::Text | Kind::Word | Kind::Number => Cow::Borrowed(cell.as_str()),
            };
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            match column.kind {
                Kind::Number => line.extend([&padding, cell.as_ref()]),
                Kind::Word | Kind::Text => line.extend([cell.as_ref(), &padding]),
            }
        }
        let line = line.trim_end();
        let line = self.width.map_or(Cow::Borrowed(line), |width| cut_end(line, width));
        line.into_owned() + "\n"
    }
}

/// Breaks long lines between words, for a terminal of this width if there is one. What a line continues
/// with is indented like its beginning.
#[must_use]
pub fn wrap(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let fill = |line: &str| {
        let indent = &line[..line.len() - line.trim_start_matches(' ').len()];
        let options = textwrap::Options::new(width).subsequent_indent(indent);
        textwrap::fill(line, options)
    };
    text.split('\n').map(fill).collect::<Vec<_>>().join("\n")
}

/// Cuts a text to a width by replacing its middle with `…`.
#[must_use]
pub fn cut_middle(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let kept = width.saturating_sub(1);
    let head = prefix(text.chars(), kept.div_ceil(2));
    let tail = prefix(text.chars().rev(), kept / 2);
    let tail = tail.chars().rev();
    Cow::Owned(head.chars().chain(['…']).chain(tail).collect())
}

/// Cuts a text to a width by replacing its end with `…`.
#[must_use]
pub fn cut_end(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    Cow::Owned(prefix(text.chars(), width.saturating_sub(1)) + "…")
}

/// Returns the first characters, which are together at most `width` columns wide.
fn prefix(chars: impl Iterator<Item = char>, width: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    chars.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::word("worker"),
        Column::number("PID"),
        Column::number("restarts").omitted_by_rank(1),
        Column::text("input"),
    ];

    fn rows() -> Vec<[String; 4]> {
        let input = "photos/2024/holiday/img-17.jpg";
        vec![
            ["w1.1", "4122", "0", input].map(String::from),
            ["w12.1", "99", "17", "a"].map(String::from),
        ]
    }

    #[test]
    fn words_are_aligned_left_and_numbers_right() {
        let text = "\
worker   PID  restarts  input
w1.1    4122         0  photos/2024/holiday/img-17.jpg
w12.1     99        17  a
";
        assert_eq!(table(&COLUMNS, &rows(), None), text);
        assert_eq!(table(&COLUMNS, &rows(), Some(54)), text);
    }

    #[test]
    fn a_narrow_table_cuts_its_texts_in_the_middle_and_then_omits_columns() {
        let text = "\
worker   PID  restarts  input
w1.1    4122         0  photos/2…-17.jpg
w12.1     99        17  a
";
        assert_eq!(table(&COLUMNS, &rows(), Some(40)), text);
        let text = "\
worker   PID  input
w1.1    4122  photos/…17.jpg
w12.1     99  a
";
        assert_eq!(table(&COLUMNS, &rows(), Some(28)), text);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 1..60 {
            let wide = [["漢字".repeat(9), "1".into(), "2".into(), "ß".repeat(70)]];
            for text in [table(&COLUMNS, &rows(), Some(width)), table(&COLUMNS, &wide, Some(width))]
            {
                assert!(text.lines().all(|line| line.width() <= width), "{width}: {text}");
                assert_eq!(text.lines().count(), text.matches('\n').count());
            }
        }
    }

    #[test]
    fn long_lines_break_between_words_and_keep_their_indent() {
        let text = "job 17 failed\n  attempt 1: it died\n";
        assert_eq!(wrap(text, None), text);
        assert_eq!(wrap(text, Some(13)), "job 17 failed\n  attempt 1:\n  it died\n");
        let word = wrap("abcdefghijklmnop", Some(5));
        assert!(word.lines().all(|line| line.width() <= 5), "{word}");
    }

    #[test]
    fn a_cut_keeps_the_beginning_and_the_end() {
        for (width, text) in [(9, "abcdefghi"), (8, "abcd…ghi"), (3, "a…i"), (2, "a…"), (1, "…")]
        {
            assert_eq!(cut_middle("abcdefghi", width), text);
        }
        assert_eq!(cut_end("abcdefghi", 4), "abc…");
        assert_eq!(cut_middle("漢字漢字", 5), "漢…字");
    }
}
