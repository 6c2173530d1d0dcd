//! `supervisor top` shows and changes a run from a terminal, and restores the terminal afterwards.

use std::{
    cell::Cell,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
};

use crate::support::{
    Run, Running, SUPERVISOR, Signal, files::Scratch, pid, procfs, send, tap::Tap,
    terminal::Terminal, until,
};
use nix::sys::termios::{Termios, tcgetattr};

const PLACE: &str = "SUPERVISOR_RUNTIME_DIR";

/// The sequence that hides the cursor, which `top` writes once it draws.
const DRAWN: &str = "\x1b[?25l";

/// A `supervisor top` on a terminal, watching the only run of a runtime directory.
struct Watcher {
    terminal: Terminal,
    before: Termios,
    shown: Tap,
    top: Child,
    columns: Cell<u32>,
}

/// How `top` ended, and everything that it showed.
struct Watched {
    status: ExitStatus,
    shown: String,
    is_restored: bool,
}

impl Watcher {
    fn new(place: &Scratch, no_color: &str) -> Self {
        let terminal = Terminal::open();
        let columns = Cell::new(100);
        resize(&terminal, &columns);
        let before = tcgetattr(terminal.line()).unwrap();
        let mut command = Command::new("setsid");
        command.args(["--ctty", SUPERVISOR, "top", "--run", "it"]);
        command.envs([(PLACE, place.path().join("runs").to_str().unwrap()), ("TERM", "xterm")]);
        command.env("NO_COLOR", no_color);
        command.stdin(terminal.line()).stdout(terminal.line()).stderr(terminal.line());
        let (top, shown) = (command.spawn().unwrap(), terminal.shown());
        shown.until("a first picture", |text| text.contains(DRAWN).then_some(()));
        Self { terminal, before, shown, top, columns }
    }

    /// Waits until this text is on the screen. `top` draws only changes, so a resize makes it redraw
    /// everything.
    fn sees(&self, words: &[&str]) {
        until(&format!("{words:?} on the screen: {}", self.shown.text()), || {
            let from = self.shown.text().len();
            resize(&self.terminal, &self.columns);
            send(self.top.id().cast_signed(), Signal::SIGWINCH);
            let drawn = |text: &str| {
                let picture = text.get(from..)?.split_once("\x1b[2J")?.1;
                Some(picture.split_once(DRAWN)?.0.to_owned())
            };
            let picture = self.shown.until("a picture", drawn);
            words.iter().all(|word| picture.contains(word))
        });
    }

    fn finish(mut self) -> Watched {
        let mut status = None;
        until("the end of top", || {
            status = self.top.try_wait().unwrap();
            status.is_some()
        });
        let is_restored = tcgetattr(self.terminal.line()).unwrap() == self.before;
        drop(self.terminal);
        let shown = String::from_utf8(self.shown.rest()).unwrap();
        let is_restored =
            is_restored && shown.contains("\x1b[?1049l") && shown.contains("\x1b[?25h");
        Watched { status: status.unwrap(), shown, is_restored }
    }
}

/// Makes the window one column wider.
fn resize(terminal: &Terminal, columns: &Cell<u32>) {
    columns.set(columns.get() + 1);
    let size = ["rows", "24", "cols", &columns.get().to_string()].map(str::to_owned);
    let status = Command::new("stty").args(size).stdin(terminal.line()).status().unwrap();
    assert!(status.success());
}

/// A run of two workers that stay up.
fn up(place: &Scratch, options: &str) -> Running {
    let run = Run::sh("echo up; exec sleep 1000").with("-w 2 --name it").with(options).jsonl();
    let at = format!("{PLACE}={}", place.path().join("runs").display());
    let run = run.under(["env", &at]).start();
    (1..=2).for_each(|worker| run.stdout.line(worker, "up"));
    until("a socket", || {
        std::fs::read_dir(place.path().join("runs")).is_ok_and(|all| all.count() > 1)
    });
    run
}

#[test]
fn top_kills_a_worker_and_follows_the_run_to_its_end() {
    let place = Scratch::new();
    let run = up(&place, "--restart always");
    run.ready();
    let pids: Vec<_> = run.first_pids(2).iter().map(i32::to_string).collect();
    let mut watcher = Watcher::new(&place, "");
    watcher.sees(&["(it)", "running", "w1.1", "w2.1", &pids[0], &pids[1]]);
    // After "no", no worker has died when the next one is selected.
    watcher.terminal.press(b"Kn");
    watcher.terminal.press(b"jK");
    watcher.shown.until("a question", |text| text.contains("y / n").then_some(()));
    watcher.terminal.press(b"y");
    let second = pid(&run.stdout.record("started", 2, 2)).to_string();
    watcher.sees(&["w1.1", "w2.2", &second, "SIGKILL, killed"]);
    watcher.terminal.press(b"+");
    run.stdout.record("started", 3, 1);
    watcher.sees(&["w3.1"]);
    watcher.terminal.press(b"-");
    run.stdout.record("ended", 3, 1);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().signal(), Some(Signal::SIGTERM));
    // The last picture stays and shows how the run ended.
    watcher.sees(&["ended: stopped", "w1.1"]);
    watcher.terminal.press(b"q");
    let watched = watcher.finish();
    assert!(watched.status.success() && watched.is_restored, "{}", watched.shown);
    assert!(watched.shown.contains("\x1b[38;5;"), "states are coloured");
}

#[test]
fn top_restores_the_terminal_when_a_signal_ends_it() {
    let place = Scratch::new();
    let run = up(&place, "");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let watcher = Watcher::new(&place, "1");
        watcher.sees(&["w1.1"]);
        send(watcher.top.id().cast_signed(), signal);
        let watched = watcher.finish();
        assert_eq!(watched.status.signal(), Some(signal as i32), "{}", watched.shown);
        assert!(watched.is_restored, "{}", watched.shown);
        assert!(!watched.shown.contains("\x1b[38;5;"), "no colours are wanted: {}", watched.shown);
    }
    let mut watcher = Watcher::new(&place, "1");
    watcher.sees(&["w1.1"]);
    watcher.terminal.press(b"\x03");
    let watched = watcher.finish();
    assert!(watched.status.success() && watched.is_restored, "{}", watched.shown);
    run.signal(Signal::SIGTERM);
    run.finish();
}

#[test]
fn top_reports_that_the_supervisor_was_killed() {
    let place = Scratch::new();
    let run = up(&place, "");
    let mut watcher = Watcher::new(&place, "");
    watcher.sees(&["w1.1", "w2.1"]);
    run.signal(Signal::SIGKILL);
    until("its end", || procfs::stat(run.pid()).is_none_or(|stat| stat.state == 'Z'));
    run.finish();
    watcher.sees(&["gone", "w1.1"]);
    watcher.terminal.press(b"q");
    assert!(watcher.finish().is_restored);
}

#[test]
fn top_refuses_to_run_without_a_terminal() {
    let place = Scratch::new();
    let _run = up(&place, "");
    let terminal = Terminal::open();
    let top = |stdin: Stdio, stdout: Stdio, term: &str| {
        let mut command = Command::new(SUPERVISOR);
        command.args(["top"]).env(PLACE, place.path().join("runs")).env("TERM", term);
        let child = command.stdin(stdin).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (code, printed) in [
        top(Stdio::null(), terminal.line().into(), "xterm"),
        top(terminal.line().into(), Stdio::null(), "xterm"),
        top(terminal.line().into(), terminal.line().into(), "dumb"),
    ] {
        assert_eq!(code, Some(1), "{printed}");
        assert!(printed.contains("is none: ") && printed.contains("supervisor ps"), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
    }
}
