//! Divides the lines of the screen among the head, the table, the failures and the foot.

/// The first line of each part of the screen, and its number of lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    pub(super) head: (u16, u16),
    pub(super) table: (u16, u16),
    pub(super) failures: (u16, u16),
    pub(super) foot: (u16, u16),
}

/// Minimum height in lines of a screen with empty lines between the parts.
const SPACED_HEIGHT_MIN: u16 = 20;

impl Layout {
    /// Lays out a screen of `height` lines for these numbers of workers and failures. `is_asked`
    /// reserves the foot for a question or an answer on any screen.
    pub(super) fn new(height: u16, workers: usize, failures: usize, is_asked: bool) -> Self {
        let foot = u16::from(height >= 4 || (is_asked && height > 0));
        let above = height - foot;
        let head = match above {
            7.. => 3,
            5.. => 2,
            _ => above.min(1),
        };
        let gap = u16::from(height >= SPACED_HEIGHT_MIN);
        let rest = above - head - gap;
        let lines = |count: usize| u16::try_from(count).unwrap_or(u16::MAX).saturating_add(1);
        let failures = match failures {
            0 => 0,
            _ if rest < 6 => 0,
            count => {
                // A third of the lines; more if the table leaves some, fewer if there are fewer
                // failures.
                let spare = rest.saturating_sub(lines(workers) + gap);
                lines(count).min((rest / 3).max(spare).max(2))
            }
        };
        let below_table = if failures > 0 { failures + gap } else { 0 };
        let table = rest - below_table;
        let table_top = head + gap;
        Self {
            head: (0, head),
            table: (table_top, table),
            failures: (table_top + table + below_table - failures, failures),
            foot: (above, foot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_belongs_to_one_part_at_most() {
        for height in 0..200 {
            for (workers, failures, is_asked) in
                [(0, 0, false), (1, 0, true), (4, 3, false), (512, 1000, true), (9, 1000, false)]
            {
                let layout = Layout::new(height, workers, failures, is_asked);
                let parts = [layout.head, layout.table, layout.failures, layout.foot];
                let mut from = 0;
                for (y, lines) in parts {
                    assert!(y >= from, "{height}: {layout:?}");
                    from = y + lines;
                }
                assert!(from <= height, "{height}: {layout:?}");
                assert!(!is_asked || height == 0 || layout.foot.1 == 1);
            }
        }
    }

    #[test]
    fn the_table_gets_most_lines() {
        let layout = Layout::new(40, 512, 1000, false);
        assert_eq!(
            (layout.head, layout.table, layout.failures, layout.foot),
            ((0, 3), (4, 23), (28, 11), (39, 1))
        );
        let layout = Layout::new(40, 4, 1000, false);
        assert_eq!((layout.table, layout.failures), ((4, 5), (10, 29)));
        let layout = Layout::new(10, 9, 9, false);
        assert_eq!((layout.head, layout.table, layout.failures), ((0, 3), (3, 4), (7, 2)));
    }
}
