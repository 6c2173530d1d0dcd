//! What several of the tests need: an upstream to ask, and a runtime.

use std::{thread, time::Duration};

use connection::upstream;
use tokio::runtime::{Builder, Runtime};

/// Limit for everything that a test waits for. Nothing takes a tenth of it, even under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the built-in upstream in a thread that lasts as long as the tests: `http://ADDRESS`.
pub(crate) fn upstream() -> String {
    let (listener, url) = upstream::bind().unwrap();
    thread::spawn(move || runtime().block_on(upstream::serve(listener)));
    format!("http://{}", url.authority())
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
