//! Computes all figures again from the records of jobs and runs, and checks that the records of
//! figures and the tables show the same.

use std::collections::BTreeMap;

use compare::table::{show_bytes, show_count, show_millis};
use serde_json::Value;

use crate::{Compared, WAYS};

type Figures = BTreeMap<&'static str, f64>;

/// Computes the figures of each round.
fn runs_of(compared: &Compared, row: &Value) -> Vec<Figures> {
    let is_its = |record: &&Value| record["fault"] == row["fault"] && record["way"] == row["way"];
    let runs: Vec<_> = compared.of_type("run").into_iter().filter(is_its).collect();
    let jobs: Vec<_> = compared.of_type("job").into_iter().filter(is_its).collect();
    let of = |run: &Value| -> Vec<&Value> {
        jobs.iter().copied().filter(|job| job["round"] == run["round"]).collect()
    };
    runs.into_iter().map(|run| figures(run, &of(run))).collect()
}

/// Computes the figures of a run from its record and those of its jobs.
fn figures(run: &Value, jobs: &[&Value]) -> Figures {
    let mut figures = Figures::new();
    for name in ["wall_ms", "cpu_ms", "memory_bytes", "switches", "crossing_ms"] {
        figures.extend(run[name].as_f64().map(|value| (name, value)));
    }
    let ended = |end: &str| jobs.iter().filter(|job| job["end"] == end).count();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand jobs")]
    let count = |end| ended(end) as f64;
    let ends = ["ok", "lost", "wrong", "hung"].map(|end| (end, count(end)));
    figures.extend(ends);
    figures.insert("not_ok", ends[1..].iter().map(|(_, count)| count).sum());
    figures.insert("per_second", count("ok") / figures["wall_ms"] * 1e3);
    let good = jobs.iter().filter(|job| job["end"] == "ok");
    let mut took: Vec<f64> = good.map(|job| job["ms"].as_f64().unwrap()).collect();
    took.sort_by(f64::total_cmp);
    for (name, percent) in [("p50_ms", 50), ("p99_ms", 99), ("max_ms", 100)] {
        let rank = (took.len() * percent).div_ceil(100).max(1);
        figures.extend(took.get(rank - 1).map(|value| (name, *value)));
    }
    let starts = jobs.iter().filter_map(|job| job["start_ms"].as_f64());
    figures.extend(starts.reduce(f64::min).map(|start| ("start_ms", start)));
    let recoveries = jobs.iter().filter(|job| job["faulty"] == true).map(|faulty| {
        let began = faulty["began_ms"].as_f64()?;
        let same = jobs.iter().filter(|job| job["place"] == faulty["place"]);
        let later = same.filter_map(|job| job["began_ms"].as_f64()).filter(|it| *it > began);
        later.reduce(f64::min).map(|next| next - began).or(faulty["held_ms"].as_f64())
    });
    let recoveries: Option<Vec<f64>> = recoveries.collect();
    let worst = recoveries.and_then(|times| times.into_iter().reduce(f64::max));
    figures.extend(worst.map(|worst| ("recovery_ms", worst)));
    figures
}

fn spread(runs: &[Figures], name: &str) -> Option<[f64; 3]> {
    let mut values: Vec<f64> = runs.iter().filter_map(|run| run.get(name).copied()).collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values[values.len() / 2]);
    Some([f64::midpoint(*low, high), values[0], values[values.len() - 1]])
}

/// Asserts that every figure follows from the records, and that the tables show these figures.
pub(crate) fn assert_consistent(compared: &Compared) {
    let lines: Vec<Vec<&str>> = compared.stderr.lines().map(cells).collect();
    let rows = compared.of_type("row");
    assert!(!rows.is_empty(), "{}", compared.stderr);
    for row in &rows {
        let runs = runs_of(compared, row);
        assert_eq!(row["rounds"], runs.len());
        let names = ["wall_ms", "per_second", "p50_ms", "p99_ms", "max_ms", "cpu_ms"];
        let more = ["memory_bytes", "start_ms", "switches", "crossing_ms", "recovery_ms", "not_ok"];
        for name in names.into_iter().chain(more) {
            assert_same(&row[name], spread(&runs, name), name);
        }
        for name in ["ok", "lost", "wrong", "hung"] {
            assert_same(&row["jobs"][name], spread(&runs, name), name);
        }
    }
    let first = &rows[0]["fault"];
    for row in rows.iter().filter(|row| row["fault"] == *first) {
        assert_costs_shown(row, &runs_of(compared, row), &lines);
    }
    for row in rows.iter().filter(|row| row["fault"] != "none") {
        assert_damage_shown(row, &runs_of(compared, row), &lines);
    }
    for verdict in compared.of_type("verdict") {
        assert!(compared.stderr.contains(verdict["text"].as_str().unwrap()));
    }
}

