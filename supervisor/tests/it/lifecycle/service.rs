//! The run notifies a service manager of its state by sd_notify(3), and workers do not see the socket.

use std::{cell::RefCell, io::IoSliceMut, os::fd::AsRawFd, os::unix::net::UnixDatagram};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};

use crate::support::{PATIENCE, Run, Signal, runtime_dir::RuntimeDir};

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    received: RefCell<Vec<String>>,
    /// The processes that sent something.
    senders: RefCell<Vec<i32>>,
}

impl Manager {
    /// A service manager and a run that it starts.
    fn starts(run: Run) -> (Self, Run) {
        let path = run.scratch.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        setsockopt(&socket, sockopt::PassCred, &true).unwrap();
        let run = run.under(["env", &format!("NOTIFY_SOCKET={}", path.display())]);
        (Self { socket, received: RefCell::default(), senders: RefCell::default() }, run)
    }

    /// Waits for a message with this prefix.
    fn until(&self, prefix: &str) -> String {
        loop {
            let text = self.next().unwrap_or_else(|| panic!("no {prefix}: {:?}", self.received));
            self.received.borrow_mut().push(text.clone());
            if text.starts_with(prefix) {
                return text;
            }
        }
    }

    fn next(&self) -> Option<String> {
        let (mut buffer, mut control) = ([0; 4096], nix::cmsg_space!(libc::ucred));
        let mut into = [IoSliceMut::new(&mut buffer)];
        let from = self.socket.as_raw_fd();
        let message = recvmsg::<()>(from, &mut into, Some(&mut control), MsgFlags::empty()).ok()?;
        for credentials in message.cmsgs().unwrap() {
            if let ControlMessageOwned::ScmCredentials(sender) = credentials {
                self.senders.borrow_mut().push(sender.pid());
            }
        }
        let length = message.bytes;
        Some(str::from_utf8(&buffer[..length]).unwrap().to_owned())
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
    // A service manager believes only the process that it started.
    let main = run.pid();
    assert!(manager.senders.borrow().iter().all(|sender| *sender == main));
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
fn the_status_counts_the_workers_that_are_wanted() {
    let runs = RuntimeDir::new();
    let run = runs.run(Run::sh("exec sleep 600").with("--restart always --name it"));
    let words = ["env".to_owned(), format!("SUPERVISOR_RUNTIME_DIR={}", runs.path().display())];
    let (manager, run) = Manager::starts(run);
    let run = run.inside(words).start();
    manager.until("STATUS=1 of 1 workers up");
    runs.wait_for_run();
    runs.output(&["scale", "3"]);
    manager.until("STATUS=3 of 3 workers up");
    runs.output(&["scale", "1"]);
    manager.until("STATUS=1 of 1 workers up");
    runs.output(&["stop"]);
    run.finish();
}

#[test]
fn the_loop_gives_signs_of_life_to_a_watchdog() {
    let (manager, run) = Manager::starts(Run::sh("echo \"<$WATCHDOG_USEC>\"; exec sleep 600"));
    let run = run.inside(["env".to_owned(), "WATCHDOG_USEC=100000".into()]).start();
    for _ in 0..5 {
        manager.until("WATCHDOG=1\n");
    }
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert_eq!(run.lines()[0], "[1] <>");
}

#[test]
fn a_missing_service_manager_is_ignored() {
    let run = Run::sh("echo ran").under(["env", "NOTIFY_SOCKET=/nowhere/notify"]).finish();
    assert_eq!((run.code(), run.lines()[0]), (Some(0), "[1] ran"));
    let warning = "supervisor: the service manager is not notified: NOTIFY_SOCKET: No such";
    assert!(run.stderr.starts_with(warning), "{}", run.stderr);
}
