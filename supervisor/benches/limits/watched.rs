//! Measures the cost of observers: a client that follows all events over HTTP, one that follows the
//! board as the page does, one that follows events through the control socket, and one that scrapes
//! the metrics every second.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use super::{
    command::Workspace,
    table::{Goal, Table, rate, turns},
};

const COUNT: usize = 10_000_000;
const NAME: &str = "benchmark-watched";
const OPTIONS: [&str; 4] = ["-w", "2", "--output", "none"];

pub(crate) fn watched(workspace: &Workspace, table: &mut Table) {
    let input = workspace.lines(COUNT);
    let rate_of =
        |options: &[&str]| COUNT as f64 / workspace.jobs(options, COUNT, &input, &["echo"]).wall;
    let socket = workspace.path("web");
    let serve = format!("unix:{}", socket.display());
    let watched = || {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for path in ["/events", "/events?only=board", "/metrics"] {
                scope.spawn(|| observe(&socket, path, &is_over));
            }
            scope.spawn(|| follow(workspace, &is_over));
            let rate = rate_of(&[&OPTIONS[..], &["--serve", &serve, "--name", NAME]].concat());
            is_over.store(true, Ordering::Relaxed);
            rate
        })
    };
    let turns = turns(watched, || rate_of(&OPTIONS));
    let name = "10 M jobs, 3 followers, scraped every second";
    table.row(name, &turns, rate, &Goal::AtLeast(0.97, "of an unobserved run"));
}

/// Follows the run through its control socket, as soon as the socket exists.
fn follow(workspace: &Workspace, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let _ = workspace.control(&["events", "--run", NAME]).status();
        thread::sleep(Duration::from_millis(2));
    }
}

/// Requests a path, reads the whole answer, and requests it again one second later.
fn observe(socket: &Path, path: &str, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let pause = match ask(socket, path) {
            Ok(()) => Duration::from_secs(1),
            Err(_) => Duration::from_millis(2),
        };
        let mut waited = Duration::ZERO;
        while waited < pause && !is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(2));
            waited += Duration::from_millis(2);
        }
    }
}

fn ask(socket: &Path, path: &str) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut piece = vec![0; 64 << 10];
    while stream.read(&mut piece)? > 0 {}
    Ok(())
}
