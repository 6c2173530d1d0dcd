//! Renders the report as a self-contained HTML page: the sentences, plots as inline SVG, and the
//! tables.

mod bars;
mod blast;
mod draw;
mod latency;

use std::fmt::Write;

use self::draw::escape;
use super::{
    figures::Row,
    machine::Machine,
    plan::{Fault, Plan},
    records::Run,
    table::{Table, is_words},
};

const STYLE: &str = include_str!("style.css");

/// Renders the page.
#[must_use]
pub fn page(
    machine: &Machine,
    plan: &Plan,
    (runs, rows): (&[Run], &[Row]),
    (tables, verdict): (&[Table], &[String]),
) -> String {
    let mut out = String::new();
    let plural = if plan.jobs == 1 { "job" } else { "jobs" };
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>supervisor compare</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header>\n<h1>What process isolation costs, and what it buys</h1>\n\
         <p class=\"lead\">{} {plural}, {} at a time: {}.</p>\n\
         <p class=\"fine\">Measured by <code>supervisor compare</code> on {}.</p>\n</header>\n",
        plan.jobs,
        plan.workers,
        escape(&plan.describe()),
        escape(&machine.to_string())
    );
    if !verdict.is_empty() {
        section(&mut out, "In words", "", &sentences(verdict));
    }
    let sound: Vec<_> = rows.iter().filter(|row| row.fault == Fault::None).collect();
    let first = rows.first().map_or(Fault::None, |row| row.fault);
    if rows.iter().any(|row| row.fault != Fault::None) {
        let caption = "Each square is a job, in order; the ringed one was to go wrong.";
        section(&mut out, "Blast radius", caption, &blast::plot(plan, runs));
    }
    if !sound.is_empty() {
        let caption = "Bars are medians; a line reaches from the least to the most.";
        section(&mut out, "The price", caption, &bars::plots(&sound));
    }
    let caption = "How long jobs took from their turn to their end, on a logarithmic scale.";
    section(&mut out, "Latency", caption, &latency::plot(first, runs, rows));
    section(&mut out, "All figures", "", &tables.iter().map(table).collect::<String>());
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn section(out: &mut String, title: &str, caption: &str, content: &str) {
    if content.is_empty() {
        return;
    }
    let _ = write!(out, "<section>\n<h2>{title}</h2>\n");
    if !caption.is_empty() {
        let _ = writeln!(out, "<p class=\"fine\">{caption}</p>");
    }
    let _ = writeln!(out, "{content}</section>");
}

fn sentences(verdict: &[String]) -> String {
    let items = verdict.iter().map(|text| format!("<li>{}</li>\n", escape(text)));
    format!("<ul class=\"verdict\">\n{}</ul>\n", items.collect::<String>())
}

fn table(table: &Table) -> String {
    let class = |name: &str| if is_words(name) { " class=\"words\"" } else { "" };
    let head = table.head.iter().map(|name| format!("<th{}>{}</th>", class(name), escape(name)));
    let row = |row: &Vec<String>| {
        let cells = row.iter().zip(&table.head);
        let cells = cells.map(|(cell, name)| format!("<td{}>{}</td>", class(name), escape(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    format!(
        "<div class=\"scroll\"><table>\n<caption>{}</caption>\n<thead><tr>{}</tr></thead>\n\
         <tbody>\n{}</tbody>\n</table></div>\n",
        escape(&table.title),
        head.collect::<String>(),
        table.rows.iter().map(row).collect::<String>()
    )
}
