//! Harms a supervisor in every way, and proves that no job was lost.
//!
//! In each round it writes an input whose jobs misbehave, and runs it with a journal. Meanwhile it
//! kills and stops processes, fills the disk and slows the reader of stdout. It repeats the same
//! command until every job is settled. Then four ledgers must agree: what was submitted, what the
//! jobs witnessed, what the journal records, and what the supervisor wrote to stdout.

mod books;
mod campaign;
mod disk;
mod disturb;
mod journal;
mod judge;
mod plan;
mod planted;
mod procfs;
mod random;
mod reader;
mod reported;
mod round;
mod running;
mod story;
mod tally;
mod witness;
mod worker;

use std::{env, path::PathBuf, process::ExitCode};

use clap::Parser;

/// An error of this program, with a message for people.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Harm a supervisor in every way, and prove that no job was lost
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Time to run; the current round is then completed
    #[arg(long, value_name = "N", default_value_t = 20)]
    seconds: u64,

    /// Seed of the harm that is done [default: a new one each time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// Supervisor program [default: the one next to this program]
    #[arg(long, value_name = "PATH")]
    supervisor: Option<PathBuf>,

    /// Directory in which a new directory for all files is created [default: that of temporary
    /// files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let done = match (words.next(), words.next()) {
        (Some(word), Some(file)) if word == "worker" => worker::serve(file.as_ref()).map(|()| true),
        _ => campaign::run(&Arguments::parse()),
    };
    match done {
        Ok(is_well) => ExitCode::from(u8::from(!is_well)),
        Err(fault) => {
            eprintln!("chaos: {fault}");
            ExitCode::from(125)
        }
    }
}
