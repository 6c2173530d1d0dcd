//! `supervisor compare`: the arguments and the output. The crate `compare` runs the comparison.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use compare::{
    Comparison, Progress, Settings, figures, html, jsonl,
    machine::Machine,
    plan::{Fault, Plan, Way, Work},
    table::{self, Table},
    verdict,
};
use pool::signal::Signal;
use process::{signals::die_by, terminal};
use supervisor::{run::status, settings::Workers};
use text::{
    columns::wrap,
    units::{parse_duration, parse_size, show_size},
};

use super::{print, refusal::Faults, rules::positive_duration, run::FormatArgument};

/// Default number of jobs without faults.
const FEW_JOBS: u64 = 4;
/// Default number of jobs with faults: enough to show how many others a fault costs.
const MANY_JOBS: u64 = 100;
/// Default number of jobs of `--work echo`, each of which costs next to nothing.
const TINY_JOBS: u64 = 10_000;
const ROUNDS: u32 = 3;
const PAYLOAD_BYTES_MAX: u64 = 16 << 20;
/// Limit of all payloads together, since all jobs are in memory at once.
const PAYLOADS_BYTES_MAX: u64 = 1 << 30;
const FIB_MAX: u64 = 60;
const JOBS_MAX: u64 = 10_000_000;
/// This program, which contains an HTTP client, cannot start with less memory.
const MEMORY_BYTES_MIN: u64 = 16 << 20;

/// Run the same jobs in different ways (one after another, as async tasks, in threads and in
/// processes) and show what each way costs and what a fault takes with it.
///
/// Each way runs in a process of its own, in rounds. Figures are medians; the longest and the
/// shortest stand beside them.
#[derive(Debug, Args)]
#[command(after_help = "\
Ways: serial (one after another), tasks (on one thread), runtime (tasks on a thread for each \
processor), threads, workers (supervisor run), each (supervisor each).

Faults: panic, abort, segv, leak (memory, to its limit), hang (a call that blocks for good), spin \
(a loop without an await), exit (with success), deadlock (a lock never released).

wall is from a way's start to the end of its last job. memory is the peak of all its processes \
together, with shared pages counted once (PSS). start is the shortest time until a worker, thread \
or task begins its first job. serialising is the time spent on encoding and decoding jobs and \
replies.

Examples:
  supervisor compare
  supervisor compare --work fib --fib 38
  supervisor compare --fault all --html report.html
  supervisor compare --work echo --payload 64k --ways threads,workers")]
pub(super) struct Arguments {
    /// What each job does: http (a request to an upstream on this machine), fib, sleep, echo, or
    /// mixed (a long request, other work, a job that never yields, a short one)
    #[arg(long, value_name = "WORK", default_value = "http")]
    work: Work,

    /// Number of jobs [default: 4; with faults 100; with echo 10000]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=JOBS_MAX))]
    jobs: Option<u64>,

    /// How many at a time: a number, or auto for one per CPU [default: 4, or auto if that is more]
    #[arg(short, long, visible_short_aliases = ['j', 'P'], value_name = "N")]
    workers: Option<Workers>,

    /// How jobs go wrong: one or more of none, panic, abort, segv, leak, hang, spin, exit,
    /// deadlock; or all [default: none]
    #[arg(long, value_name = "FAULT,…", value_delimiter = ',')]
    fault: Vec<String>,

    /// Number of jobs that go wrong [default: 1]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    faulty: Option<u64>,

    /// Ways to compare: some of serial, tasks, runtime, threads, workers, each [default: all]
    #[arg(long, value_name = "WAY,…", value_delimiter = ',')]
    ways: Vec<Way>,

    /// Which Fibonacci number [default: 40]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=FIB_MAX))]
    fib: Option<u64>,

    /// How long the upstream takes to answer, or a job sleeps [default: 125ms; with mixed 5s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    delay: Option<Duration>,

    /// Payload size of each job and reply [default: 0]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    payload: Option<u64>,

    /// Time after which a job counts as hanging [default: 2s and the delay; with fib 60s]
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    timeout: Option<Duration>,

    /// Memory limit of each process if a job leaks [default: 256M]
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,

