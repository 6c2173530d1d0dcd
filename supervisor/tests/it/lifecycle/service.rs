//! The run notifies a service manager of its state by sd_notify(3), and workers do not see the socket.

use std::{cell::RefCell, os::unix::net::UnixDatagram};

use crate::support::{PATIENCE, Run, Signal};

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    received: RefCell<Vec<String>>,
}

impl Manager {
    /// A service manager and a run that it starts.
    fn starts(run: Run) -> (Self, Run) {
        let path = run.scratch.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let run = run.under(["env", &format!("NOTIFY_SOCKET={}", path.display())]);
        (Self { socket, received: RefCell::default() }, run)
    }

    /// Waits for a message with this prefix.
    fn until(&self, prefix: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self.socket.recv(&mut buffer);
            let length = length.unwrap_or_else(|_| panic!("no {prefix}: {:?}", self.received));
            let text = str::from_utf8(&buffer[..length]).unwrap().to_owned();
            self.received.borrow_mut().push(text.clone());
            if text.starts_with(prefix) {
                return text;
            }
        }
    }

    /// The messages received, without `STATUS`.
    fn phases(&self) -> Vec<String> {
        let received = self.received.borrow();
        let first = received.iter().filter_map(|text| text.split('=').next());
        first.filter(|name| *name != "STATUS").map(Into::into).collect()
    }
}

#[test]
fn sd_notify_reports_readiness_reload_and_stop() {
    let run = Run::sh("echo \"<$NOTIFY_SOCKET>\"; exec sleep 600");
    let (manager, run) = Manager::starts(run.with("-w 2 --restart always --grace 1s"));
    let run = run.start();
    manager.until("READY=1\n");
    manager.until("STATUS=2 of 2 workers up");
    run.signal(Signal::SIGHUP);
    let reloading = manager.until("RELOADING=1\n");
    let (_, time) = reloading.split_once("MONOTONIC_USEC=").unwrap();
    assert!(time.trim().parse::<u64>().unwrap() > 0, "{reloading}");
    manager.until("READY=1\n");
    run.signal(Signal::SIGTERM);
    manager.until("STOPPING=1\n");
    let run = run.finish();
    assert_eq!(manager.phases(), ["READY", "RELOADING", "READY", "STOPPING"]);
    let printed = run.lines().into_iter().filter(|line| line.ends_with("] <>"));
    assert_eq!(printed.count(), 4, "workers do not see it: {}", run.stdout_text());
}

#[test]
fn sd_notify_reports_the_progress_of_jobs() {
    let (run, mut feed) = Run::worker("echo").with("-w 1").fed_live();
    let (manager, run) = Manager::starts(run);
    let run = run.start();
    manager.until("READY=1\n");
    (0..10).for_each(|_| feed.push("x"));
    manager.until("STATUS=1 of 1 workers up; jobs: 10 done\n");
    drop(feed);
    manager.until("STOPPING=1\n");
    manager.until("STATUS=0 of 1 workers up; jobs: 10 done\n");
    assert_eq!(run.finish().code(), Some(0));
}

#[test]
fn a_missing_service_manager_is_ignored() {
    let run = Run::sh("echo ran").under(["env", "NOTIFY_SOCKET=/nowhere/notify"]).finish();
    assert_eq!((run.code(), run.lines()[0]), (Some(0), "[1] ran"));
    let warning = "supervisor: the service manager is not notified: NOTIFY_SOCKET: No such";
    assert!(run.stderr.starts_with(warning), "{}", run.stderr);
}
