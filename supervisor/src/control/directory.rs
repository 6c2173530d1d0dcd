//! The directory of runs: it belongs to one user alone and holds `ID.sock` for each live run, and
//! beside it `ID.json`, from which a client learns what a run was whose supervisor was killed.
//!
//! The place depends on the user alone and not on the environment, so that every shell, service and
//! cron job of a user finds the runs of all others. A run takes the first place that it can use;
//! clients look in all of them.

use std::{env, io, os::unix::net::UnixListener, path::PathBuf, sync::Arc};

use files::Directory;
use nix::unistd::geteuid;

use records::RunInfo;

/// The environment variable that names another directory of runs.
pub const VARIABLE: &str = "SUPERVISOR_RUNTIME_DIR";

/// The longest info, in bytes.
const INFO_BYTES_MAX: usize = 1 << 20;

/// Why a run has no control socket.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}: name another directory in {VARIABLE}", path.display())]
pub struct DirectoryError {
    path: PathBuf,
    reason: io::Error,
}

impl DirectoryError {
    /// Whether the directory has files of this id already, of a live run or of one that was
    /// killed: another id may succeed.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.reason.kind() == io::ErrorKind::AddrInUse
    }
}

/// The places where a run may have its files, in the order in which it tries them: the one that
/// [`VARIABLE`] names, or else those that this user has.
#[must_use]
pub fn places() -> Vec<PathBuf> {
    if let Some(own) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return vec![own.into()];
    }
    let uid = geteuid();
    let system = uid.is_root().then(|| "/run/supervisor".into());
    let others = [format!("/run/user/{uid}/supervisor"), format!("/tmp/supervisor-{uid}")];
    system.into_iter().chain(others.map(PathBuf::from)).collect()
}

/// The files of one run. They are removed when this is dropped.
#[derive(Debug)]
pub struct Files {
    entry: Entry,
}

/// The names of the files of one run in an open directory.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    directory: Arc<Directory>,
    id: String,
}

impl Files {
    /// Binds the run's socket and writes its info. The info is written second and removed first:
    /// a client that finds info but no listener knows that the supervisor was killed.
    ///
    /// # Errors
    /// No directory is private, the files cannot be created, or another run has them.
    pub fn open(info: &RunInfo) -> Result<(UnixListener, Self), DirectoryError> {
        let mut failed: Option<DirectoryError> = None;
        for path in places() {
            let error = match Self::open_in(path, info) {
                Err(error) if !error.is_taken() => error,
                opened => return opened,
            };
            // A place that other users spoilt says more than one that this machine does not have.
            if failed.as_ref().is_none_or(|old| old.reason.kind() == io::ErrorKind::NotFound) {
                failed = Some(error);
            }
        }
        Err(failed.unwrap_or_else(|| DirectoryError {
            path: PathBuf::new(),
            reason: io::ErrorKind::NotFound.into(),
        }))
    }

    fn open_in(path: PathBuf, info: &RunInfo) -> Result<(UnixListener, Self), DirectoryError> {
        let bind = || {
            let directory = Arc::new(Directory::create_private(&path)?);
            let entry = Entry { directory, id: info.id.clone() };
            let json = serde_json::to_vec(info)?;
            let listener = entry.directory.listen(&entry.socket())?;
            let files = Self { entry };
            files.entry.directory.write(&files.entry.info_name(), &json)?;
            Ok((listener, files))
        };
        bind().map_err(|reason| DirectoryError { path, reason })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.entry.remove();
    }
}

impl Entry {
    /// The files of all runs in a directory.
    pub(super) fn all(directory: &Arc<Directory>) -> io::Result<Vec<Self>> {
        let id = |name: std::ffi::OsString| name.to_str()?.strip_suffix(".sock").map(str::to_owned);
        let ids = directory.names()?.into_iter().filter_map(id);
        Ok(ids.map(|id| Self { directory: Arc::clone(directory), id }).collect())
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn socket(&self) -> String {
        format!("{}.sock", self.id)
    }

    fn info_name(&self) -> String {
        format!("{}.json", self.id)
    }

    /// The facts about the run; `None` where they cannot be read.
    pub(super) fn info(&self) -> Option<RunInfo> {
        let json = self.directory.read(&self.info_name(), INFO_BYTES_MAX).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Removes the files.
    pub(super) fn remove(&self) {
        // A user may have removed them by hand.
        let _ = self.directory.remove(&self.info_name());
        let _ = self.directory.remove(&self.socket());
    }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, fs};

    use super::*;

    #[test]
    fn a_run_leaves_the_files_of_another_run_alone() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("runs");
        let info = RunInfo {
            id: "abcd".into(),
            name: None,
            pid: 7,
            version: Cow::Borrowed("1"),
            title: String::new(),
            began_unix_ms: records::Millis::default(),
            workers: 1,
            has_jobs: false,
            total: None,
        };
        let first = Files::open_in(path.clone(), &info).unwrap();
        let error = Files::open_in(path.clone(), &RunInfo { pid: 8, ..info.clone() }).unwrap_err();
        assert!(error.is_taken());
        assert!(error.to_string().ends_with("name another directory in SUPERVISOR_RUNTIME_DIR"));
        assert!(path.join("abcd.sock").exists());
        assert_eq!(first.1.entry.info().unwrap().pid, 7);
        drop(first);
        // It is empty, or this fails.
        fs::remove_dir(path).unwrap();
    }
}
