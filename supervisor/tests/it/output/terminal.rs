//! A supervisor with a controlling terminal: keys, closed windows and control sequences.

use std::io::Read;

use crate::support::{Finished, Run, Running, Signal, terminal::Terminal};
use serde_json::json;

const POLITE: &str = "sleep 1000 & trap 'echo asked; kill $! 2>/dev/null' TERM; echo up; \
                      wait $!; wait; sleep 0.3; echo bye";

/// Two workers that handle signals, on a terminal; stdout and stderr are pipes.
fn up(terminal: &Terminal, options: &str) -> Running {
    let run = terminal.control(Run::sh(POLITE).with("--workers 2").with(options).jsonl()).start();
    run.first_pids(2);
    (1..=2).for_each(|worker| run.stdout.line(worker, "up"));
    run
}

fn stopped_politely(run: &Finished, signal: Signal) {
    let printed = |line: &str| run.records("output").iter().filter(|r| r["line"] == line).count();
    assert_eq!((printed("asked"), printed("bye")), (2, 2));
    for record in run.records("ended") {
        assert_eq!((&record["cause"], &record["code"]), (&json!("shutdown"), &json!(0)));
    }
    assert_eq!(run.signal(), Some(signal));
}

#[test]
fn ctrl_c_and_ctrl_backslash_stop_the_run_by_their_signal() {
    for (key, signal) in [(b"\x03", Signal::SIGINT), (b"\x1c", Signal::SIGQUIT)] {
        let mut terminal = Terminal::open();
        let run = up(&terminal, "");
        terminal.press(key);
        stopped_politely(&run.finish(), signal);
    }
}

#[test]
fn a_closed_terminal_stops_the_run_instead_of_rolling() {
    for options in ["", "--restart always"] {
        let terminal = Terminal::open();
        let run = up(&terminal, options);
        terminal.close();
        stopped_politely(&run.finish(), Signal::SIGHUP);
    }
}

#[test]
fn a_sent_hang_up_rolls_while_the_terminal_is_open() {
    let terminal = Terminal::open();
    let run = up(&terminal, "--restart always");
    run.ready();
    run.signal(Signal::SIGHUP);
    run.stdout.record("started", 1, 2);
    terminal.close();
    assert_eq!(run.finish().signal(), Some(Signal::SIGHUP));
}

#[test]
fn a_closed_terminal_hangs_up_a_run_that_writes_to_it() {
    // SIGHUP and the write error mean the same, whichever comes first.
    for _ in 0..10 {
        let terminal = Terminal::open();
        let chatter = "while :; do echo chatter; done";
        let run = terminal.control(Run::sh(chatter)).stdout(terminal.line()).start();
        let mut window = terminal.window();
        window.read_exact(&mut [0; 4096]).unwrap();
        drop(window);
        terminal.close();
        let run = run.finish();
        assert_eq!(run.signal(), Some(Signal::SIGHUP), "{:?} {}", run.status, run.stderr);
    }
}

#[test]
fn a_worker_cannot_send_control_sequences_to_the_terminal() {
    let played = r"printf '\033[31mred\033]0;title\007\n\302\233m\177\342\200\256abc\377\tx\n'";
    let terminal = Terminal::open();
    let run = Run::sh(played).stdout(terminal.line()).start();
    let shown = terminal.shown();
    drop(terminal);
    run.finish();
    let shown = String::from_utf8(shown.rest()).unwrap();
    let lines: Vec<_> = shown.split("\r\n").collect();
    assert_eq!(lines[0], "[1] ^[[31mred^[]0;title^G");
    assert_eq!(lines[1], "[1] <U+009B>m^?<U+202E>abc\\xff\tx");
    // On a pipe the same bytes pass unchanged.
    let run = Run::sh(played).finish();
    let bytes = b"[1] \x1b[31mred\x1b]0;title\x07\n[1] \xc2\x9bm\x7f\xe2\x80\xaeabc\xff\tx\n";
    assert!(run.stdout.starts_with(bytes), "{:?}", String::from_utf8_lossy(&run.stdout));
}

#[test]
fn a_worker_has_no_controlling_terminal() {
    let terminal = Terminal::open();
    let script = "[ -t 0 ] || [ -t 1 ] || [ -t 2 ] || : 2>&- < /dev/tty && echo has one; exit 0";
    let run = terminal.control(Run::sh(script)).stdout(terminal.line()).stderr(terminal.line());
    let run = run.start();
    let shown = terminal.shown();
    drop(terminal);
    run.finish();
    let shown = String::from_utf8(shown.rest()).unwrap();
    assert!(shown.contains("exited with code") && !shown.contains("has one"), "{shown}");
}

#[test]
fn a_third_ctrl_c_kills_and_restores_the_terminal() {
    let mut terminal = Terminal::open();
    let before = nix::sys::termios::tcgetattr(terminal.line()).unwrap();
    let deaf = "trap '' INT TERM; echo up; while :; do sleep 1000; done";
    let run = Run::each_sh(deaf).with("-j 1 --grace 60s --output lines").given(["x"]);
    let run = terminal.control(run).start();
    run.stdout.until("up", |text| text.contains("up").then_some(()));
    let begun = std::time::Instant::now();
    for printed in ["SIGINT: stopping", "", ""] {
        terminal.press(b"\x03");
        run.stderr.until("what the key has done", |text| text.contains(printed).then_some(()));
        // Signals within a second count as one.
        let pressed = begun.elapsed();
        crate::support::until("a second", || {
            begun.elapsed() >= pressed + std::time::Duration::from_millis(1050)
        });
    }
    let run = run.finish();
    assert_eq!(run.signal(), Some(Signal::SIGINT), "{}", run.stderr);
    assert_eq!(nix::sys::termios::tcgetattr(terminal.line()).unwrap(), before);
}

#[test]
fn the_progress_line_is_drawn_in_the_foreground_only() {
    for (shell, is_drawn) in [("\"$0\" \"$@\"", true), ("set -m; \"$0\" \"$@\" & wait", false)] {
        let terminal = Terminal::open();
        let run = Run::each(["sleep"]).with("--progress bar").given(["0.7"]);
        let run = run.stderr(terminal.line());
        let run = terminal.control_through(run, ["sh", "-c", shell]).start();
        let shown = terminal.shown();
        drop(terminal);
        run.finish();
        let shown = String::from_utf8(shown.rest()).unwrap();
        assert_eq!(shown.contains("0/1"), is_drawn, "{shown}");
    }
}