fn assert_same(figure: &Value, expected: Option<[f64; 3]>, name: &str) {
    let Some(expected) = expected else {
        assert!(figure.is_null(), "{name}: {figure} of nothing");
        return;
    };
    for (part, expected) in ["median", "min", "max"].into_iter().zip(expected) {
        let found = figure[part].as_f64().unwrap_or_else(|| panic!("{name}: {figure}"));
        let is_close = (found - expected).abs() <= expected.abs() * 1e-9 + 1e-9;
        assert!(is_close, "{name} {part}: {found}, by the records {expected}");
    }
}

/// Splits a line into cells, which are at least two spaces apart.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

fn title(row: &Value) -> &'static str {
    WAYS.iter().find(|(name, _)| row["way"] == *name).unwrap().1
}

fn assert_costs_shown(row: &Value, runs: &[Figures], lines: &[Vec<&str>]) {
    let head = lines.iter().find(|line| line.contains(&"jobs/s")).unwrap();
    let line = lines.iter().find(|line| line[..].first() == Some(&title(row))).unwrap();
    assert_eq!(line.len(), head.len(), "{line:?}");
    let cell = |name: &str| line[head.iter().position(|it| *it == name).unwrap()];
    let show = |name, show: fn(f64) -> String| {
        spread(runs, name).map_or("-".into(), |[median, ..]| show(median))
    };
    for (column, name) in [
        ("wall", "wall_ms"),
        ("p50", "p50_ms"),
        ("p99", "p99_ms"),
        ("max", "max_ms"),
        ("CPU", "cpu_ms"),
        ("start", "start_ms"),
        ("serialising", "crossing_ms"),
    ] {
        assert_eq!(cell(column), show(name, show_millis), "{column} of {line:?}");
    }
    assert_eq!(cell("memory"), show("memory_bytes", show_bytes));
    assert_eq!(cell("switches"), show("switches", show_count));
    let [rate, ..] = spread(runs, "per_second").unwrap();
    let shown = cell("jobs/s");
    let shown = shown.strip_suffix('k').map_or_else(
        || shown.parse::<f64>().unwrap(),
        |thousands| thousands.parse::<f64>().unwrap() * 1e3,
    );
    assert!((shown - rate).abs() <= rate * 0.01 + 0.05, "{rate} is shown as {shown}");
}

fn assert_damage_shown(row: &Value, runs: &[Figures], lines: &[Vec<&str>]) {
    let fault = row["fault"].as_str().unwrap();
    let line = lines.iter().find(|line| line.starts_with(&[fault, title(row)])).unwrap();
    let counts = ["ok", "lost", "wrong", "hung"].map(|name| spread(runs, name).unwrap()[0]);
    for (cell, count) in line[2..6].iter().zip(counts) {
        assert_eq!(*cell, show_count(count), "{line:?}");
    }
    let recovery = match spread(runs, "recovery_ms") {
        _ if row["is_crippled"] == true => "never".into(),
        recovery => recovery.map_or("-".into(), |[median, ..]| show_millis(median)),
    };
    assert_eq!(*line.last().unwrap(), recovery, "{line:?}");
    // The first table with a column for the fault is the blast radius.
    let head = lines.iter().find(|line| line[..].first() == Some(&"way") && line.contains(&fault));
    let at = head.unwrap().iter().position(|name| *name == fault).unwrap();
    let begun = lines.iter().position(|line| line == head.unwrap()).unwrap();
    let line = lines[begun..].iter().find(|line| line[..].first() == Some(&title(row))).unwrap();
    assert_eq!(line[at], show_count(spread(runs, "not_ok").unwrap()[0]), "{line:?}");
}
