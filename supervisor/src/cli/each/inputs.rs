//! Where the inputs of `supervisor each` come from.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use supervisor::settings::{JobSource, Linked};

use super::{
    super::{jobs::ARGUMENTS_FOLLOW, refusal::Faults},
    Arguments,
};

/// Begins a list of inputs that is linked to the one before it.
const LINKED_FOLLOW: &str = ":::+";
/// Begins the name of a file of inputs.
const FILE_FOLLOWS: &str = "::::";
/// The options that name a file of inputs.
const FILE_OPTIONS: [&str; 3] = ["-a", "--jobs-from", "--arg-file"];
impl Arguments {
    /// Removes the lists of inputs from the command, and returns the source of jobs.
    pub(super) fn source(&mut self) -> Result<JobSource, Faults> {
        let is_list = |word: &OsString| {
            [ARGUMENTS_FOLLOW, LINKED_FOLLOW, FILE_FOLLOWS].iter().any(|list| word == list)
        };
        let words = match self.argv.iter().position(is_list) {
            Some(at) => self.argv.split_off(at),
            None => Vec::new(),
        };
        if words.iter().any(|word| word == FILE_FOLLOWS) {
            return self.file_behind_command(&words);
        }
        let lists = lists(words)?;
        if lists.is_empty() && self.jobs_from.is_none() {
            self.refuse_swallowed_option()?;
        }
        match (&self.jobs_from, lists.is_empty()) {
            (Some(_), false) => Err("inputs come from one place: -a FILE, or :::".into()),
            (_, false) if self.rules.null => {
                Err("-0 has no meaning with :::, where each argument is an input".into())
            }
            (Some(path), true) if path != Path::new("-") => Ok(JobSource::File(path.clone())),
            (_, true) => Ok(JobSource::Stdin),
            (None, false) => Ok(JobSource::Product(lists)),
        }
    }

    /// Returns the file of `:::: FILE`. Files are not combined with other lists, which are on the
    /// command line.
    fn file_behind_command(&self, words: &[OsString]) -> Result<JobSource, Faults> {
        match (words, &self.jobs_from) {
            ([_, file], None) if file == "-" => Ok(JobSource::Stdin),
            ([_, file], None) => Ok(JobSource::File(file.into())),
            _ => {
                Err(":::: takes one FILE, and no other inputs beside it: COMMAND :::: FILE is the \
                      same as -a FILE COMMAND"
                    .into())
            }
        }
    }

    /// Refuses a file of inputs that is named behind the command, where stdin would be read instead.
    fn refuse_swallowed_option(&self) -> Result<(), Faults> {
        let is_file = |file: &OsStr| Path::new(file).is_file();
        let words = self.argv.iter().skip(1);
        let named = words.clone().zip(words.skip(1)).find(|(option, file)| {
            FILE_OPTIONS.iter().any(|name| option.as_os_str() == *name) && is_file(file)
        });
        let Some((option, file)) = named else { return Ok(()) };
        let (option, file) = (option.display(), file.display());
        Err(format!(
            "{option} {file} behind the command is for the command: to read inputs from {file}, put it \
             before the command; to read them from stdin, put -a - there"
        )
        .into())
    }
}

/// Splits the words after the command into lists; each begins with `:::` or `:::+`.
fn lists(words: Vec<OsString>) -> Result<Vec<Linked>, String> {
    let mut lists: Vec<Linked> = Vec::new();
    for word in words {
        if word == ARGUMENTS_FOLLOW {
            lists.push(vec![Vec::new()]);
        } else if word == LINKED_FOLLOW {
            let before = lists.last_mut();
            let before = before.ok_or(":::+ links a list to the one before it: begin with :::")?;
            before.push(Vec::new());
        } else if let Some(list) = lists.last_mut().and_then(|linked| linked.last_mut()) {
            list.push(word);
        }
    }
    Ok(lists)
}
