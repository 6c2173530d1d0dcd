//! JSON records of a comparison: first everything that was measured, then the figures, so that each
//! figure can be computed again from the records before it.

use serde::Serialize;

use super::{
    figures::Row,
    machine::Machine,
    plan::{Fault, Plan, Way},
    records::{Job, Run},
};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Record<'a> {
    Plan {
        machine: &'a Machine,
        plan: &'a Plan,
    },
    Job {
        way: Way,
        fault: Fault,
        round: u32,
        #[serde(flatten)]
        job: &'a Job,
    },
    Run(&'a Run),
    Row(&'a Row),
    Verdict {
        text: &'a str,
    },
}

/// Renders all records, one per line.
#[must_use]
pub fn records(
    machine: &Machine,
    plan: &Plan,
    (runs, rows): (&[Run], &[Row]),
    verdict: &[String],
) -> String {
    let mut out = String::new();
    push(&mut out, &Record::Plan { machine, plan });
    for run in runs {
        let (way, fault, round) = (run.way, run.fault, run.round);
        for job in &run.jobs {
            push(&mut out, &Record::Job { way, fault, round, job });
        }
        push(&mut out, &Record::Run(run));
    }
    rows.iter().for_each(|row| push(&mut out, &Record::Row(row)));
    verdict.iter().for_each(|text| push(&mut out, &Record::Verdict { text }));
    out
}

fn push(out: &mut String, record: &Record<'_>) {
    if let Ok(text) = serde_json::to_string(record) {
        out.push_str(&text);
        out.push('\n');
    }
}
