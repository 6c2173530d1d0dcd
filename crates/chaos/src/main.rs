//! Does its worst to a supervisor, and proves that nothing was lost.
//!
//! Round after round it writes an input whose jobs do what no job should, has it run with a
//! journal, kills, stops, fills and slows whatever there is, and gives the same command again until
//! each job is settled. Then what was submitted, what the jobs witnessed themselves, what the
//! journal says and what was put out must agree.

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
mod round;
mod running;
mod shown;
mod story;
mod tally;
mod witness;
mod worker;

use std::{env, path::PathBuf, process::ExitCode};

use clap::Parser;

/// What went wrong with ourselves, for people.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Does its worst to a supervisor, and proves that nothing was lost
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// How long; the round that is under way then comes to its end
    #[arg(long, value_name = "N", default_value_t = 20)]
    seconds: u64,

    /// What is done follows from it [default: another each time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// The supervisor [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    supervisor: Option<PathBuf>,

    /// Where files are kept, in a directory that is made for them [default: that of temporary
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
