//! Takes over the terminal and restores it, however the program ends.

use std::{
    io::{self, IsTerminal},
    panic, process,
};

use ratatui::{DefaultTerminal, Frame};

/// Exit status of a Rust program that panicked.
const PANICKED: i32 = 101;

/// The alternate screen of the terminal. Dropping it restores the terminal.
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    /// Whether stdin and stdout are a terminal that can be drawn on.
    pub(super) fn is_available() -> bool {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb
    }

    /// Takes over the terminal. If any thread panics, the terminal is restored before the panic
    /// is reported.
    pub(super) fn take() -> io::Result<Self> {
        let taken = ratatui::try_init();
        if taken.is_err() {
            restore();
        }
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            report(panic);
            process::exit(PANICKED);
        }));
        taken.map(Self)
    }

    /// Draws the differences to the last frame, or everything if the size has changed.
    pub(super) fn draw(&mut self, render: impl FnOnce(&mut Frame)) -> io::Result<()> {
        self.0.draw(render).map(drop)
    }

    /// Restores the terminal, calls `act`, and takes the terminal over again.
    pub(super) fn without<T>(self, act: impl FnOnce() -> T) -> io::Result<Self> {
        drop(self);
        act();
        ratatui::try_init().map(Self).inspect_err(|_| restore())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    // An error means that the terminal is gone: there is nothing to restore.
    let _ = ratatui::try_restore();
}
