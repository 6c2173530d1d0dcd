//! The connections of the web server, of which there is a bounded number. When all are in use, a
//! new client replaces the oldest one that has not sent a request yet; without such a one, the
//! server closes the new connection.

use std::{cell::Cell, collections::VecDeque, rc::Rc};

use tokio::task::{AbortHandle, JoinSet};

/// The most connections that are open at once.
pub(super) const CLIENTS_MAX: usize = 128;

/// The open connections, oldest first.
#[derive(Debug, Default)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    open: VecDeque<(Connection, AbortHandle)>,
}

/// Whether a client has sent a request yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Connection(Rc<Cell<bool>>);

impl Connection {
    /// Notes that the client has sent a request.
    pub(super) fn has_requested(&self) {
        self.0.set(true);
    }
}

impl Connections {
    /// Serves a new client in a task of its own, if there is a connection to spare.
    pub(super) fn admit<F>(&mut self, serve: impl FnOnce(Connection) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|(_, task)| !task.is_finished());
        if self.open.len() >= CLIENTS_MAX {
            let silent = self.open.iter().position(|(connection, _)| !connection.0.get());
            let Some((_, task)) = silent.and_then(|at| self.open.remove(at)) else { return };
            task.abort();
        }
        let connection = Connection::default();
        let task = self.tasks.spawn_local(serve(connection.clone()));
        self.open.push_back((connection, task));
    }

    /// Waits until all clients have been served. Those without a request are disconnected.
    pub(super) async fn finish(mut self) {
        let silent = self.open.iter().filter(|(connection, _)| !connection.0.get());
        silent.for_each(|(_, task)| task.abort());
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::LocalSet;

    use super::*;

    #[test]
    fn a_new_client_replaces_the_oldest_that_sent_no_request() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let mut connections = Connections::default();
            let begun = Rc::new(Cell::new(0));
            let mut admit = |requests: bool| {
                connections.admit(|connection| {
                    if requests {
                        connection.has_requested();
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
            assert_eq!(begun.get(), CLIENTS_MAX + 1, "no connection is free for it");
        });
    }
}