    /// Number of rounds that count [default: 3; with faults or mixed 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: Option<u32>,

    /// Number of rounds before them that do not count [default: 1 if more than one counts]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1000))]
    warm_up: Option<u32>,

    /// What stdout carries: tables with an explanation, or one JSON record per line
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    format: FormatArgument,

    /// Write a self-contained HTML page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn main(arguments: &Arguments) -> ExitCode {
    let settings = match arguments.to_settings() {
        Ok(settings) => settings,
        Err(faults) => return faults.exit(),
    };
    let line = Line::default();
    let comparison = compare::run(&settings, |progress| line.show(progress));
    line.clear();
    match comparison {
        Ok(comparison) => arguments.report(&settings, &comparison),
        Err(error) => {
            print::message(&format!("the ways cannot be run: {error}"));
            status::OUR_FAILURE.into()
        }
    }
}

impl Arguments {
    /// Converts the arguments.
    ///
    /// # Errors
    /// All faults of the arguments.
    fn to_settings(&self) -> Result<Settings, Faults> {
        let mut refused = Faults::default();
        let faults = self.faults(&mut refused);
        let is_faulty = faults.iter().any(|fault| *fault != Fault::None);
        let work = self.work;
        self.refuse_meaningless(&faults, is_faulty, &mut refused);
        let jobs = self.jobs.unwrap_or(match work {
            _ if is_faulty => MANY_JOBS,
            Work::Echo => TINY_JOBS,
            _ => FEW_JOBS,
        });
        let faulty = self.faulty.unwrap_or(1);
        if faulty > jobs {
            refused.add(format!("--faulty {faulty}: there are {jobs} jobs; ask for fewer"));
        }
        let payload = self.payload.unwrap_or(0);
        if payload > PAYLOAD_BYTES_MAX || payload.saturating_mul(jobs) > PAYLOADS_BYTES_MAX {
            refused.add(format!(
                "--payload: a job may carry {}, and all jobs together {}, since they lie in memory",
                show_size(PAYLOAD_BYTES_MAX),
                show_size(PAYLOADS_BYTES_MAX)
            ));
        }
        let usual = if work == Work::Mixed { 5_000 } else { 125 };
        let delay = self.delay.unwrap_or(Duration::from_millis(usual));
        let slack = Duration::from_secs(if work == Work::Fib { 60 } else { 2 });
        let few = Workers::auto().get().max(u32::try_from(FEW_JOBS).unwrap_or(1));
        let is_once = is_faulty || work == Work::Mixed;
        let repeat = self.repeat.unwrap_or(if is_once { 1 } else { ROUNDS });
        refused.or(Some(Settings {
            plan: Plan {
                work,
                jobs,
                workers: self.workers.map_or(few, Workers::get),
                fault: Fault::None,
                faulty,
                fib: self.fib.and_then(|n| n.try_into().ok()).unwrap_or(40),
                payload_bytes: usize::try_from(payload).unwrap_or(0),
                delay,
                timeout: self.timeout.unwrap_or(delay + slack),
                memory_bytes: self.memory.unwrap_or(256 << 20).max(MEMORY_BYTES_MIN),
                upstream: String::new(),
            },
            faults,
            ways: if self.ways.is_empty() { all_ways() } else { self.ways.clone() },
            repeat,
            warm_up: self.warm_up.unwrap_or(u32::from(repeat > 1)),
        }))
    }

    fn faults(&self, refused: &mut Faults) -> Vec<Fault> {
        if self.fault.iter().any(|name| name == "all") {
            return Fault::ALL.iter().map(|(_, fault)| *fault).collect();
        }
        let faults = self.fault.iter().filter_map(|name| refused.take(name.parse::<Fault>()));
        let mut faults: Vec<_> = faults.collect();
        faults.dedup();
        if faults.is_empty() { vec![Fault::None] } else { faults }
    }

