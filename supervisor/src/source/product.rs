//! Combines several lists into jobs: one for each combination. Jobs are made on demand, because all
//! of them may not fit into memory.

use crate::{settings::Linked, template::INPUT_SEPARATOR};
use pool::job::Payload;

/// Iterates over the combinations; the last list varies fastest.
#[derive(Debug)]
pub(super) struct Product {
    lists: Vec<Linked>,
    /// The next combination, as an index into each list.
    next: Option<Vec<usize>>,
}

impl Product {
    pub(super) fn new(lists: Vec<Linked>) -> Self {
        let is_empty = lists.is_empty() || lists.iter().any(|linked| steps(linked) == 0);
        let next = (!is_empty).then(|| vec![0; lists.len()]);
        Self { lists, next }
    }
}

/// Returns the length of linked lists, which is that of the shortest.
fn steps(linked: &Linked) -> usize {
    linked.iter().map(Vec::len).min().unwrap_or(0)
}

impl Iterator for Product {
    type Item = Payload;

    fn next(&mut self) -> Option<Payload> {
        let places = self.next.as_mut()?;
        let mut payload = Vec::new();
        for (linked, place) in self.lists.iter().zip(&*places) {
            for list in linked {
                payload.extend_from_slice(list[*place].as_encoded_bytes());
                payload.push(INPUT_SEPARATOR);
            }
        }
        payload.pop();
        // Advances like a counter: the last index first, with a carry to the one before it.
        let digits = places.iter_mut().zip(&self.lists).rev();
        let mut is_carry = true;
        for (place, linked) in digits {
            *place += 1;
            if *place < steps(linked) {
                is_carry = false;
                break;
            }
            *place = 0;
        }
        if is_carry {
            self.next = None;
        }
        Some(Payload::copy(&payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn product(lists: &[&[&[&str]]]) -> Vec<String> {
        let list = |list: &&[&str]| list.iter().map(Into::into).collect::<Vec<_>>();
        let lists = lists.iter().map(|linked| linked.iter().map(list).collect()).collect();
        let text = |job: Payload| String::from_utf8(job.as_bytes().to_vec()).unwrap();
        Product::new(lists).map(|job| text(job).replace('\0', " ")).collect()
    }

    #[test]
    fn lists_are_combined_and_linked_lists_walked_in_step() {
        assert_eq!(product(&[&[&["a", "b"]], &[&["1", "2"]]]), ["a 1", "a 2", "b 1", "b 2"]);
        assert_eq!(product(&[&[&["a", "b", "c"], &["1", "2"]]]), ["a 1", "b 2"]);
        assert_eq!(product(&[&[&["a"], &["1"]], &[&["x", "y"]]]), ["a 1 x", "a 1 y"]);
        assert_eq!(product(&[&[&["", "b"]]]), ["", "b"]);
        assert!(product(&[&[&["a"]], &[&[]]]).is_empty() && product(&[]).is_empty());
    }

    #[test]
    fn a_huge_product_is_made_on_demand() {
        let list: Vec<_> = (0..1000).map(|n| n.to_string().into()).collect();
        let mut product = Product::new(vec![vec![list]; 6]);
        assert_eq!(product.nth(1001).unwrap().as_bytes(), b"0\x000\x000\x000\x001\x001");
    }

    proptest! {
        #[test]
        fn the_length_is_the_count_of_the_source(
            lengths in prop::collection::vec(prop::collection::vec(0usize..4, 1..3), 1..4),
        ) {
            let list = |length: &usize| vec!["x".into(); *length];
            let lists: Vec<Linked> =
                lengths.iter().map(|linked| linked.iter().map(list).collect()).collect();
            let count = crate::settings::JobSource::Product(lists.clone()).count();
            prop_assert_eq!(Product::new(lists).count() as u64, count.unwrap());
        }
    }
}
