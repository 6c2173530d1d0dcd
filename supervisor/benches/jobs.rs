//! Measures the cost of a pool of workers beside the minimum that pipes allow, and checks its
//! promises about lost jobs, latency and memory.
//!
//! The output is one table, in which each rate stands beside a reference that is measured in
//! alternation with it. `sh scripts/bench.sh` builds the programs that the benchmark needs and runs
//! it. `cargo bench -p supervisor --bench jobs -- tiny lost` runs only these groups (see `GROUPS`).
//! With `--check`, a missed goal is an error. `BENCH_BIN_DIR` is a directory with the programs of
//! another build. The benchmark needs 2 GB in the temporary directory.

#![expect(unsafe_code, reason = "the references make system calls as a C program would")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed benchmark stops")]

mod limits;

use std::{
    env,
    fs::File,
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
};

use crate::limits::{
    Limit,
    command::Workspace,
    commands, deaths, memory, mixed, recorded,
    table::{Goal, ROUNDS, Table, Turns, gigabytes, micros, rate, turns},
    watched,
};

type Group = (&'static str, fn(&Workspace, &mut Table));

const GROUPS: [Group; 14] = [
    ("tiny", tiny),
    ("watched", watched::watched),
    ("recorded", recorded::recorded),
    ("records", records),
    ("depth-1", one_at_a_time),
    ("spin", spin),
    ("bulk", bulk),
    ("lost", deaths::lost),
    ("idle", deaths::idle),
    ("mixed", mixed::mixed),
    ("memory", memory::memory),
    ("commands", commands::commands),
    ("ballast", commands::ballast),
    ("million", commands::million),
];
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers.py");
const QUIET: [&str; 4] = ["-w", "2", "--output", "none"];

fn main() -> ExitCode {
    // For the group `ballast`, this program is itself a supervisor, which starts its workers through
    // this program.
    process::spawn::exec_helper::run_if_called(Some(supervisor::launcher::start));
    let words: Vec<_> = env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == limits::WORD) {
        limits::main(&words[1..]);
        return ExitCode::SUCCESS;
    }
    if words.first().is_some_and(|word| word == commands::BALLAST_WORD) {
        commands::run_with_ballast(&words[1..]);
        return ExitCode::SUCCESS;
    }
    // `cargo bench` passes `--bench`. `cargo test --benches` does not, and must end at once.
    let is_given = |option: &str| words.iter().any(|word| word == option);
    if !is_given("--bench") {
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<_> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| *word == name);
    for word in &wanted {
        assert!(GROUPS.iter().any(|(name, _)| name == word), "no group is named {word}");
    }
    let (workspace, mut table) = (Workspace::new(), Table::new());
    for (_, measure) in GROUPS.iter().filter(|(name, _)| is_wanted(name)) {
        measure(&workspace, &mut table);
    }
    let is_wrong = is_given("--check") && !table.is_met();
    if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Measures ten million of the smallest jobs.
fn tiny(workspace: &Workspace, table: &mut Table) {
    const COUNT: usize = 10_000_000;
    const CPU_MAX: f64 = 0.3e-6;
    let jobs = COUNT as f64;
    let input = workspace.lines(COUNT);
    let python = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
    let has_python = python.is_ok_and(|status| status.success());
    let [mut rates, mut cpu, mut peers] = <[Turns; 3]>::default();
    for _ in 0..ROUNDS {
        let measured = workspace.jobs(&QUIET, COUNT, &input, &["echo"]);
        rates.push(jobs / measured.wall, Limit::Pipeline(COUNT, 0).measure(workspace).0);
        cpu.push(measured.cpu / jobs, CPU_MAX);
        if has_python {
            peers.push(jobs / measured.wall, python_rate(workspace));
        }
    }
    let name = "10 M jobs of 16 bytes, 2 workers, depth auto";
    table.row(name, &rates, rate, &Goal::AtLeast(0.3, "of pipes, 64 in flight"));
    table.row("  CPU per job, all processes", &cpu, micros, &Goal::AtMost(1.0, "of 0.3 us"));
    let name = "  beside the fastest of Python's pools";
    if has_python {
        table.row(name, &peers, rate, &Goal::AtLeast(2.0, "of Python"));
    } else {
        table.skip(name, "there is no python3");
    }
}

/// Returns the jobs per second of the fastest of Python's pools.
fn python_rate(workspace: &Workspace) -> f64 {
    workspace.run(Command::new("python3").arg(PEERS));
    let stdout = workspace.stdout();
    let rates = stdout.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap());
    rates.fold(0.0, f64::max)
}

