//! Checks the path of a journal before SQLite opens it, and that SQLite opened what was checked.
//!
//! SQLite opens files by name, and keeps a write-ahead log beside the journal that is found by the
//! journal's name. A second name (a hard link) would therefore be a journal without its log.

use std::{ffi::OsString, io, path::Path};

use files::Place;

use super::error::Error;

/// The endings of the files that SQLite and the lock put beside a journal.
const BESIDE: [&str; 4] = ["-wal", "-shm", "-journal", LOCK];
/// The ending of the lock file.
const LOCK: &str = "-lock";

/// The path of a journal that is to be written.
#[derive(Debug)]
pub(super) struct Checked {
    place: Place,
    /// Whether the file exists and holds nothing.
    pub(super) is_empty: bool,
}

impl Checked {
    /// Checks the journal and the files beside it, where they exist.
    pub(super) fn new(path: &Path) -> Result<Self, Error> {
        let check = || {
            let place = Place::find(path)?;
            let is_empty = place.check_regular()? == Some(0);
            for ending in BESIDE {
                beside(&place, ending)?.check_regular()?;
            }
            Ok(Self { place, is_empty })
        };
        check().map_err(|reason| Error::unsafe_path(path, reason))
    }

    /// The place of the lock file.
    pub(super) fn lock(&self) -> io::Result<Place> {
        beside(&self.place, LOCK)
    }

    /// Checks that this process has the journal open that was checked, and its log: a directory on
    /// the way may have been replaced meanwhile.
    pub(super) fn confirm(&self, path: &Path) -> Result<(), Error> {
        let check = || {
            if self.place.is_open_here()? && beside(&self.place, "-wal")?.is_open_here()? {
                return Ok(());
            }
            Err(io::Error::other("another process replaced it while it was opened"))
        };
        check().map_err(|reason| Error::unsafe_path(path, reason))
    }
}

/// The place of the lock file of a journal that is to be read.
pub(super) fn lock_of(path: &Path) -> io::Result<Place> {
    beside(&Place::find(path)?, LOCK)
}

/// Refuses what SQLite would wait for, such as a named pipe.
pub(super) fn check_readable(path: &Path) -> Result<(), Error> {
    // A missing file is reported when it is opened.
    match path.metadata() {
        Ok(file) if !file.is_file() => {
            let why = "it is no regular file".into();
            Err(Error::NotAJournal { path: path.to_owned(), why })
        }
        _ => Ok(()),
    }
}

fn beside(journal: &Place, ending: &str) -> io::Result<Place> {
    let mut name = OsString::from(journal.name());
    name.push(ending);
    journal.beside(name)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn a_journal_that_was_replaced_while_it_was_opened_is_refused() {
        let place = crate::tests::Place::new();
        let journal = place.path("journal");
        let checked = Checked::new(&journal).unwrap();
        let open =
            [File::create(&journal).unwrap(), File::create(place.path("journal-wal")).unwrap()];
        checked.confirm(&journal).unwrap();
        fs::rename(&journal, place.path("away")).unwrap();
        fs::write(&journal, "another").unwrap();
        let error = checked.confirm(&journal).unwrap_err().to_string();
        assert!(error.contains("another process replaced it while it was opened"), "{error}");
        drop(open);
    }

    #[test]
    fn nothing_but_files_may_be_at_the_place_of_a_journal_and_beside_it() {
        let place = crate::tests::Place::new();
        let journal = place.path("journal");
        assert!(!Checked::new(&journal).unwrap().is_empty);
        fs::write(&journal, "").unwrap();
        assert!(Checked::new(&journal).unwrap().is_empty);
        std::os::unix::fs::symlink("away", place.path("journal-wal")).unwrap();
        assert!(Checked::new(&journal).is_err());
    }
}
