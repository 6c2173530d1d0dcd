//! The command line, with one file per verb. Each verb converts its arguments into
//! [`supervisor::settings`] in one fallible step.

mod check_worker;
#[cfg(feature = "compare")]
mod compare;
mod completions;
mod control;
mod each;
mod exit;
mod jobs;
#[cfg(feature = "journal")]
mod journal;
mod journaling;
mod man;
mod print;
mod program;
mod refusal;
mod rules;
mod run;
mod views;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs work in worker processes, so that one crash, leak or hang costs one worker and nothing
/// else, and says exactly which and why.
#[derive(Debug, Parser)]
#[command(name = "supervisor", version, max_term_width = 100, after_help = exit::EXIT_STATUS)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Arguments),
    Each(each::Arguments),
    CheckWorker(check_worker::Arguments),
    #[cfg(feature = "compare")]
    Compare(Box<compare::Arguments>),
    #[command(flatten)]
    Control(control::Verb),
    #[cfg(feature = "journal")]
    Journal(journal::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// Parses the arguments, runs the verb and returns the exit status.
pub(crate) fn main() -> ExitCode {
    match Arguments::try_parse() {
        Ok(Arguments { verb: Verb::Run(arguments) }) => run::main(arguments),
        Ok(Arguments { verb: Verb::Each(arguments) }) => each::main(arguments),
        Ok(Arguments { verb: Verb::CheckWorker(arguments) }) => check_worker::main(arguments),
        #[cfg(feature = "compare")]
        Ok(Arguments { verb: Verb::Compare(arguments) }) => compare::main(&arguments),
        Ok(Arguments { verb: Verb::Control(verb) }) => control::main(verb),
        #[cfg(feature = "journal")]
        Ok(Arguments { verb: Verb::Journal(arguments) }) => journal::main(&arguments),
        Ok(Arguments { verb: Verb::Completions(arguments) }) => completions::main(&arguments),
        Ok(Arguments { verb: Verb::Man(arguments) }) => man::main(&arguments),
        Err(error) => refusal::exit(error),
    }
}
