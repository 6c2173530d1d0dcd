//! The set of jobs whose outcome has been written, stored as ranges. Jobs end nearly in the order in
//! which they began, so there are few ranges, however many jobs there are.

use std::collections::BTreeMap;

/// A set of job numbers.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Ranges(BTreeMap<u64, u64>);

/// A change of the ranges that must be written to the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// The range from the first to the second number is new, or its end has changed.
    Put(u64, u64),
    /// The range that began here no longer exists.
    Gone(u64),
}

impl Ranges {
    /// Whether the set contains this number.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        let before = self.0.range(..=number).next_back();
        before.is_some_and(|(_, last)| *last >= number)
    }

    /// Returns the ranges in order, each with its first and last number.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(first, last)| (*first, *last))
    }

    /// Returns the number of elements.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Adds the numbers from `first` to `last`, and calls `changed` for each range that changed.
    pub(super) fn add(&mut self, first: u64, last: u64, mut changed: impl FnMut(Change)) {
        let (mut from, mut to) = (first, last);
        // Merges every range that touches the new one, from the right.
        let upto = last.saturating_add(1);
        while let Some((start, end)) = self.0.range(..=upto).next_back().map(|(a, b)| (*a, *b)) {
            if end.saturating_add(1) < from {
                break;
            }
            self.0.remove(&start);
            if start < from {
                from = start;
            } else if start > from {
                changed(Change::Gone(start));
            }
            to = to.max(end);
        }
        self.0.insert(from, to);
        changed(Change::Put(from, to));
    }

    /// Removes a number, and calls `changed` for each range that changed.
    pub(super) fn remove(&mut self, number: u64, mut changed: impl FnMut(Change)) {
        let Some((&first, &last)) = self.0.range(..=number).next_back() else { return };
        if last < number {
            return;
        }
        self.0.remove(&first);
        if first < number {
            self.0.insert(first, number - 1);
            changed(Change::Put(first, number - 1));
        } else {
            changed(Change::Gone(first));
        }
        if number < last {
            self.0.insert(number + 1, last);
            changed(Change::Put(number + 1, last));
        }
    }

    /// Adds a range that was read from the file. Returns false if it is invalid or touches the range
    /// before it.
    pub(super) fn append(&mut self, first: u64, last: u64) -> bool {
        let before = self.0.last_key_value().map(|(_, end)| *end);
        let fits = first <= last && before.is_none_or(|end| end.saturating_add(1) < first);
        if fits {
            self.0.insert(first, last);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_behave_as_a_set_and_report_every_change(
            steps in prop::collection::vec((any::<bool>(), 0u64..40, 0u64..6), 0..60),
        ) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            let mut copy = BTreeMap::new();
            for (add, number, more) in steps {
                let mut change = |change| match change {
                    Change::Put(first, last) => drop(copy.insert(first, last)),
                    Change::Gone(first) => assert!(copy.remove(&first).is_some()),
                };
                if add {
                    ranges.add(number, number + more, &mut change);
                    set.extend(number..=number + more);
                } else {
                    ranges.remove(number, &mut change);
                    set.remove(&number);
                }
                prop_assert_eq!(&ranges.0, &copy);
                prop_assert_eq!(ranges.count(), set.len() as u64);
                prop_assert!((0..50).all(|n| ranges.contains(n) == set.contains(&n)));
                let mut read = Ranges::default();
                prop_assert!(ranges.iter().all(|(first, last)| read.append(first, last)));
                prop_assert_eq!(&read, &ranges);
            }
        }
    }
}
