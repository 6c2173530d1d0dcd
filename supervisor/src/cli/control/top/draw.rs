//! Draws the state of the screen into a frame.

use ratatui::{
    Frame,
    layout::{Alignment, Rect},
    style::Style,
    text::{Line, Span},
    widgets::Sparkline,
};
use records::{Failure, Millis, Snapshot, Worker, names};
use text::units::show_size;

use super::{
    super::show,
    columns::{self, Column, GAP, age},
    layout::Layout,
    palette::Palette,
    rates,
    state::{Link, Top},
    text::{cut, plain},
};

const KEYS: &str = "q quit  ↑↓ select  K kill  d drain  + - scale";

/// Draws the whole screen; returns the number of rows for workers.
pub(super) fn draw(frame: &mut Frame, top: &mut Top, palette: &Palette) -> usize {
    let area = frame.area();
    let failures = failure_count(&top.snapshot);
    let has_message = top.question.is_some() || top.answer().is_some();
    let layout = Layout::new(area.height, top.snapshot.workers.len(), failures, has_message);
    let visible_rows = usize::from(layout.table.1.saturating_sub(1));
    top.scroll(visible_rows);
    let mut page = Page { frame, area, palette };
    page.head(top, layout.head);
    page.table(top, layout.table, visible_rows);
    page.failures(&top.snapshot, layout.failures);
    page.foot(top, layout.foot);
    visible_rows
}

struct Page<'a, 'b> {
    frame: &'a mut Frame<'b>,
    area: Rect,
    palette: &'a Palette,
}

impl Page<'_, '_> {
    fn line(&mut self, y: u16, line: Line) {
        let Rect { x, width, .. } = self.area;
        self.frame.render_widget(line, Rect { x, y, width, height: 1 });
    }

    /// Draws the run, its counters and its rate.
    fn head(&mut self, top: &Top, (y, height): (u16, u16)) {
        let snapshot = &top.snapshot;
        if height > 0 {
            let line = self.title(top);
            self.line(y, line);
        }
        if height > 1 {
            let line = self.counters(snapshot);
            self.line(y + 1, line);
        }
        if height > 2 {
            self.spark(snapshot, y + 2);
        }
    }

    fn title(&self, top: &Top) -> Line<'static> {
        let info = &top.snapshot.run;
        let name = info.name.as_ref().map(|name| format!(" ({})", plain(name)));
        let (state, style) = self.state(top);
        let mut spans = vec![
            Span::styled(
                format!("{}{}", plain(&info.id), name.unwrap_or_default()),
                self.palette.strong,
            ),
            Span::raw("  "),
            Span::styled(state, style),
            Span::raw(format!("  {}  PID {}  ", age(top.snapshot.at_ms.into()), info.pid)),
        ];
        let used: usize = spans.iter().map(Span::width).sum();
        let left = self.area.width.saturating_sub(u16::try_from(used).unwrap_or(u16::MAX));
        spans.push(Span::styled(cut(&plain(&info.title), left), self.palette.faint));
        Line::from(spans)
    }

    /// Returns the line of counters, with the failures highlighted.
    fn counters(&self, snapshot: &Snapshot) -> Line<'static> {
        let text = cut(&counters(snapshot), self.area.width);
        let failed = snapshot.jobs.tally.not_ok();
        let bad = format!("{failed} failed");
        match text.split_once(&bad).filter(|_| failed > 0) {
            Some((before, after)) => Line::from(vec![
                Span::raw(before.to_owned()),
                Span::styled(bad, self.palette.bad),
                Span::raw(after.to_owned()),
            ]),
            None => Line::raw(text),
        }
    }

    /// Returns the state of the run, its reason and its style.
    fn state(&self, top: &Top) -> (String, Style) {
        let snapshot = &top.snapshot;
        let state = plain(&snapshot.state);
        let why = show::why(snapshot).map(|why| format!(": {}", plain(&why))).unwrap_or_default();
        match top.link {
            Link::Silent(seconds) => (format!("no answer for {seconds} s"), self.palette.bad),
            Link::Ended if snapshot.state != "ended" => ("gone".into(), self.palette.bad),
            _ if snapshot.state == "ended" && snapshot.status.as_deref() != Some(names::OK) => {
                (format!("{state}{why}"), self.palette.bad)
            }
            _ => (format!("{state}{why}"), self.palette.of(&snapshot.state)),
        }
    }

    /// Draws the rate of jobs over time, or without jobs the memory of the workers.
    fn spark(&mut self, snapshot: &Snapshot, y: u16) {
        const LABEL_WIDTH: u16 = 18;
        let Rect { x, width, .. } = self.area;
        let room = width.saturating_sub(LABEL_WIDTH);
        let (label, data) = if snapshot.run.has_jobs {
            let rates = rates::rates(snapshot, usize::from(room));
            (format!("rate {}", rates::show(rates::mean(&rates))), rates)
        } else {
            let memory = rates::memory(snapshot, usize::from(room));
            (format!("memory {}", show_size(memory_held(snapshot))), memory)
        };
        self.line(y, Line::raw(cut(&label, width)));
        // The latest value stands at the right edge.
        let pad = room.saturating_sub(u16::try_from(data.len()).unwrap_or(room));
        let area = Rect { x: x + width - room + pad, y, width: room - pad, height: 1 };
        self.frame.render_widget(Sparkline::default().data(data).style(self.palette.faint), area);
    }

    fn table(&mut self, top: &Top, (y, height): (u16, u16), visible_rows: usize) {
        let columns = columns::fitting(&top.snapshot, self.area.width);
        if height > 0 {
            let heads = columns.iter().map(|(column, width)| cell(*column, *width, column.head()));
            self.line(y, Line::styled(joined(heads), self.palette.faint));
        }
        let workers = top.snapshot.workers.iter().enumerate().skip(top.first).take(visible_rows);
        for ((at, worker), y) in workers.zip(y + 1..) {
            let is_selected = at == top.at();
            let line = self.row(worker, top.snapshot.at_ms, &columns, is_selected);
            self.line(y, line);
        }
    }

    fn row(
        &self,
        worker: &Worker,
        at_ms: Millis,
        columns: &[(Column, u16)],
        is_selected: bool,
    ) -> Line<'static> {
        let mut spans = Vec::new();
        for (index, (column, width)) in columns.iter().enumerate() {
            if index > 0 {
                spans.push(Span::raw(" ".repeat(GAP.into())));
            }
            let style = match column {
                Column::State => self.palette.of(&worker.state),
                _ => Style::new(),
            };
            spans.push(Span::styled(cell(*column, *width, &column.of(worker, at_ms)), style));
        }
        let style = if is_selected { self.palette.selected } else { Style::new() };
        Line::from(spans).style(style)
    }

    /// Draws the number of failures by cause, and the latest failures.
    fn failures(&mut self, snapshot: &Snapshot, (y, height): (u16, u16)) {
        if height == 0 {
            return;
        }
        let width = self.area.width;
        let title = cut(&failures_title(snapshot), width);
        self.line(y, Line::styled(title, self.palette.faint));
        let lines: Vec<String> = if snapshot.run.has_jobs {
            snapshot.failures.iter().rev().map(|failure| failed(failure, snapshot.at_ms)).collect()
        } else {
            ends(snapshot).collect()
        };
        for (text, y) in lines.iter().zip(y + 1..y + height) {
            self.line(y, Line::raw(cut(text, width)));
        }
    }

    /// Draws the open question, the last answer, or the keys with the index of the selection.
    fn foot(&mut self, top: &Top, (y, height): (u16, u16)) {
        if height == 0 {
            return;
        }
        let width = self.area.width;
        if let Some(question) = &top.question {
            let room = width.saturating_sub(8);
            let text = format!("{}  y / n", cut(&question.text, room));
            return self.line(y, Line::styled(text, self.palette.strong));
        }
        if let Some(answer) = top.answer() {
            return self.line(y, Line::styled(cut(&plain(answer), width), self.palette.strong));
        }
        let keys = if top.link == Link::Ended { "q quit" } else { KEYS };
        self.line(y, Line::styled(cut(keys, width), self.palette.faint));
        let count = top.snapshot.workers.len();
        let position = format!("{} of {count}", (top.at() + 1).min(count));
        if keys.chars().count() + position.len() + 2 <= usize::from(width) {
            self.line(y, Line::styled(position, self.palette.faint).alignment(Alignment::Right));
        }
    }
}

