//! The run as a table: a row a slot.

use std::fmt::Write;

use worker::quantity::show_duration;

use super::board::{Board, Row, State};
use crate::exit::{Cause, Evidence, Sender};

const HEAD: [&str; 7] = ["worker", "PID", "code", "cause", "wall", "CPU", "peak memory"];
/// Columns of text; numbers are set to the right.
const LEFT: [bool; 7] = [true, false, false, true, false, false, false];

/// The table, with its last newline.
#[must_use]
pub fn table(board: &Board) -> String {
    let rows: Vec<[String; 7]> = board.rows().iter().map(cells).collect();
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    let head = HEAD.map(String::from);
    for row in [&head].into_iter().chain(&rows) {
        let mut line = String::new();
        for ((cell, width), left) in row.iter().zip(widths).zip(LEFT) {
            let _ = if left {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn cells(row: &Row) -> [String; 7] {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let shown = row.last.as_ref().filter(|_| row.state == State::Ended);
    let evidence = shown.and_then(|ended| ended.evidence.as_ref());
    let cause = match (row.state, shown) {
        (State::Ended, Some(ended)) => cause(ended.cause, ended.evidence.as_ref()),
        (State::Ended | State::Starting, _) => "starting".into(),
        (State::Running | State::Ready, _) => "running".into(),
        (State::Stopping, _) => "stopping".into(),
        (State::Undead, _) => "killed, and held by the kernel".into(),
    };
    [
        row.worker.to_string(),
        text(row.pid.map(|pid| pid.to_string())),
        text(evidence.map(|evidence| evidence.status.shell_code().to_string())),
        cause,
        text(evidence.map(|evidence| show_duration(evidence.wall))),
        text(evidence.map(|evidence| show_duration(evidence.cpu))),
        text(evidence.map(|evidence| evidence.peak.to_string())),
    ]
}

/// The signal, if there was one, then the cause where that says more.
fn cause(cause: Cause, evidence: Option<&Evidence>) -> String {
    match evidence.and_then(|evidence| evidence.status.signal_text()) {
        Some(signal) => match cause {
            Cause::Signal(Sender::Itself) => signal,
            _ => format!("{signal}, {cause}"),
        },
        None => cause.to_string(),
    }
}
