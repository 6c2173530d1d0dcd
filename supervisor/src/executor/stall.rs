//! Warns about a line worker that swallows its jobs, because it buffers its output.
//!
//! Nearly every program buffers its stdout while that is a pipe. It then reads its first job, keeps
//! the reply to itself and waits for more input, for ever. One look at the worker, a while after its
//! first job, recognises this.

use std::{
    cell::Cell,
    rc::{Rc, Weak},
    time::Duration,
};

use tokio::time::sleep;

use super::connection::Connection;
use crate::sink::{Outlet, Stream};
use pool::{event::WorkerId, hang::Seen};
use process::{ProcessHandle, tree::Tree};

/// Time from the first job of a worker to the look at it, unless a job may only take less.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// The watch over all line workers of a run. It warns once.
#[derive(Debug)]
pub(super) struct StallWatch {
    look_after: Duration,
    has_warned: Cell<bool>,
    outlet: Rc<Outlet>,
}

impl StallWatch {
    /// Watches workers whose jobs may take `timeout`.
    pub(super) fn new(timeout: Option<Duration>, outlet: Rc<Outlet>) -> Self {
        let look_after = timeout.map_or(LOOK_AFTER, |timeout| LOOK_AFTER.min(timeout / 2));
        Self { look_after, has_warned: Cell::new(false), outlet }
    }

    /// Watches a worker that is being sent its first job.
    pub(super) fn begin(
        self: &Rc<Self>,
        worker: WorkerId,
        leader: ProcessHandle,
        connection: &Rc<Connection>,
    ) {
        if !self.has_warned.get() {
            let connection = Rc::downgrade(connection);
            tokio::task::spawn_local(Rc::clone(self).look(worker, leader, connection));
        }
    }

    async fn look(
        self: Rc<Self>,
        worker: WorkerId,
        leader: ProcessHandle,
        connection: Weak<Connection>,
    ) {
        sleep(self.look_after).await;
        let Some(connection) = connection.upgrade() else { return };
        let Some(pid) = leader.pid().filter(|_| connection.is_swallowed()) else { return };
        let tree = Tree::of(pid, true).inspect();
        if let Some(waiting) = tree.iter().find(|seen| waits_for_input(seen))
            && !self.has_warned.replace(true)
        {
            let text = warning(worker, waiting);
            self.outlet.writer().push(Stream::Stderr, text.into_bytes());
        }
    }
}

/// Whether a process sleeps in a read of a pipe, as far as the kernel lets that be seen.
fn waits_for_input(seen: &Seen) -> bool {
    seen.state == 'S' && seen.wchan.as_ref().is_none_or(|wchan| wchan.contains("pipe_read"))
}

fn warning(worker: WorkerId, Seen { pid, name, .. }: &Seen) -> String {
    let name = text::escape::visible(name.as_bytes());
    format!(
        "supervisor: {name} ({worker}, PID {pid}) has read its first job and waits for more without \
         an answer: it probably buffers its output; make it write each line at once: stdbuf -oL \
         {name}, fflush() in awk (and mawk -W interactive), jq --unbuffered, sed -u, \
         grep --line-buffered, python3 -u\n"
    )
}
