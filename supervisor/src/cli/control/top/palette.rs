//! The styles of the screen. Only states are coloured.

use std::env;

use ratatui::style::{Color, Modifier, Style};

#[derive(Debug)]
pub(super) struct Palette {
    pub(super) strong: Style,
    pub(super) faint: Style,
    pub(super) selected: Style,
    pub(super) good: Style,
    pub(super) passing: Style,
    pub(super) bad: Style,
}

impl Palette {
    /// Returns the styles, with or without colours.
    pub(super) fn new(is_coloured: bool) -> Self {
        let colour = |colour| if is_coloured { Style::new().fg(colour) } else { Style::new() };
        let modified = |modifier| Style::new().add_modifier(modifier);
        Self {
            strong: modified(Modifier::BOLD),
            faint: modified(Modifier::DIM),
            selected: modified(Modifier::REVERSED),
            good: colour(Color::Green),
            passing: colour(Color::Yellow),
            bad: colour(Color::Red),
        }
    }

    /// Returns the styles with colours, unless `NO_COLOR` is set (see no-color.org).
    pub(super) fn from_environment() -> Self {
        Self::new(env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    /// Returns the style of the state of a worker or a run.
    pub(super) fn of(&self, state: &str) -> Style {
        match state {
            "running" | "ready" | "ended" => self.good,
            "starting" | "paused" | "stopping" | "waiting" => self.passing,
            "unkillable" | "gone" | "given_up" => self.bad,
            _ => self.faint,
        }
    }
}
