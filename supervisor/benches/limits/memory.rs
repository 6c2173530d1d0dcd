//! Measures whether the supervisor's memory grows with the number of jobs that arrive through a pipe.

use std::{
    fs::File,
    io::{self, Read, Write},
    process::{ChildStdin, Stdio},
};

use ::process::proc::Fields;

use super::{
    command::{Live, Workspace},
    table::{Goal, Table, Turns, mebibytes},
};

const MILLION: usize = 1_000_000;
const LINE: usize = 17;
const GROWTH_MAX: f64 = 1.2;
const PEAK_MAX: f64 = 32.0 * 1024.0 * 1024.0;

pub(crate) fn memory(workspace: &Workspace, table: &mut Table) {
    grow(workspace, table, "10 M jobs by a pipe", 10, &["--output", "none"], "echo", "");
    // The supervisor has to keep early replies until the first job's reply has arrived.
    grow(
        workspace,
        table,
        "2 M by a pipe, -k, first takes 2 s",
        2,
        &["-k"],
        "work",
        "sleep 2000\n",
    );
}

fn grow(
    workspace: &Workspace,
    table: &mut Table,
    name: &str,
    millions: usize,
    options: &[&str],
    program: &str,
    first: &str,
) {
    let lines = File::open(workspace.lines(10 * MILLION)).unwrap();
    let options = [&["-w", "2"], options].concat();
    let mut command = workspace.supervisor(&options, "-", &[program]);
    let mut run = Live::start(command.stdin(Stdio::piped()).stdout(Stdio::null()));
    let mut input = run.0.stdin.take().unwrap();
    input.write_all(first.as_bytes()).unwrap();
    feed(&lines, &mut input, MILLION);
    let early = status(&run, "VmRSS");
    feed(&lines, &mut input, (millions - 1) * MILLION);
    let late = status(&run, "VmRSS");
    let peak = status(&run, "VmHWM");
    drop(input);
    assert!(run.succeeds(), "the run succeeds");
    let jobs = millions * MILLION + usize::from(!first.is_empty());
    assert_eq!(workspace.tally(), Some((jobs, jobs)), "all jobs succeed");
    let mut turns = Turns::default();
    turns.push(late, early);
    let goal = Goal::AtMost(GROWTH_MAX, "of that after the first million");
    table.row(&format!("{name}: memory"), &turns, mebibytes, &goal);
    let figures = [&mebibytes(peak), &mebibytes(PEAK_MAX), &format!("{:.2}", peak / PEAK_MAX)];
    table.plain("  its peak", figures.map(String::as_str), "<= 32 MiB", peak <= PEAK_MAX);
}

/// Writes the next `count` lines of the file into the pipe, and returns once all are written.
pub(super) fn feed(lines: &File, input: &mut ChildStdin, count: usize) {
    let bytes = u64::try_from(count * LINE).unwrap();
    let fed = io::copy(&mut lines.take(bytes), input).unwrap();
    assert_eq!(fed, bytes, "the file has enough lines");
}

/// Returns a value of `/proc/PID/status`, in bytes.
pub(super) fn status(run: &Live, name: &str) -> f64 {
    let status = Fields::status(run.0.id().cast_signed()).unwrap();
    status.bytes(name).unwrap() as f64
}
