//! Renders the figures as tables. The terminal and the page show the same cells.

use std::time::Duration;

use text::{
    columns::{self, Column, wrap},
    units::{show_duration, show_size},
};

use super::{
    figures::{Row, Spread},
    plan::{Fault, Plan, Way},
};

/// A table of text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// Caption of the table.
    pub title: String,
    /// Names of the columns.
    pub head: Vec<&'static str>,
    /// Cells of each row; a row is as long as `head`.
    pub rows: Vec<Vec<String>>,
}

/// Columns that hold words and are aligned left; numbers are aligned right.
const WORDS: [&str; 4] = ["way", "fault", "what died", "goes on after"];
const NOTHING: &str = "-";

/// Returns all tables for these figures: first the costs, then the damage of each fault.
#[must_use]
pub fn tables(plan: &Plan, rows: &[Row]) -> Vec<Table> {
    let mut tables = Vec::new();
    if let Some(first) = rows.first() {
        let same: Vec<_> = rows.iter().filter(|row| row.fault == first.fault).collect();
        tables.push(costs(plan, first.fault, &same));
    }
    let faulty: Vec<_> = rows.iter().filter(|row| row.fault != Fault::None).collect();
    if !faulty.is_empty() {
        tables.push(blast_radius(plan, &faulty));
        tables.push(damage(&faulty));
    }
    tables
}

fn costs(plan: &Plan, fault: Fault, rows: &[&Row]) -> Table {
    let mut head = vec!["way", "wall", "min..max", "jobs/s", "p50", "p99", "max"];
    let has_short = rows.iter().any(|row| row.short_ms.is_some());
    head.extend(has_short.then_some("short job"));
    head.extend(["CPU", "memory", "start", "switches", "serialising"]);
    let cells = |row: &&Row| {
        let mut cells = vec![
            row.way.title().into(),
            cell(row.wall_ms, show_millis),
            range(row.wall_ms, show_millis),
            cell(row.per_second, show_rate),
            cell(row.p50_ms, show_millis),
            cell(row.p99_ms, show_millis),
            cell(row.max_ms, show_millis),
        ];
        cells.extend(has_short.then(|| cell(row.short_ms, show_millis)));
        cells.extend([
            cell(row.cpu_ms, show_millis),
            cell(row.memory_bytes, show_bytes),
            cell(row.start_ms, show_millis),
            cell(row.switches, show_count),
            cell(row.crossing_ms, show_millis),
        ]);
        cells
    };
    Table { title: title(plan, fault, rows), head, rows: rows.iter().map(cells).collect() }
}

fn title(plan: &Plan, fault: Fault, rows: &[&Row]) -> String {
    let rounds = rows.iter().map(|row| row.rounds).max().unwrap_or(0);
    let rounds = if rounds == 1 { "once".into() } else { format!("median of {rounds}") };
    let wrong = match fault {
        Fault::None => String::new(),
        fault => format!(", {} of them with {fault}", plan.faulty),
    };
    let (jobs, workers) = (plan.jobs, plan.workers);
    let plural = if jobs == 1 { "job" } else { "jobs" };
    format!("{jobs} {plural}{wrong}: {}; {workers} at a time; {rounds}", plan.describe())
}

/// Jobs without a right answer, by way and fault.
fn blast_radius(plan: &Plan, rows: &[&Row]) -> Table {
    let faults = Fault::ALL.iter().filter(|(_, it)| rows.iter().any(|row| row.fault == *it));
    let ways = Way::ALL.iter().filter(|(_, it)| rows.iter().any(|row| row.way == *it));
    let head = ["way"].into_iter().chain(faults.clone().map(|(name, _)| *name)).collect();
    let cells = |way: Way| {
        let one = |fault: Fault| {
            let row = rows.iter().find(|row| (row.fault, row.way) == (fault, way));
            row.map_or(NOTHING.into(), |row| show_range(row.not_ok, show_count))
        };
        let cells = faults.clone().map(|(_, fault)| one(*fault));
        [way.title().into()].into_iter().chain(cells).collect()
    };
    let (jobs, faulty) = (plan.jobs, plan.faulty);
    Table {
        title: format!(
            "Blast radius: jobs without a good answer, of {jobs}, {faulty} of them faulty"
        ),
        head,
        rows: ways.map(|(_, way)| cells(*way)).collect(),
    }
}

