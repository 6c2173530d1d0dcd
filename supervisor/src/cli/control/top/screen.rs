//! The terminal, taken for as long as the picture is on it, and given back however this ends.

use std::{
    io::{self, IsTerminal},
    panic, process,
};

use ratatui::{DefaultTerminal, Frame};

/// What a program that panicked ends with.
const PANICKED: i32 = 101;

/// A screen of our own. The terminal is as it was when it is dropped.
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    /// Whether there is a terminal to draw on, and to hear keys from.
    pub(super) fn is_there() -> bool {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb
    }

    /// Takes it. Whichever thread panics, it is given back before anything is said of it.
    pub(super) fn take() -> io::Result<Self> {
        let taken = ratatui::try_init();
        if taken.is_err() {
            give_back();
        }
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            told(panic);
            process::exit(PANICKED);
        }));
        taken.map(Self)
    }

    /// Draws what has changed; all of it where the size has.
    pub(super) fn draw(&mut self, picture: impl FnOnce(&mut Frame)) -> io::Result<()> {
        self.0.draw(picture).map(drop)
    }

    /// Gives it back, has something done, and takes it again.
    pub(super) fn without<T>(self, act: impl FnOnce() -> T) -> io::Result<Self> {
        drop(self);
        act();
        ratatui::try_init().map(Self).inspect_err(|_| give_back())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    // One that is gone has nothing to be put back.
    let _ = ratatui::try_restore();
}
