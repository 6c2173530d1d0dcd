//! Makes sure that a journal has one writer: the process that holds a lock on a file beside it,
//! `run.journal-lock` beside `run.journal`. Symbolic links are resolved and a journal has no second
//! name, so each journal has one lock file. The
//! kernel releases the lock when that process ends. The journal itself cannot carry the lock,
//! because the locks of SQLite are lost as soon as the process closes any descriptor of the file.

use std::{fs::File, io, os::unix::fs::MetadataExt, path::Path};

use files::Place;
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::stat::Mode,
};

use super::{
    error::Error,
    path::{self, Checked},
};

/// The lock of a journal, held by its writer.
#[derive(Debug)]
pub(super) struct Lock {
    place: Place,
    file: File,
}

impl Lock {
    /// Takes the lock of this journal without waiting for it.
    pub(super) fn take(journal: &Path, checked: &Checked) -> Result<Self, Error> {
        let fault = |cause| Error::no_lock(journal, cause);
        let place = checked.lock().map_err(fault)?;
        loop {
            let opened = place.open(OFlag::O_WRONLY, Mode::from_bits_truncate(0o666));
            let (file, _) = opened.map_err(fault)?;
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole(libc::F_WRLCK))) {
                Ok(_) => {}
                Err(nix::Error::EAGAIN | nix::Error::EACCES) => {
                    return Err(Error::Locked { path: journal.to_owned() });
                }
                Err(errno) => return Err(fault(errno.into())),
            }
            // The last holder may have removed the file after it was opened here and before it was
            // locked.
            if is_same(&file, &place).map_err(fault)? {
                return Ok(Self { place, file });
            }
        }
    }

    /// Whether a process holds the lock of this journal.
    pub(super) fn is_held(journal: &Path) -> bool {
        let file = path::lock_of(journal).and_then(|place| place.read());
        let Ok(Some(file)) = file else { return false };
        let mut lock = whole(libc::F_WRLCK);
        let asked = fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock));
        asked.is_ok() && i32::from(lock.l_type) != libc::F_UNLCK
    }
}

impl Drop for Lock {
    /// Removes the file while it is still locked, so that no other process holds a lock on a file
    /// that is gone.
    fn drop(&mut self) {
        if is_same(&self.file, &self.place).unwrap_or(false) {
            let _ = self.place.remove();
        }
    }
}

fn is_same(file: &File, place: &Place) -> io::Result<bool> {
    let ours = file.metadata()?;
    let theirs = place.read()?.map(|theirs| theirs.metadata()).transpose()?;
    Ok(theirs.is_some_and(|it| (ours.dev(), ours.ino()) == (it.dev(), it.ino())))
}

#[expect(clippy::cast_possible_truncation, reason = "small constants")]
fn whole(kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::{Checked, Error, Lock, Path};
    use crate::tests::Place;

    fn take(journal: &Path) -> Result<Lock, Error> {
        Lock::take(journal, &Checked::new(journal)?)
    }

    #[test]
    fn a_lock_has_one_holder_and_leaves_no_file() {
        let place = Place::new();
        let journal = place.path("journal");
        assert!(!Lock::is_held(&journal));
        let lock = take(&journal).unwrap();
        assert!(Lock::is_held(&journal));
        assert!(matches!(take(&journal), Err(Error::Locked { .. })));
        let link = place.path("link");
        fs::write(&journal, "").unwrap();
        symlink(&journal, &link).unwrap();
        assert!(matches!(take(&link), Err(Error::Locked { .. })));
        drop(lock);
        assert!(!Lock::is_held(&journal) && !place.path("journal-lock").exists());
        assert!(take(&journal).is_ok());
    }

    #[test]
    fn a_journal_with_two_names_is_not_locked_twice() {
        let place = Place::new();
        let journal = place.path("journal");
        fs::write(&journal, "").unwrap();
        let lock = take(&journal).unwrap();
        fs::hard_link(&journal, place.path("second")).unwrap();
        let error = take(&place.path("second")).unwrap_err().to_string();
        assert!(error.contains("has 2 names (hard links)"), "{error}");
        drop(lock);
    }
}
