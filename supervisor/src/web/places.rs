//! How many clients are there, and who makes way? Bounded; when all places are taken, the oldest that
//! has not yet asked for anything does, and where there is none, whoever comes is turned away.

use std::{cell::Cell, collections::VecDeque, rc::Rc};

use tokio::task::{AbortHandle, JoinSet};

/// So many clients at once.
pub(super) const CLIENTS_MAX: usize = 128;

/// Those who are there.
#[derive(Debug, Default)]
pub(super) struct Places {
    tasks: JoinSet<()>,
    taken: VecDeque<(Place, AbortHandle)>,
}

/// One client's.
#[derive(Clone, Debug, Default)]
pub(super) struct Place(Rc<Cell<bool>>);

impl Place {
    /// It has asked for something.
    pub(super) fn ask(&self) {
        self.0.set(true);
    }
}

impl Places {
    /// Lets one in, if it can be done.
    pub(super) fn admit<F>(&mut self, converse: impl FnOnce(Place) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        while self.tasks.try_join_next().is_some() {}
        self.taken.retain(|(_, task)| !task.is_finished());
        if self.taken.len() >= CLIENTS_MAX {
            let silent = self.taken.iter().position(|(place, _)| !place.0.get());
            let Some((_, task)) = silent.and_then(|at| self.taken.remove(at)) else { return };
            task.abort();
        }
        let place = Place::default();
        let task = self.tasks.spawn_local(converse(place.clone()));
        self.taken.push_back((place, task));
    }

    /// Waits until all have gone.
    pub(super) async fn finish(mut self) {
        // Those who have asked for nothing are not waited for.
        self.taken.iter().filter(|(place, _)| !place.0.get()).for_each(|(_, task)| task.abort());
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::LocalSet;

    use super::*;

    #[test]
    fn the_oldest_that_says_nothing_makes_way() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let mut places = Places::default();
            let begun = Rc::new(Cell::new(0));
            let mut admit = |speaks: bool| {
                places.admit(|place| {
                    if speaks {
                        place.ask();
                    }
                    begun.set(begun.get() + 1);
                    pending()
                });
            };
            admit(false);
            (1..CLIENTS_MAX).for_each(|_| admit(true));
            admit(true);
            assert_eq!(begun.get(), CLIENTS_MAX + 1);
            admit(true);
            assert_eq!(begun.get(), CLIENTS_MAX + 1, "none makes way for it");
        });
    }
}
