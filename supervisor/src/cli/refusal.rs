//! Refuses arguments. All faults of a command line are collected first, so that the user sees every
//! one of them at once.

use std::{fmt, process::ExitCode};

use supervisor::run::status;

use super::print;

/// Faults of the arguments, in the order in which they were found; each is one line.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    pub(super) fn add(&mut self, fault: impl fmt::Display) {
        self.0.push(fault.to_string());
    }

    /// Returns the value, or keeps the fault and returns `None`.
    pub(super) fn take<T>(&mut self, value: Result<T, impl Into<Self>>) -> Option<T> {
        value.map_err(|faults| self.0.extend(faults.into().0)).ok()
    }

    /// Returns the value if there are no faults. A value that is missing must have left a fault.
    pub(super) fn or<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self),
        }
    }

    /// Prints each fault as a line of its own and returns the exit status.
    pub(super) fn exit(&self) -> ExitCode {
        self.0.iter().for_each(|fault| print::message(fault));
        status::USAGE.into()
    }
}

impl From<String> for Faults {
    fn from(fault: String) -> Self {
        Self(vec![fault])
    }
}

impl From<&str> for Faults {
    fn from(fault: &str) -> Self {
        Self::from(fault.to_owned())
    }
}

/// Prints help, or the reason why clap refused the arguments, and returns the exit status.
pub(super) fn exit(error: &clap::Error) -> ExitCode {
    // Errors are ignored: the user asked for help and closed stdout.
    let _ = error.print();
    if error.use_stderr() { status::USAGE.into() } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use supervisor::settings::Settings;

    use super::{super::Verb, *};

    /// Returns the faults of a command line that clap accepts.
    fn faults(line: &str) -> Vec<String> {
        let words = line.split(' ');
        let settings = match super::super::Arguments::try_parse_from(words).unwrap().verb {
            Verb::Run(arguments) => Settings::try_from(arguments),
            Verb::Each(arguments) => Settings::try_from(arguments),
            _ => unreachable!(),
        };
        settings.unwrap_err().0
    }

    #[test]
    fn every_fault_of_a_command_line_is_reported() {
        let run = faults(
            "supervisor run --cwd /nowhere --env x --env y --roll stop-first --retries 1 --tag \
             --output raw --timestamps program",
        );
        for (fault, part) in run.iter().zip([
            "--tag is about jobs",
            "--retries is about jobs",
            "--roll has no meaning here",
            "--timestamps has no meaning with --output raw",
            "--cwd /nowhere is not there",
            "--env `x` sets no variable",
            "--env `y` sets no variable",
        ]) {
            assert!(fault.contains(part), "{part}: {run:#?}");
        }
        assert_eq!(run.len(), 7, "{run:#?}");
        let each = faults(
            "supervisor each -a file --max-fail 1 --halt soon,fail=2 --cwd /nowhere --tag \
             --output raw --max-output 1G -I , echo {} ::: a",
        );
        for part in ["inputs come from one place", "--tag", "--max-output", "--halt", "--cwd"] {
            assert!(each.iter().any(|fault| fault.contains(part)), "{part}: {each:#?}");
        }
    }

    #[test]
    fn all_faults_are_kept_in_order() {
        let mut faults = Faults::default();
        assert_eq!(faults.take::<u32>(Err("one")), None);
        assert_eq!(faults.take(Ok::<_, String>(2)), Some(2));
        faults.add("three");
        assert_eq!(faults.or(Some(2)), Err(Faults(vec!["one".into(), "three".into()])));
        assert_eq!(Faults::default().or(Some(2)), Ok(2));
    }
}
