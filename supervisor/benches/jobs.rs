//! What does a pool of workers cost, beside the least that pipes allow, and does it keep what it
//! promises? One table; each rate stands beside a reference measured in turns with it.
//! `sh scripts/bench.sh` builds what it needs and runs it.
//!
//! `cargo bench -p supervisor --bench jobs -- tiny lost` measures only these (see `GROUPS`);
//! with `--check`, a goal that is missed is an error. `BENCH_BIN_DIR` names the directory of
//! another build's programs. Takes 2 GB of the temporary directory.

#![expect(unsafe_code, reason = "the references use the system as a C program would")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that fails shall stop")]

mod limits;

use std::{
    env,
    fs::File,
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
};

use crate::limits::{
    Limit,
    command::Place,
    commands, deaths, memory, mixed, recorded,
    table::{Goal, ROUNDS, Table, Turns, gigabytes, micros, rate, turns},
    watched,
};

type Group = (&'static str, fn(&Place, &mut Table));

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
    // The supervisor that this program is for one of the measurements starts itself anew.
    process::spawn::exec_helper::run_if_called(Some(supervisor::launcher::start));
    let words: Vec<_> = env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == limits::WORD) {
        limits::main(&words[1..]);
        return ExitCode::SUCCESS;
    }
    if words.first().is_some_and(|word| word == commands::HEAVY) {
        commands::heavy(&words[1..]);
        return ExitCode::SUCCESS;
    }
    // `cargo bench` passes `--bench`; `cargo test --benches` does not, and shall not wait.
    let is_given = |option: &str| words.iter().any(|word| word == option);
    if !is_given("--bench") {
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<_> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| *word == name);
    for word in &wanted {
        assert!(GROUPS.iter().any(|(name, _)| name == word), "no group is named {word}");
    }
    let (place, mut table) = (Place::new(), Table::new());
    for (_, measure) in GROUPS.iter().filter(|(name, _)| is_wanted(name)) {
        measure(&place, &mut table);
    }
    let is_wrong = is_given("--check") && !table.is_met();
    if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Ten million of the smallest jobs.
fn tiny(place: &Place, table: &mut Table) {
    const COUNT: usize = 10_000_000;
    const CPU_MAX: f64 = 0.3e-6;
    let jobs = COUNT as f64;
    let input = place.lines(COUNT);
    let python = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
    let has_python = python.is_ok_and(|status| status.success());
    let [mut rates, mut cpu, mut peers] = <[Turns; 3]>::default();
    for _ in 0..ROUNDS {
        let ours = place.jobs(&QUIET, COUNT, &input, &["echo"]);
        rates.push(jobs / ours.wall, Limit::Pipeline(COUNT, 0).measure(place).0);
        cpu.push(ours.cpu / jobs, CPU_MAX);
        if has_python {
            peers.push(jobs / ours.wall, python_rate(place));
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

/// Jobs per second of the fastest way that Python has.
fn python_rate(place: &Place) -> f64 {
    place.run(Command::new("python3").arg(PEERS));
    let said = place.said();
    let rates = said.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap());
    rates.fold(0.0, f64::max)
}

/// With a record of each.
fn records(place: &Place, table: &mut Table) {
    const COUNT: usize = 2_000_000;
    let input = place.lines(COUNT);
    let ours = || {
        let ran = place.jobs(&["-w", "2", "--format", "jsonl"], COUNT, &input, &["echo"]);
        let file = BufReader::with_capacity(1 << 20, File::open(place.path("said")).unwrap());
        // What is not recorded does not count.
        let lines = file.split(b'\n').map(Result::unwrap);
        let records = lines.filter(|line| line.starts_with(br#"{"type":"job""#)).count();
        records as f64 / ran.wall
    };
    let name = "2 M jobs of 16 bytes, with records in a file";
    table.row(name, &turns(ours, || 1e6), rate, &Goal::AtLeast(1.0, "of 1 M/s"));
}

/// A worker has but one job at a time.
fn one_at_a_time(place: &Place, table: &mut Table) {
    const COUNT: usize = 200_000;
    let input = place.lines(COUNT);
    let options = [&QUIET[..], &["--depth", "1"]].concat();
    let ours = || COUNT as f64 / place.jobs(&options, COUNT, &input, &["echo"]).wall;
    let turns = turns(ours, || Limit::Epoll(COUNT).measure(place).0);
    let goal = Goal::AtLeast(0.65, "of pipes, one in flight each");
    table.row("200 k jobs of 16 bytes, --depth 1", &turns, rate, &goal);
}

/// Jobs that do something.
fn spin(place: &Place, table: &mut Table) {
    const COUNT: usize = 40_000;
    const MICROS: u64 = 100;
    let input = place.lines(COUNT);
    let program = ["spin", &MICROS.to_string()];
    let ours = || COUNT as f64 / place.jobs(&QUIET, COUNT, &input, &program).wall;
    let turns = turns(ours, || Limit::Pipeline(COUNT, MICROS).measure(place).0);
    let goal = Goal::AtLeast(0.97, "of pipes, 64 in flight");
    table.row("40 k jobs of 100 us, start-up included", &turns, rate, &goal);
}

/// Large payloads.
fn bulk(place: &Place, table: &mut Table) {
    const COUNT: usize = 1_500;
    let bytes = f64::from(1 << 20);
    let input = place.blocks(COUNT);
    let [mut memory, mut file] = <[Turns; 2]>::default();
    for _ in 0..ROUNDS {
        let ours = COUNT as f64 / place.jobs(&QUIET, COUNT, &input, &["echo"]).wall * bytes;
        memory.push(ours, Limit::Bulk(COUNT).measure(place).0 * bytes);
        file.push(ours, Limit::BulkFile(COUNT).measure(place).0 * bytes);
    }
    let goal = Goal::AtLeast(0.8, "of pipes of 1 MiB");
    table.row("1500 jobs of 1 MiB, echoed", &memory, gigabytes, &goal);
    // Ours come from a file, and to read it takes half as long as to move it through the pipes.
    let goal = Goal::AtLeast(0.8, "of the same, fed from the file");
    table.row("  beside pipes that read the same file", &file, gigabytes, &goal);
}
