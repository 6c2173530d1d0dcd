//! Which jobs do several lists make? One for each way to choose from them, made as they are
//! wanted: there may be more than anybody could hold.

use crate::{settings::Linked, template::INPUT_SEPARATOR};
use pool::job::Payload;

/// The choices of a product of lists, the last running fastest.
#[derive(Debug)]
pub(super) struct Product {
    lists: Vec<Linked>,
    /// The choice that comes next: where it stands in each list.
    next: Option<Vec<usize>>,
}

impl Product {
    pub(super) fn new(lists: Vec<Linked>) -> Self {
        let is_empty = lists.is_empty() || lists.iter().any(|linked| steps(linked) == 0);
        let next = (!is_empty).then(|| vec![0; lists.len()]);
        Self { lists, next }
    }
}

/// Lists that are linked are walked to the end of the shortest.
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
        // As a counter goes on: the last wheel first, and one that is through pulls the next.
        let wheels = places.iter_mut().zip(&self.lists).rev();
        let mut is_through = true;
        for (place, linked) in wheels {
            *place += 1;
            if *place < steps(linked) {
                is_through = false;
                break;
            }
            *place = 0;
        }
        if is_through {
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
    fn each_is_chosen_with_each_and_linked_lists_go_in_step() {
        assert_eq!(product(&[&[&["a", "b"]], &[&["1", "2"]]]), ["a 1", "a 2", "b 1", "b 2"]);
        assert_eq!(product(&[&[&["a", "b", "c"], &["1", "2"]]]), ["a 1", "b 2"]);
        assert_eq!(product(&[&[&["a"], &["1"]], &[&["x", "y"]]]), ["a 1 x", "a 1 y"]);
        assert_eq!(product(&[&[&["", "b"]]]), ["", "b"]);
        assert!(product(&[&[&["a"]], &[&[]]]).is_empty() && product(&[]).is_empty());
    }

    #[test]
    fn more_than_anybody_could_hold_is_no_more_than_a_few() {
        let list: Vec<_> = (0..1000).map(|n| n.to_string().into()).collect();
        let mut product = Product::new(vec![vec![list]; 6]);
        assert_eq!(product.nth(1001).unwrap().as_bytes(), b"0\x000\x000\x000\x001\x001");
    }

    proptest! {
        #[test]
        fn it_has_as_many_as_the_source_says(
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
