//! `supervisor man`: writes manual pages from the same definition as `--help`.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use supervisor::run::status;

use super::print;

/// Print the manual page, or write one for each verb
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write supervisor.1, supervisor-run.1 and the others into this directory; without it, print
    /// supervisor(1)
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(super) fn main(arguments: &Arguments) -> ExitCode {
    let mut command = super::Arguments::command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = &arguments.directory else {
        return match page(command) {
            Ok((_, page)) => print::text(&page),
            Err(error) => failed("the manual", &error),
        };
    };
    match files::create_directory(directory) {
        Ok(directory) => write(command, &directory),
        Err(error) => failed(&directory.display().to_string(), &error),
    }
}

/// Writes the page of a command and of each of its verbs.
fn write(command: Command, directory: &files::Directory) -> ExitCode {
    let mut left = vec![command];
    while let Some(command) = left.pop() {
        left.extend(command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned());
        let written = page(command).and_then(|(name, page)| {
            let created = directory.create(&name);
            created.and_then(|mut file| file.write_all(&page)).map_err(|error| {
                let path = directory.path().join(name);
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })
        });
        if let Err(error) = written {
            return failed("the manual", &error);
        }
    }
    ExitCode::SUCCESS
}

/// Renders the page of a command; returns its file name and its content.
fn page(command: Command) -> io::Result<(String, Vec<u8>)> {
    let (man, mut page) = (Man::new(command), Vec::new());
    man.render(&mut page)?;
    let page = String::from_utf8_lossy(&page).replace("\n.SH EXTRA\n", "\n.SH NOTES\n");
    Ok((man.get_filename(), ascii(&page).into_bytes()))
}

/// Escapes all but ASCII: a formatter may not know that its input is UTF-8.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_ascii() {
            true => out.push(c),
            false => out.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        }
    }
    out
}

fn failed(what: &str, error: &io::Error) -> ExitCode {
    print::message(&format!("{what} cannot be written: {error}"));
    status::OUTPUT_FAILED.into()
}
