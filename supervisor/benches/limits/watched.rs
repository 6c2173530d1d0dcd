//! What does it cost to be watched? A client that follows all events over HTTP, another that follows
//! the board as the page does, one that follows events by the control socket, and a scrape of the
//! metrics each second.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use super::{
    command::Place,
    table::{Goal, Table, rate, turns},
};

const COUNT: usize = 10_000_000;
const NAME: &str = "benchmark-watched";
const OPTIONS: [&str; 4] = ["-w", "2", "--output", "none"];

pub(crate) fn watched(place: &Place, table: &mut Table) {
    let input = place.lines(COUNT);
    let rate_of =
        |options: &[&str]| COUNT as f64 / place.jobs(options, COUNT, &input, &["echo"]).wall;
    let socket = place.path("web");
    let serve = format!("unix:{}", socket.display());
    let watched = || {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for path in ["/events", "/events?only=board", "/metrics"] {
                scope.spawn(|| look_on(&socket, path, &is_over));
            }
            scope.spawn(|| follow(place, &is_over));
            let rate = rate_of(&[&OPTIONS[..], &["--serve", &serve, "--name", NAME]].concat());
            is_over.store(true, Ordering::Relaxed);
            rate
        })
    };
    let turns = turns(watched, || rate_of(&OPTIONS));
    let name = "10 M jobs, followed thrice and scraped each second";
    table.row(name, &turns, rate, &Goal::AtLeast(0.97, "of nobody looking on"));
}

/// Follows the run by its control socket, once it is there.
fn follow(place: &Place, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let _ = place.asking(&["events", "--run", NAME]).status();
        thread::sleep(Duration::from_millis(2));
    }
}

/// Asks for it, reads all there is, and asks again a second later.
fn look_on(socket: &Path, path: &str, is_over: &AtomicBool) {
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
