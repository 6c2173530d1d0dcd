//! `supervisor check-worker`: plays the cases of the worker protocol against a program.

use std::{env, ffi::OsString, os::unix::ffi::OsStrExt, process::ExitCode, time::Duration};

use clap::Args;
use pool::limits::Limits;
use process::{Program, spawn::lookup};
use supervisor::{
    conformance::{self, Finding},
    run::status::USAGE,
};
use tokio::runtime::{Builder, LocalOptions};

use super::{print, rules::positive_duration};

/// Check whether a program is a worker: play the cases of the worker protocol against it
///
/// Each case is one line: ok, or FAIL with the reason and the section of PROTOCOL.md that has the
/// rule. The jobs have --payload as their input; a job that fails is answered, and so is ok. The
/// program is started several times. Its stdout and stderr are passed to stderr.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 every case is ok, 1 some failed, 2 usage, or the program cannot be started.

Example: supervisor check-worker --payload http://127.0.0.1:8080/ ./connection_bin")]
pub(super) struct Arguments {
    /// The input of ordinary jobs
    #[arg(long, value_name = "TEXT", default_value = "check")]
    payload: OsString,

    /// How long the program may take for each step
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = positive_duration)]
    timeout: Duration,

    /// The program and its arguments
    #[arg(value_names = ["PROGRAM", "ARGS"], num_args = 1.., required = true, trailing_var_arg = true)]
    argv: Vec<OsString>,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    let Arguments { payload, timeout, argv } = arguments;
    let env = env::vars_os().collect();
    let program = Program { argv, env, directory: None, limits: Limits::default() };
    if let Err(fault) = lookup::check(&program) {
        print::message(&lookup::cannot_start(fault, &program));
        return USAGE.into();
    }
    let mut runtime = Builder::new_current_thread();
    let runtime = match runtime.enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            print::message(&format!("the runtime cannot be started: {error}"));
            return USAGE.into();
        }
    };
    let (mut has_failed, mut written) = (false, ExitCode::SUCCESS);
    let report = |finding: Finding| {
        has_failed |= finding.result.is_err();
        let status = print::text(line(&finding).as_bytes());
        if status != ExitCode::SUCCESS {
            written = status;
        }
    };
    match runtime.block_on(conformance::check(&program, payload.as_bytes(), timeout, report)) {
        Err(fault) => {
            print::message(&lookup::cannot_start(fault, &program));
            USAGE.into()
        }
        Ok(()) if has_failed => ExitCode::FAILURE,
        Ok(()) => written,
    }
}

fn line(Finding { case, section, result }: &Finding) -> String {
    match result {
        Ok(what) => format!("ok    {case}: {what}\n"),
        Err(fault) => format!("FAIL  {case}: {fault} (PROTOCOL.md, \"{section}\")\n"),
    }
}
