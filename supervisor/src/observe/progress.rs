//! The progress bar: one line with the counters of jobs, the rate, and an estimate of the time left
//! if the number of jobs is known.

use std::{
    fmt, io, mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
};

use indicatif::{
    HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike,
};

use super::summary::standing;
use pool::event::Tally;

/// The progress line. `indicatif` computes rates and estimates and draws it.
#[derive(Debug)]
pub struct Line {
    bar: ProgressBar,
    canvas: Arc<Canvas>,
    has_total: bool,
}

/// The terminal that `indicatif` draws on: a string, which the writer thread shows.
#[derive(Debug, Default)]
struct Canvas {
    columns: AtomicU16,
    text: Mutex<String>,
}

const WITH_TOTAL: &str = "[{elapsed}] {wide_bar:.dim} {pos}/{len} {rate}{left} · {msg}";
const WITHOUT: &str = "[{elapsed}] {rate} · {msg}";
/// The most frames per second.
const DRAWS_PER_SECOND: u8 = 10;

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    /// Creates a line for a run in which no job has ended.
    #[must_use]
    pub fn new() -> Self {
        let canvas = Arc::new(Canvas::default());
        let target = ProgressDrawTarget::term_like_with_hz(
            Box::new(Shared(Arc::clone(&canvas))),
            DRAWS_PER_SECOND,
        );
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style(WITHOUT));
        Self { bar, canvas, has_total: false }
    }

    /// Sets the number of jobs in the input.
    pub fn set_total(&mut self, total: u64) {
        if !mem::replace(&mut self.has_total, true) {
            self.bar.set_style(style(WITH_TOTAL));
        }
        self.bar.set_length(total);
    }

    /// Draws the line for a terminal with this number of columns.
    #[must_use]
    pub fn draw(&self, jobs: Tally, running: usize, columns: u16) -> String {
        self.canvas.columns.store(columns, Ordering::Relaxed);
        self.bar.set_message(standing(jobs, running));
        self.bar.set_position(jobs.done());
        self.bar.tick();
        let text = self.canvas.text.lock().unwrap_or_else(PoisonError::into_inner);
        fitting(&text, columns).into()
    }
}

/// The part of a line that fits into a row of the terminal; the rest would stay behind when the line
/// is drawn again. Escape sequences take no column.
fn fitting(line: &str, columns: u16) -> &str {
    let (mut left, mut in_sequence) = (columns, false);
    for (at, c) in line.char_indices() {
        match c {
            '\u{1b}' => in_sequence = true,
            _ if in_sequence => in_sequence = !c.is_ascii_alphabetic(),
            _ if left == 0 => return &line[..at],
            _ => left -= 1,
        }
    }
    line
}

impl Drop for Line {
    fn drop(&mut self) {
        // Otherwise it would draw itself once more.
        self.bar.set_draw_target(ProgressDrawTarget::hidden());
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = write!(out, "{:.0}/s", state.per_sec());
        })
        // Before a job was done, nothing is known about the time that the others take.
        .with_key("left", |state: &ProgressState, out: &mut dyn fmt::Write| {
            if state.pos() > 0 {
                let _ = write!(out, " ETA {:#}", HumanDuration(state.eta()));
            }
        })
}

#[derive(Debug)]
struct Shared(Arc<Canvas>);

/// The line is always drawn whole, so cursor movements have no effect.
impl TermLike for Shared {
    fn width(&self) -> u16 {
        self.0.columns.load(Ordering::Relaxed)
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.text.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.text.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn there_is_no_estimate_before_a_job_was_done() {
        let mut line = Line::new();
        line.set_total(4);
        let text = line.draw(Tally { accepted: 4, in_flight: 2, ..Tally::default() }, 2, 100);
        assert!(text.contains("0/4") && !text.contains("ETA"), "{text}");
    }

    #[test]
    fn the_line_fits_into_the_terminal() {
        let jobs = Tally { accepted: 9000, ok: 4000, failed: 12, queued: 4000, ..Tally::default() };
        for columns in [1, 20, 40, 80] {
            let mut line = Line::new();
            line.set_total(9000);
            let text = line.draw(Tally { in_flight: 900, retried: 300, ..jobs }, 8, columns);
            let text = text.replace("\u{1b}[2m", "").replace("\u{1b}[0m", "");
            assert!(text.chars().count() <= usize::from(columns), "{text:?}");
        }
    }

    #[test]
    fn the_line_shows_counters_and_with_a_total_an_estimate() {
        let mut line = Line::new();
        let jobs = Tally { accepted: 9, ok: 3, failed: 1, in_flight: 5, ..Tally::default() };
        let text = line.draw(jobs, 2, 100);
        assert!(text.contains("4 done, 1 failed, 2 running, 3 waiting"), "{text}");
        assert!(!text.contains("ETA"), "{text}");
        line.set_total(20);
        // indicatif draws at most ten frames a second.
        let (begun, mut text) = (Instant::now(), text);
        while !text.contains("10/20") {
            assert!(begun.elapsed() < Duration::from_secs(20), "{text}");
            text = line.draw(Tally { ok: 9, ..jobs }, 2, 100);
        }
        assert!(text.contains("ETA"), "{text}");
    }
}
