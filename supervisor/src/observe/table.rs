//! The run as a table: a row for each live worker, and for each slot without one.

use std::collections::HashMap;

use text::{
    columns::{self, Column},
    units::show_duration,
};

use super::board::{Board, Live, SlotView, State, Vacancy};
use pool::event::{Ended, WorkerId};
use records::words::why;

const COLUMNS: [Column; 7] = [
    Column::word("worker"),
    Column::number("PID"),
    Column::number("code"),
    Column::text("cause"),
    Column::number("wall"),
    Column::number("CPU").omitted_by_rank(1),
    Column::number("peak memory").omitted_by_rank(2),
];

type Cells = [String; 7];

/// The table, with its last newline. `jobs` has the job that each worker runs; `width` is that of the
/// terminal, if the table is shown on one.
#[must_use]
pub fn table(board: &Board, jobs: &HashMap<WorkerId, u64>, width: Option<usize>) -> String {
    let rows: Vec<Cells> = board.slots().iter().flat_map(|slot| rows(slot, jobs)).collect();
    columns::table(&COLUMNS, &rows, width)
}

fn rows(slot: &SlotView, jobs: &HashMap<WorkerId, u64>) -> Vec<Cells> {
    match &slot.last {
        _ if !slot.live.is_empty() => slot.live.iter().map(|row| live(row, jobs)).collect(),
        Some(last) => vec![ended(last, slot.vacancy())],
        None => vec![cells(format!("w{}", slot.slot), None, "starting")],
    }
}

fn live(live: &Live, jobs: &HashMap<WorkerId, u64>) -> Cells {
    let state = match live.state {
        State::Running | State::Ready => "running",
        State::Stopping => "stopping",
        State::Unkillable => "killed, and held by the kernel",
    };
    let job = jobs.get(&live.worker).map(|job| format!(" job {job}")).unwrap_or_default();
    cells(live.worker.to_string(), Some(live.pid), &format!("{state}{job}"))
}

fn ended(ended: &Ended, vacancy: Vacancy) -> Cells {
    let given_up = if vacancy == Vacancy::GivenUp { ", given up" } else { "" };
    let mut cells = cells(ended.worker.to_string(), ended.pid, &(why(ended) + given_up));
    if let Some(evidence) = &ended.evidence {
        cells[2] = evidence.status.shell_code().to_string();
        cells[4] = show_duration(evidence.wall);
        cells[5] = show_duration(evidence.cpu);
        cells[6] = evidence.peak.to_string();
    }
    cells
}

fn cells(worker: String, pid: Option<i32>, cause: &str) -> Cells {
    let none = || String::from("-");
    let pid = pid.map_or_else(none, |pid| pid.to_string());
    [worker, pid, none(), cause.into(), none(), none(), none()]
}
