//! Which lines of the screen are whose?

/// Where each part begins, and how many lines it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rooms {
    pub(super) head: (u16, u16),
    pub(super) table: (u16, u16),
    pub(super) failures: (u16, u16),
    pub(super) foot: (u16, u16),
}

/// From so many lines on, parts stand apart.
const ROOMY: u16 = 20;

impl Rooms {
    /// On a screen so high, with so many workers and failures; what is asked is shown in any case.
    pub(super) fn of(height: u16, workers: usize, failures: usize, is_asked: bool) -> Self {
        let foot = u16::from(height >= 4 || (is_asked && height > 0));
        let above = height - foot;
        let head = match above {
            7.. => 3,
            5.. => 2,
            _ => above.min(1),
        };
        let gap = u16::from(height >= ROOMY);
        let rest = above - head - gap;
        let lines = |count: usize| u16::try_from(count).unwrap_or(u16::MAX).saturating_add(1);
        let failures = match failures {
            0 => 0,
            _ if rest < 6 => 0,
            count => {
                // A third; more where the table does not need it, less where there are fewer.
                let spare = rest.saturating_sub(lines(workers) + gap);
                lines(count).min((rest / 3).max(spare).max(2))
            }
        };
        let below = if failures > 0 { failures + gap } else { 0 };
        let table = rest - below;
        let from = head + gap;
        Self {
            head: (0, head),
            table: (from, table),
            failures: (from + table + below - failures, failures),
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
                let rooms = Rooms::of(height, workers, failures, is_asked);
                let parts = [rooms.head, rooms.table, rooms.failures, rooms.foot];
                let mut from = 0;
                for (y, lines) in parts {
                    assert!(y >= from, "{height}: {rooms:?}");
                    from = y + lines;
                }
                assert!(from <= height, "{height}: {rooms:?}");
                assert!(!is_asked || height == 0 || rooms.foot.1 == 1);
            }
        }
    }

    #[test]
    fn the_table_has_most_of_it() {
        let rooms = Rooms::of(40, 512, 1000, false);
        assert_eq!(
            (rooms.head, rooms.table, rooms.failures, rooms.foot),
            ((0, 3), (4, 23), (28, 11), (39, 1))
        );
        let rooms = Rooms::of(40, 4, 1000, false);
        assert_eq!((rooms.table, rooms.failures), ((4, 5), (10, 29)));
        let rooms = Rooms::of(10, 9, 9, false);
        assert_eq!((rooms.head, rooms.table, rooms.failures), ((0, 3), (3, 4), (7, 2)));
    }
}
