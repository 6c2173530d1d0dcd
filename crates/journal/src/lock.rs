//! Makes sure that a journal has one writer: the process that holds a lock on a file beside it. The
//! kernel releases the lock when that process ends. The journal itself cannot carry the lock,
//! because the locks of SQLite are lost as soon as the process closes any descriptor of the file.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::fcntl::{FcntlArg, fcntl};

use super::error::Error;

/// The lock of a journal, held by its writer.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock of this journal without waiting for it.
    pub(super) fn take(journal: &Path) -> Result<Self, Error> {
        let path = beside(journal);
        let fault = |cause| Error::no_lock(journal, cause);
        loop {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(false).open(&path);
            let file = file.map_err(fault)?;
            match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole(libc::F_WRLCK))) {
                Ok(_) => {}
                Err(nix::Error::EAGAIN | nix::Error::EACCES) => {
                    return Err(Error::Locked { path: journal.to_owned() });
                }
                Err(errno) => return Err(fault(errno.into())),
            }
            // The last holder may have removed the file after it was opened here and before it was
            // locked.
            if is_same(&file, &path).map_err(fault)? {
                return Ok(Self { path, file });
            }
        }
    }

    /// Whether a process holds the lock of this journal.
    pub(super) fn is_held(journal: &Path) -> bool {
        let Ok(file) = File::open(beside(journal)) else { return false };
        let mut lock = whole(libc::F_WRLCK);
        let asked = fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock));
        asked.is_ok() && i32::from(lock.l_type) != libc::F_UNLCK
    }
}

impl Drop for Lock {
    /// Removes the file while it is still locked, so that no other process holds a lock on a file
    /// that is gone.
    fn drop(&mut self) {
        if is_same(&self.file, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns the path of the lock file: `run.journal-lock` beside `run.journal`, as SQLite has
/// `run.journal-wal`. Symbolic links are resolved, so that each journal has one lock file.
fn beside(journal: &Path) -> PathBuf {
    let itself = fs::canonicalize(journal).unwrap_or_else(|_| journal.to_owned());
    let mut name = OsString::from(itself);
    name.push("-lock");
    name.into()
}

fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(theirs) => Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
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
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::tests::Place;

    #[test]
    fn a_lock_has_one_holder_and_leaves_no_file() {
        let place = Place::new();
        let journal = place.path("journal");
        assert!(!Lock::is_held(&journal));
        let lock = Lock::take(&journal).unwrap();
        assert!(Lock::is_held(&journal));
        assert!(matches!(Lock::take(&journal), Err(Error::Locked { .. })));
        let link = place.path("link");
        fs::write(&journal, "").unwrap();
        symlink(&journal, &link).unwrap();
        assert!(matches!(Lock::take(&link), Err(Error::Locked { .. })));
        drop(lock);
        assert!(!Lock::is_held(&journal) && !beside(&journal).exists());
        assert!(Lock::take(&journal).is_ok());
    }
}