/// Measures jobs with a record of each in a file.
fn records(workspace: &Workspace, table: &mut Table) {
    const COUNT: usize = 2_000_000;
    let input = workspace.lines(COUNT);
    let measured = || {
        let ran = workspace.jobs(&["-w", "2", "--format", "jsonl"], COUNT, &input, &["echo"]);
        let file = BufReader::with_capacity(1 << 20, File::open(workspace.path("stdout")).unwrap());
        // Only recorded jobs count.
        let lines = file.split(b'\n').map(Result::unwrap);
        let records = lines.filter(|line| line.starts_with(br#"{"type":"job""#)).count();
        records as f64 / ran.wall
    };
    let name = "2 M jobs of 16 bytes, with records in a file";
    table.row(name, &turns(measured, || 1e6), rate, &Goal::AtLeast(1.0, "of 1 M/s"));
}

/// Measures workers that have one job in flight at a time.
fn one_at_a_time(workspace: &Workspace, table: &mut Table) {
    const COUNT: usize = 200_000;
    let input = workspace.lines(COUNT);
    let options = [&QUIET[..], &["--depth", "1"]].concat();
    let measured = || COUNT as f64 / workspace.jobs(&options, COUNT, &input, &["echo"]).wall;
    let turns = turns(measured, || Limit::Epoll(COUNT).measure(workspace).0);
    let goal = Goal::AtLeast(0.65, "of pipes, one in flight each");
    table.row("200 k jobs of 16 bytes, --depth 1", &turns, rate, &goal);
}

/// Measures jobs that use the processor for 100 us.
fn spin(workspace: &Workspace, table: &mut Table) {
    const COUNT: usize = 40_000;
    const MICROS: u64 = 100;
    let input = workspace.lines(COUNT);
    let program = ["spin", &MICROS.to_string()];
    let measured = || COUNT as f64 / workspace.jobs(&QUIET, COUNT, &input, &program).wall;
    let turns = turns(measured, || Limit::Pipeline(COUNT, MICROS).measure(workspace).0);
    let goal = Goal::AtLeast(0.97, "of pipes, 64 in flight");
    table.row("40 k jobs of 100 us, start-up included", &turns, rate, &goal);
}

/// Measures payloads of 1 MiB.
fn bulk(workspace: &Workspace, table: &mut Table) {
    const COUNT: usize = 1_500;
    let bytes = f64::from(1 << 20);
    let input = workspace.blocks(COUNT);
    let [mut memory, mut file] = <[Turns; 2]>::default();
    for _ in 0..ROUNDS {
        let measured = COUNT as f64 / workspace.jobs(&QUIET, COUNT, &input, &["echo"]).wall * bytes;
        memory.push(measured, Limit::Bulk(COUNT).measure(workspace).0 * bytes);
        file.push(measured, Limit::BulkFile(COUNT).measure(workspace).0 * bytes);
    }
    let goal = Goal::AtLeast(0.8, "of pipes of 1 MiB");
    table.row("1500 jobs of 1 MiB, echoed", &memory, gigabytes, &goal);
    // The supervisor reads the jobs from a file, which takes half as long as their way through the
    // pipes.
    let goal = Goal::AtLeast(0.8, "of the same, fed from the file");
    table.row("  beside pipes that read the same file", &file, gigabytes, &goal);
}