    /// Refuses options that have no effect together with the others.
    fn refuse_meaningless(&self, faults: &[Fault], is_faulty: bool, refused: &mut Faults) {
        let work = self.work;
        let takes_delay = !matches!(work, Work::Fib | Work::Echo);
        let refusals = [
            (self.fib.is_some() && work != Work::Fib, "--fib", "--work fib"),
            (self.delay.is_some() && !takes_delay, "--delay", "--work http, sleep or mixed"),
            (self.faulty.is_some() && !is_faulty, "--faulty", "--fault"),
            (self.memory.is_some() && !faults.contains(&Fault::Leak), "--memory", "--fault leak"),
        ];
        for (_, option, of) in refusals.into_iter().filter(|(is_so, ..)| *is_so) {
            refused.add(format!("{option} has a meaning only with {of}"));
        }
    }

    fn report(&self, settings: &Settings, comparison: &Comparison) -> ExitCode {
        let (machine, plan) = (Machine::here(), &settings.plan);
        let runs = &comparison.runs;
        let rows = figures::rows(plan, runs);
        let verdict = verdict::sentences(plan, &rows);
        let tables = table::tables(plan, &rows);
        let width = match self.format {
            FormatArgument::Text => terminal::columns(io::stdout()),
            FormatArgument::Jsonl => terminal::columns(io::stderr()),
        };
        let text = text(&tables, &verdict, &machine, width.map(usize::from));
        let errors = rows.iter().filter_map(|row| Some((row.way, row.error.as_deref()?)));
        let errors: Vec<_> = errors.collect();
        for (way, error) in &errors {
            print::message(&format!("{} came to nothing: {error}", way.title()));
        }
        let written = match self.format {
            FormatArgument::Text => io::stdout().write_all(text.as_bytes()),
            FormatArgument::Jsonl => {
                // The records matter even if stderr is closed.
                let _ = io::stderr().write_all(text.as_bytes());
                let records = jsonl::records(&machine, plan, (runs, &rows), &verdict);
                io::stdout().write_all(records.as_bytes())
            }
        };
        if let Err(error) = written.and_then(|()| io::stdout().flush()) {
            if error.kind() == io::ErrorKind::BrokenPipe {
                die_by(Signal::PIPE);
            }
            print::message(&format!("stdout cannot be written: {error}"));
            return status::OUTPUT_FAILED.into();
        }
        if let Some(path) = &self.html {
            let page = html::page(&machine, plan, (runs, &rows), (&tables, &verdict));
            let created = files::create(path);
            if let Err(error) = created.and_then(|mut file| file.write_all(page.as_bytes())) {
                let path = path.display();
                print::message(&format!("--html {path}: {error}; name a file that can be written"));
                return status::OUTPUT_FAILED.into();
            }
        }
        match comparison.stopped {
            Some(signal) => die_by(signal),
            None if errors.is_empty() => ExitCode::SUCCESS,
            None => status::FAILED.into(),
        }
    }
}

/// The report for people: the conclusions, and the tables from which they are drawn.
fn text(tables: &[Table], verdict: &[String], machine: &Machine, width: Option<usize>) -> String {
    let mut text = String::new();
    for sentence in verdict {
        text += &wrap(sentence, width);
        text.push('\n');
    }
    for table in tables {
        text.push('\n');
        text += &table.to_text(width);
    }
    text.push('\n');
    text += &wrap(&format!("Measured on {machine}."), width);
    text + "\n"
}

fn all_ways() -> Vec<Way> {
    Way::ALL.iter().map(|(_, way)| *way).collect()
}

/// A status line that is redrawn in place; shown only if stderr is a terminal.
struct Line {
    is_shown: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self { is_shown: io::stderr().is_terminal() }
    }
}

impl Line {
    fn show(&self, progress: Progress) {
        let Progress { done, total, counts, way, fault } = progress;
        let fault = if fault == Fault::None { String::new() } else { format!(", {fault}") };
        let warm_up = if counts { "" } else { " (to warm up)" };
        let text = format!("{}/{total} {}{fault}{warm_up}", done + 1, way.title());
        let columns = usize::from(terminal::columns(io::stderr()).unwrap_or(80)).saturating_sub(1);
        self.put(&text.chars().take(columns).collect::<String>());
    }

    fn clear(&self) {
        self.put("");
    }

    fn put(&self, text: &str) {
        if self.is_shown {
            // Errors are ignored: the terminal is gone.
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }
}
