//! Plot of latencies: a histogram for each way, marked with the percentiles of the table.

use std::fmt::Write;

use super::draw::{Logarithmic, class, open, text};
use crate::{
    figures::Row,
    plan::{Fault, Way},
    records::Run,
    table::show_millis,
};

const WIDTH: f64 = 920.0;
const LABELS: f64 = 152.0;
const PLOT: f64 = 590.0;
const HEAD: f64 = 22.0;
const ROW: f64 = 56.0;
/// Height of the tallest bar of a histogram.
const TALLEST: f64 = 34.0;
const BINS: usize = 118;

/// Plots all runs with this fault, all rounds together.
pub(super) fn plot(fault: Fault, runs: &[Run], rows: &[Row]) -> String {
    let of = |way| -> Vec<f64> {
        let runs = runs.iter().filter(|run| (run.fault, run.way) == (fault, way));
        runs.flat_map(Run::latencies).collect()
    };
    let ways: Vec<(Way, Vec<f64>)> =
        Way::ALL.iter().map(|(_, way)| (*way, of(*way))).filter(|(_, it)| !it.is_empty()).collect();
    let all = ways.iter().flat_map(|(_, times)| times.iter().copied());
    let Some(axis) = Logarithmic::over(all, (LABELS, PLOT)) else { return String::new() };
    #[expect(clippy::cast_precision_loss, reason = "six at most")]
    let bottom = HEAD + ROW * ways.len() as f64;
    let mut out = String::from("<div class=\"scroll\">");
    out.push_str(&open((WIDTH, bottom + 34.0), "Distribution of latencies by way"));
    for tick in axis.ticks() {
        let x = axis.x(tick);
        let _ = writeln!(out, "<path class=\"rule\" d=\"M{x:.1} {HEAD}V{bottom:.1}\"/>");
        text(&mut out, (x, bottom + 18.0), "middle", "tick", &show_millis(tick));
    }
    for (column, name) in ["p50", "p99", "max"].into_iter().enumerate() {
        text(&mut out, (mark_column(column), HEAD - 8.0), "end", "tick", name);
    }
    let mut base = HEAD;
    for (way, times) in &ways {
        base += ROW;
        text(&mut out, (LABELS - 12.0, base - 12.0), "end", "label", way.title());
        distribution(&mut out, &axis, *way, times, base - 6.0);
        if let Some(row) = rows.iter().find(|row| (row.fault, row.way) == (fault, *way)) {
            marks(&mut out, &axis, row, base - 6.0);
        }
    }
    out.push_str("</svg></div>\n");
    out
}

fn mark_column(column: usize) -> f64 {
    const FIRST: f64 = 64.0;
    const STEP: f64 = 56.0;
    #[expect(clippy::cast_precision_loss, reason = "three at most")]
    let column = column as f64;
    LABELS + PLOT + FIRST + STEP * column
}

/// Draws a histogram with bars of equal width. The height is the square root of the share, so that
/// a few slow jobs are visible beside many fast ones.
fn distribution(out: &mut String, axis: &Logarithmic, way: Way, times: &[f64], base: f64) {
    let mut bins = [0_u32; BINS];
    for time in times {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a few bins"
        )]
        let bin = (axis.share(*time) * BINS as f64) as usize;
        bins[bin.min(BINS - 1)] += 1;
    }
    let most = f64::from(bins.iter().copied().max().unwrap_or(1).max(1));
    #[expect(clippy::cast_precision_loss, reason = "a few bins")]
    let width = PLOT / BINS as f64;
    let mut path = String::new();
    let mut x = LABELS;
    for count in bins {
        if count > 0 {
            let height = (f64::from(count) / most).sqrt() * TALLEST;
            let (top, bar) = (base - height, width - 1.0);
            let _ = write!(path, "M{x:.1} {base:.1}V{top:.1}h{bar:.1}V{base:.1}z");
        }
        x += width;
    }
    let end = LABELS + PLOT;
    let _ = writeln!(out, "<path class=\"rule\" d=\"M{LABELS} {base:.1}H{end}\"/>");
    let _ = writeln!(out, "<path class=\"{}\" d=\"{path}\"/>", class(way));
}

/// Draws the percentiles as ticks below the histogram and as numbers beside it.
fn marks(out: &mut String, axis: &Logarithmic, row: &Row, base: f64) {
    for (column, spread) in [row.p50_ms, row.p99_ms, row.max_ms].into_iter().enumerate() {
        let Some(spread) = spread else { continue };
        let x = axis.x(spread.median);
        let (top, bottom) = (base + 1.0, base + 6.0);
        let _ = writeln!(out, "<path class=\"mark\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>");
        let at = (mark_column(column), base - 6.0);
        text(out, at, "end", "value", &show_millis(spread.median));
    }
}
