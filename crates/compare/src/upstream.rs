//! The upstream that answers the HTTP requests of jobs. It runs in a thread of the process that
//! compares, so that none of the ways pays for it.

use std::{io, net::TcpListener, thread};

use connection::upstream;
use tokio::runtime::Builder;

/// Starts the upstream on a loopback port and returns its URL. It serves until this process ends.
pub(super) fn start() -> io::Result<String> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let serve = move || runtime.block_on(upstream::serve(listener)).map(drop);
    thread::Builder::new().name("compare-upstream".into()).spawn(serve)?;
    Ok(format!("http://{address}"))
}
