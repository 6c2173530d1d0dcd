//! Bar charts of what each way costs: one chart for each figure, one bar for each way.

use std::fmt::Write;

use super::draw::{class, open, text};
use crate::{
    figures::{Row, Spread},
    table::{show_bytes, show_millis},
};

type Figure = (&'static str, fn(&Row) -> Option<Spread>, fn(f64) -> String);

const FIGURES: [Figure; 6] = [
    ("Wall time", |row| row.wall_ms, show_millis),
    ("Peak memory, all processes", |row| row.memory_bytes, show_bytes),
    ("CPU time", |row| row.cpu_ms, show_millis),
    ("Start of one who does jobs", |row| row.start_ms, show_millis),
    ("Latency of the short job", |row| row.short_ms, show_millis),
    ("Serialising, in all", |row| row.crossing_ms, show_millis),
];

const WIDTH: f64 = 440.0;
const LABELS: f64 = 158.0;
/// Width reserved for the number after the longest bar.
const VALUES: f64 = 66.0;
const STEP: f64 = 26.0;
const BAR: f64 = 15.0;
const HEAD: f64 = 30.0;

pub(super) fn plots(rows: &[&Row]) -> String {
    let plots: String = FIGURES.iter().map(|figure| plot(rows, figure)).collect();
    if plots.is_empty() { plots } else { format!("<div class=\"grid\">\n{plots}</div>\n") }
}

fn plot(rows: &[&Row], (title, figure, show): &Figure) -> String {
    let most = rows.iter().filter_map(|row| figure(row)).map(|spread| spread.max);
    let Some(most) = most.reduce(f64::max).filter(|most| *most > 0.0) else {
        return String::new();
    };
    #[expect(clippy::cast_precision_loss, reason = "six at most")]
    let height = HEAD + STEP * rows.len() as f64;
    let mut out = open((WIDTH, height), &format!("{title} by way"));
    text(&mut out, (0.0, 15.0), "start", "title", title);
    let length = |value: f64| value / most * (WIDTH - LABELS - VALUES);
    let mut y = HEAD;
    for row in rows {
        let middle = y + BAR / 2.0;
        text(&mut out, (LABELS - 8.0, middle + 4.0), "end", "label", row.way.title());
        match figure(row) {
            Some(spread) => {
                let width = length(spread.median).max(1.5);
                let class = class(row.way);
                let _ = writeln!(
                    out,
                    "<rect class=\"{class}\" x=\"{LABELS}\" y=\"{y:.1}\" width=\"{width:.1}\" \
                     height=\"{BAR}\" rx=\"2\"/>"
                );
                whisker(&mut out, LABELS + length(spread.min), LABELS + length(spread.max), middle);
                let end = LABELS + length(spread.max).max(1.5) + 7.0;
                text(&mut out, (end, middle + 4.0), "start", "value", &show(spread.median));
            }
            None => text(&mut out, (LABELS + 2.0, middle + 4.0), "start", "value none", "none"),
        }
        y += STEP;
    }
    out.push_str("</svg>\n");
    out
}

/// Draws a line from the minimum to the maximum if it is long enough to be seen.
fn whisker(out: &mut String, from: f64, to: f64, y: f64) {
    if to - from >= 1.0 {
        let (top, bottom) = (y - 3.5, y + 3.5);
        let _ = writeln!(
            out,
            "<path class=\"whisker\" d=\"M{from:.1} {top:.1}V{bottom:.1}M{from:.1} {y:.1}\
             H{to:.1}M{to:.1} {top:.1}V{bottom:.1}\"/>"
        );
    }
}