/// How the jobs ended under each fault, and what else died.
fn damage(rows: &[&Row]) -> Table {
    let head = vec!["fault", "way", "ok", "lost", "wrong", "hung", "what died", "goes on after"];
    let cells = |row: &&Row| {
        let count = |spread| show_range(spread, show_count);
        let recovery = match row.recovery_ms {
            _ if row.is_crippled => "never".into(),
            recovery => cell(recovery, show_millis),
        };
        let jobs = &row.jobs;
        let mut cells = vec![row.fault.to_string(), row.way.title().into()];
        cells.extend([jobs.ok, jobs.lost, jobs.wrong, jobs.hung].map(count));
        cells.extend([died(row), recovery]);
        cells
    };
    let title = "What each fault takes with it".into();
    Table { title, head, rows: rows.iter().map(cells).collect() }
}

/// Describes what died in a typical round.
#[must_use]
pub fn died(row: &Row) -> String {
    let rounds = u64::from(row.rounds.max(1));
    let words = row.died.iter().map(|death| {
        // The count is over all rounds; most rounds have the same.
        let (what, how, count) = (&death.what, &death.how, death.count.div_ceil(rounds));
        match (what.as_str(), count) {
            ("process", 1) => format!("the process ({how})"),
            (_, 1) => format!("1 {what} ({how})"),
            ("process of its own", count) => format!("{count} processes of their own ({how})"),
            (_, count) => format!("{count} {what}s ({how})"),
        }
    });
    let words: Vec<_> = words.collect();
    if words.is_empty() { "nothing".into() } else { words.join(", ") }
}

impl Table {
    /// Renders the table with a final newline, for a terminal of this width if there is one.
    #[must_use]
    pub fn to_text(&self, width: Option<usize>) -> String {
        let columns: Vec<_> = self.head.iter().map(|name| column(name)).collect();
        format!("{}\n\n{}", wrap(&self.title, width), columns::table(&columns, &self.rows, width))
    }
}

/// How a column is aligned, and whether a narrow terminal shows it.
fn column(name: &'static str) -> Column {
    match name {
        "what died" => Column::text(name),
        "switches" => Column::number(name).omitted_by_rank(5),
        "serialising" => Column::number(name).omitted_by_rank(4),
        "min..max" => Column::number(name).omitted_by_rank(3),
        "max" => Column::number(name).omitted_by_rank(2),
        "start" => Column::number(name).omitted_by_rank(1),
        name if is_words(name) => Column::word(name),
        name => Column::number(name),
    }
}

/// Whether a column of this name holds words.
#[must_use]
pub fn is_words(name: &str) -> bool {
    WORDS.contains(&name)
}

fn cell(spread: Option<Spread>, show: fn(f64) -> String) -> String {
    spread.map_or(NOTHING.into(), |spread| show(spread.median))
}

/// Returns the minimum and the maximum, if they differ.
fn range(spread: Option<Spread>, show: fn(f64) -> String) -> String {
    let differs = |spread: &Spread| spread.min < spread.max;
    spread.filter(differs).map_or(NOTHING.into(), |spread| {
        let (min, max) = (show(spread.min), show(spread.max));
        // Both in the same unit: `125..131 ms`.
        match (min.split_once(' '), max.split_once(' ')) {
            (Some((number, one)), Some((_, other))) if one == other => format!("{number}..{max}"),
            _ => format!("{min}..{max}"),
        }
    })
}

/// Returns the median, with the range if there is one.
fn show_range(spread: Spread, show: fn(f64) -> String) -> String {
    let median = show(spread.median);
    match range(Some(spread), show).as_str() {
        NOTHING => median,
        range => format!("{median} ({range})"),
    }
}

/// Formats milliseconds; values below 0.1 ms are shown in smaller units.
#[must_use]
pub fn show_millis(millis: f64) -> String {
    let time = Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default();
    let micros = millis * 1e3;
    match micros {
        micros if micros < 0.995 => format!("{:.0} ns", micros * 1e3),
        micros if micros < 9.95 => format!("{micros:.1} µs"),
        micros if micros < 99.5 => format!("{micros:.0} µs"),
        _ => show_duration(time),
    }
}

/// Formats a number of bytes with a unit.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes, below 2^53")]
pub fn show_bytes(bytes: f64) -> String {
    show_size(bytes.max(0.0) as u64)
}

fn show_rate(rate: f64) -> String {
    match rate {
        rate if rate < 99.5 => format!("{rate:.1}"),
        rate if rate < 99_950.0 => format!("{rate:.0}"),
        rate => format!("{:.0}k", rate / 1e3),
    }
}

/// Formats a count; the median of an even number of rounds may end in `.5`.
#[must_use]
pub fn show_count(count: f64) -> String {
    if count.fract() == 0.0 { format!("{count:.0}") } else { format!("{count:.1}") }
}
