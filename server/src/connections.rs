//! The connections that are served now, with their processes.

use std::{collections::BTreeMap, net::IpAddr};

use pool::signal::Signal;
use process::{Process, ProcessHandle};
use text::units::show_duration;
use tokio::time::Instant;

use crate::{admission::origin, backend::Client};

/// The connections that are served, by the numbers of their clients.
#[derive(Debug, Default)]
pub(crate) struct Connections(BTreeMap<u64, Running>);

#[derive(Debug)]
struct Running {
    client: Client,
    pid: Option<i32>,
    handle: ProcessHandle,
    since: Instant,
}

impl Connections {
    pub(crate) fn insert(&mut self, client: Client, process: &Process) {
        let (pid, handle, since) = (process.pid(), process.handle(), Instant::now());
        self.0.insert(client.number, Running { client, pid, handle, since });
    }

    pub(crate) fn remove(&mut self, client: Client) {
        self.0.remove(&client.number);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The number of connections from the same origin as this address.
    pub(crate) fn count_from(&self, address: IpAddr) -> usize {
        let wanted = origin(address);
        self.0.values().filter(|running| origin(running.client.remote.ip()) == wanted).count()
    }

    /// Whether the process of any connection has ended, so that the connection is about to leave.
    pub(crate) fn has_ended(&self) -> bool {
        self.0.values().any(|running| running.handle.has_ended())
    }

    /// Announces to every process that the server stops, by a signal that programs ignore unless
    /// they handle it.
    pub(crate) fn announce_stop(&self) {
        self.0.values().for_each(|running| running.handle.signal(Signal::WINCH));
    }

    /// Asks every process to end.
    pub(crate) fn ask(&self) {
        self.0.values().for_each(|running| running.handle.ask(Signal::TERM));
    }

    /// Kills every process.
    pub(crate) fn kill(&self) {
        self.0.values().for_each(|running| running.handle.signal(Signal::KILL));
    }

    /// A line for each connection.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.values().map(|Running { client, pid, since, .. }| {
            format!("{}: for {}", client.name(*pid), show_duration(since.elapsed()))
        })
    }

    /// The number of connections, in words.
    pub(crate) fn count(&self) -> String {
        match self.len() {
            1 => "1 connection".into(),
            other => format!("{other} connections"),
        }
    }
}
