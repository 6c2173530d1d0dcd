//! Refuses arguments. All faults of a command line are collected first, so that the user sees every
//! one of them at once.

use std::{
    env, fmt,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::error::{ContextKind, ContextValue, ErrorKind};
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
pub(super) fn exit(error: clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Errors are ignored: the user asked for help and closed stdout.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = with_own_tips(error).render();
    let mut stderr = io::stderr();
    let text = if stderr.is_terminal() { text.ansi().to_string() } else { text.to_string() };
    // Errors are ignored: there is no other place for them.
    let _ = stderr.write_all(text.replacen("error:", "supervisor:", 1).as_bytes());
    status::USAGE.into()
}

/// Options of similar tools, with what this program has in their place.
const FOREIGN: [(&[&str], &str); 7] = [
    (&["--eta"], "for progress with an estimate, use `--bar`"),
    (&["--dryrun"], "to print the commands without running them, use `--dry-run`"),
    (&["--line-buffer", "--linebuffer"], "to print output line by line, use `--output lines`"),
    (&["--resume", "--resume-failed"], "to continue an earlier run, use `--journal FILE`"),
    (&["--results"], "to write output to files, use `--output files:DIR`"),
    (&["--tagstring"], "to prefix each line with its input, use `--tag`"),
    (&["--nice"], "to run at a lower priority, use `nice supervisor …`"),
];

/// Replaces tips that clap derives from the spelling alone by tips that help. Options of similar tools
/// get what this program has in their place, and a path or a program gets the verbs that run it.
fn with_own_tips(mut error: clap::Error) -> clap::Error {
    let tip = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::InvalidSubcommand, _) => {
            let name = error.get(ContextKind::InvalidSubcommand).map(ToString::to_string);
            name.filter(|name| is_program(name)).map(|name| {
                format!(
                    "to run a program, use `supervisor run {name}`, or `supervisor each {name}` to \
                     run it for each input"
                )
            })
        }
        (ErrorKind::UnknownArgument, Some(option)) => {
            let option = option.to_string();
            let name = option.split('=').next().unwrap_or_default();
            let known = FOREIGN.iter().find(|(names, _)| names.contains(&name));
            let similar = error.get(ContextKind::SuggestedArg).map(ToString::to_string);
            if known.is_some() || similar.is_some_and(|similar| !is_typo(name, &similar)) {
                error.remove(ContextKind::SuggestedArg);
                // It names the suggested option.
                error.remove(ContextKind::Usage);
            }
            // clap's tip turns the option into an argument of the program.
            error.remove(ContextKind::Suggested);
            known.map(|(_, tip)| (*tip).to_owned())
        }
        _ => None,
    };
    if let Some(tip) = tip {
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Whether two options differ by at most two inserted, removed or replaced characters.
fn is_typo(option: &str, other: &str) -> bool {
    fn is_within(a: &[u8], b: &[u8], edits: u32) -> bool {
        match (a, b) {
            ([], rest) | (rest, []) => rest.len() <= edits as usize,
            ([x, a_rest @ ..], [y, b_rest @ ..]) if x == y => is_within(a_rest, b_rest, edits),
            ([_, a_rest @ ..], [_, b_rest @ ..]) => {
                edits > 0
                    && (is_within(a_rest, b_rest, edits - 1)
                        || is_within(a_rest, b, edits - 1)
                        || is_within(a, b_rest, edits - 1))
            }
        }
    }
    let other = other.split([' ', '=']).next().unwrap_or_default();
    is_within(option.as_bytes(), other.as_bytes(), 2)
}

/// Whether a word is the path of a program, or the name of one in PATH.
fn is_program(word: &str) -> bool {
    if word.contains('/') {
        return true;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(word).is_file())
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

    /// Returns what is printed for a command line that clap refuses.
    fn refused(line: &str) -> String {
        let error = super::super::Arguments::try_parse_from(line.split(' ')).unwrap_err();
        with_own_tips(error).render().to_string()
    }

    #[test]
    fn the_first_thing_that_people_type_is_answered_with_the_verb_they_want() {
        let text = refused("supervisor ./prog --port 80");
        assert!(text.contains("supervisor run ./prog"), "{text}");
        let text = refused("supervisor sh -c true");
        assert!(text.contains("supervisor each sh"), "{text}");
        let text = refused("supervisor eahc echo");
        assert!(text.contains("'each'") && !text.contains("supervisor run"), "{text}");
    }

    #[test]
    fn an_unknown_option_is_not_answered_with_an_unrelated_one() {
        for (option, tip) in [
            ("--dryrun", "--dry-run"),
            ("--results=dir", "--output files:DIR"),
            ("--resume", "--journal"),
            ("--eta", "--bar"),
            ("--retires", "--retries"),
        ] {
            let text = refused(&format!("supervisor each {option} 1 echo"));
            assert!(text.contains("tip:") && text.contains(tip), "{option}: {text}");
        }
        for option in ["--colour", "--memfree", "--pipe"] {
            let text = refused(&format!("supervisor each {option} echo"));
            assert!(!text.contains("tip:"), "{option}: {text}");
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
