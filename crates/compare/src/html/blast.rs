//! Plot of the blast radius: one square per job, for each way and fault, so that the reader sees
//! which jobs a fault cost.

use std::fmt::Write;

use super::draw::{escape, open, text};
use crate::{
    plan::{Fault, Plan, Way},
    records::{Job, JobEnd, Run},
};

const LABELS: f64 = 176.0;
const COLUMNS: usize = 10;
/// With more jobs than this, each square shows the worst of several neighbouring jobs.
const SQUARES_MAX: usize = 100;
const SQUARE: f64 = 7.5;
const STEP: f64 = 9.0;
const GAP: f64 = 18.0;
const HEAD: f64 = 28.0;
/// Height of the number of lost jobs below the squares.
const FOOT: f64 = 26.0;

const ENDS: [(JobEnd, &str, &str); 4] = [
    (JobEnd::Ok, "ok", "done"),
    (JobEnd::Lost, "lost", "lost"),
    (JobEnd::Hung, "hung", "hung"),
    (JobEnd::Wrong, "wrong", "wrong"),
];

pub(super) fn plot(plan: &Plan, runs: &[Run]) -> String {
    let runs: Vec<&Run> = runs.iter().filter(|run| run.fault != Fault::None).collect();
    let of = |fault, way| runs.iter().copied().find(|run| (run.fault, run.way) == (fault, way));
    let faults: Vec<_> =
        Fault::ALL.iter().filter(|(_, it)| runs.iter().any(|run| run.fault == *it)).collect();
    let ways: Vec<_> =
        Way::ALL.iter().filter(|(_, it)| runs.iter().any(|run| run.way == *it)).collect();
    let squares = usize::try_from(plan.jobs).unwrap_or(SQUARES_MAX).min(SQUARES_MAX);
    let cell = (STEP * real(COLUMNS) + GAP, STEP * real(squares.div_ceil(COLUMNS)) + FOOT);
    let size = (LABELS + cell.0 * real(faults.len()), HEAD + cell.1 * real(ways.len()));
    let mut out = legend();
    out.push_str("<div class=\"scroll\">");
    out.push_str(&open(size, "Jobs lost by way and fault; the same figures are in the table"));
    for (column, (name, _)) in faults.iter().enumerate() {
        let x = LABELS + cell.0 * real(column) + STEP * real(COLUMNS) / 2.0;
        text(&mut out, (x, HEAD - 14.0), "middle", "label", name);
    }
    for (row, (_, way)) in ways.iter().enumerate() {
        let y = HEAD + cell.1 * real(row);
        let middle = y + (cell.1 - FOOT) / 2.0 + 4.0;
        text(&mut out, (LABELS - 16.0, middle), "end", "label", way.title());
        for (column, (_, fault)) in faults.iter().enumerate() {
            if let Some(run) = of(*fault, *way) {
                let at = (LABELS + cell.0 * real(column), y);
                waffle(&mut out, at, run, squares);
            }
        }
    }
    out.push_str("</svg></div>\n");
    out
}

fn legend() -> String {
    let item = |(_, class, word): &(JobEnd, &str, &str)| {
        format!("<span><i class=\"{class}\"></i>{word}</span>")
    };
    format!("<p class=\"legend\">{}</p>\n", ENDS.iter().map(item).collect::<String>())
}

fn waffle(out: &mut String, (x, y): (f64, f64), run: &Run, squares: usize) {
    let bad = run.jobs.len() - run.count(JobEnd::Ok);
    let groups: Vec<&[Job]> = groups(&run.jobs, squares);
    let place = |at: usize| (x + STEP * real(at % COLUMNS), y + STEP * real(at / COLUMNS));
    let title = format!(
        "{}, {}: {bad} of {} jobs without a good answer",
        run.way.title(),
        run.fault,
        run.jobs.len()
    );
    let _ = writeln!(out, "<g><title>{}</title>", escape(&title));
    for (end, class, _) in ENDS {
        let mut path = String::new();
        for (at, _) in groups.iter().enumerate().filter(|(_, jobs)| worst(jobs) == end) {
            let (x, y) = place(at);
            let _ = write!(path, "M{x:.1} {y:.1}h{SQUARE}v{SQUARE}h-{SQUARE}z");
        }
        if !path.is_empty() {
            let _ = writeln!(out, "<path class=\"{class}\" d=\"{path}\"/>");
        }
    }
    for (at, _) in groups.iter().enumerate().filter(|(_, jobs)| jobs.iter().any(|job| job.faulty)) {
        let (x, y) = place(at);
        let (x, y, side) = (x - 1.2, y - 1.2, SQUARE + 2.4);
        let _ = writeln!(
            out,
            "<rect class=\"ring\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side}\" height=\"{side}\" rx=\"1.5\"/>"
        );
    }
    out.push_str("</g>\n");
    let (_, last) = place(squares.saturating_sub(1));
    let middle = x + STEP * real(COLUMNS.min(squares)) / 2.0;
    let faulty = run.jobs.iter().filter(|job| job.faulty).count();
    let class = if bad > faulty { "count bad" } else { "count" };
    text(out, (middle, last + SQUARE + 13.0), "middle", class, &bad.to_string());
}

/// Divides the jobs into as many groups of neighbours as there are squares.
fn groups(jobs: &[Job], squares: usize) -> Vec<&[Job]> {
    let bound = |at: usize| at * jobs.len() / squares.max(1);
    (0..squares).map(|at| &jobs[bound(at)..bound(at + 1)]).collect()
}

fn worst(jobs: &[Job]) -> JobEnd {
    let order = [JobEnd::Wrong, JobEnd::Hung, JobEnd::Lost];
    let found = order.into_iter().find(|end| jobs.iter().any(|job| job.end == *end));
    found.unwrap_or(JobEnd::Ok)
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred at most")]
fn real(count: usize) -> f64 {
    count as f64
}