/// Returns the counters of the jobs, or without jobs those of the workers.
fn counters(snapshot: &Snapshot) -> String {
    if !snapshot.run.has_jobs {
        let live = snapshot.workers.iter().filter(|worker| worker.id.pid.is_some()).count();
        let restarts: u64 = snapshot.restarts.iter().map(|count| count.count).sum();
        return format!("workers: {live} live, {restarts} replaced");
    }
    let jobs = &snapshot.jobs.tally;
    let done = jobs.ok + jobs.not_ok();
    let all = snapshot.jobs.total.filter(|total| *total > 0);
    let part =
        |total: u64| format!(", {} % of {total}", u128::from(done) * 100 / u128::from(total));
    let part = all.map(part).unwrap_or_default();
    format!("jobs: {}{part}", show::jobs(snapshot))
}

fn memory_held(snapshot: &Snapshot) -> u64 {
    let all = snapshot.workers.iter().filter_map(|worker| worker.memory_bytes);
    all.fold(0, u64::saturating_add)
}

fn failure_count(snapshot: &Snapshot) -> usize {
    if snapshot.run.has_jobs { snapshot.failures.len() } else { ends(snapshot).count() }
}

fn failures_title(snapshot: &Snapshot) -> String {
    let (title, counts) = if snapshot.run.has_jobs {
        ("last failures", &snapshot.failed)
    } else {
        ("last ends", &snapshot.restarts)
    };
    let by_cause: Vec<_> = counts
        .iter()
        .map(|count| format!("{} {}", count.count, plain(&count.cause).replace('_', " ")))
        .collect();
    match by_cause.is_empty() {
        true => title.into(),
        false => format!("{title}; in all {}", by_cause.join(", ")),
    }
}

/// Returns the line of a failed job.
fn failed(failure: &Failure, at_ms: Millis) -> String {
    let ago = format!("{} ago", age(at_ms.since(failure.at_ms)));
    let attempts = match failure.attempts.len() {
        0 | 1 => String::new(),
        count => format!(" ({count} attempts)"),
    };
    let (why, input) = (plain(&failure.why), plain(&failure.input));
    format!("{ago:>12}  job {}  {why}{attempts}: {input}", failure.id)
}

/// Returns a line for each slot whose previous worker has ended.
fn ends(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    let ended = snapshot.workers.iter().filter_map(|worker| Some((worker, worker.last.as_ref()?)));
    ended.map(|(worker, last)| {
        let pid = last.pid.map(|pid| format!(" (PID {pid})")).unwrap_or_default();
        format!("w{}.{}{pid} ended: {}", worker.id.worker, last.generation, plain(&last.why))
    })
}

/// Cuts and pads a text to the width of its column.
fn cell(column: Column, width: u16, text: &str) -> String {
    let text = cut(text, width);
    let pad = " ".repeat(usize::from(width).saturating_sub(Span::raw(&text).width()));
    if column.is_number() { pad + &text } else { text + &pad }
}

fn joined(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(&" ".repeat(GAP.into()))
}
