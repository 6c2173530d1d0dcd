//! The directory of runs: it belongs to one user alone and holds `ID.sock` for each live run, and
//! beside it `ID.json`, from which a client learns what a run was whose supervisor was killed.

use std::{
    env, fs, io,
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

use records::RunInfo;

/// The environment variable that names another directory of runs.
pub const VARIABLE: &str = "SUPERVISOR_RUNTIME_DIR";

/// Why a run has no control socket.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}: name another directory in {VARIABLE}", path.display())]
pub struct DirectoryError {
    path: PathBuf,
    reason: String,
    is_taken: bool,
}

impl DirectoryError {
    /// Whether the directory has files of this id already, of a live run or of one that was
    /// killed: another id may succeed.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.is_taken
    }
}

/// The path of the directory: from [`VARIABLE`], else below the user's runtime directory, else in
/// the directory for temporary files.
#[must_use]
pub fn path() -> PathBuf {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let uid = geteuid();
    let usual = PathBuf::from(format!("/run/user/{uid}"));
    if let Some(own) = set(VARIABLE) {
        own
    } else if let Some(user) = set("XDG_RUNTIME_DIR").or(usual.is_dir().then_some(usual)) {
        user.join("supervisor")
    } else if uid.is_root() && Path::new("/run").is_dir() {
        "/run/supervisor".into()
    } else {
        env::temp_dir().join(format!("supervisor-{uid}"))
    }
}

/// Creates the directory unless it exists, and rejects one that other users can read.
fn create(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(directory)?;
            if !found.is_dir() || found.uid() != geteuid().as_raw() || found.mode() & 0o077 != 0 {
                return Err(io::Error::other("it is not a directory of yours alone (mode 0700)"));
            }
            Ok(())
        }
        made => made,
    }
}

/// The files of one run. They are removed when this is dropped.
#[derive(Debug)]
pub struct Files {
    /// The path of the run's socket.
    pub socket: PathBuf,
    info: PathBuf,
}

impl Files {
    /// The files of the run with this id, whether they exist or not.
    #[must_use]
    pub fn of(directory: &Path, id: &str) -> Self {
        let of = |kind| directory.join(format!("{id}.{kind}"));
        Self { socket: of("sock"), info: of("json") }
    }

    /// Binds the run's socket and writes its info. The info is written second and removed first:
    /// a client that finds info but no listener knows that the supervisor was killed.
    ///
    /// # Errors
    /// The directory is not private, the files cannot be created, or another run has them.
    pub fn open(directory: &Path, info: &RunInfo) -> Result<(UnixListener, Self), DirectoryError> {
        create(directory).and_then(|()| Self::bind(directory, info)).map_err(|error| {
            DirectoryError {
                path: directory.into(),
                is_taken: error.kind() == io::ErrorKind::AddrInUse,
                reason: error.to_string(),
            }
        })
    }

    fn bind(directory: &Path, info: &RunInfo) -> io::Result<(UnixListener, Self)> {
        let json = serde_json::to_vec(info)?;
        let socket = directory.join(format!("{}.sock", info.id));
        let listener = UnixListener::bind(socket)?;
        let files = Self::of(directory, &info.id);
        // No other user can reach the socket before this: the directory is private.
        fs::set_permissions(&files.socket, fs::Permissions::from_mode(0o600))?;
        fs::write(&files.info, json)?;
        Ok((listener, files))
    }

    /// The facts about the run; `None` where they cannot be read.
    #[must_use]
    pub fn info(&self) -> Option<RunInfo> {
        serde_json::from_slice(&fs::read(&self.info).ok()?).ok()
    }

    /// Leaves the files in place: they belong to another process.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // A user may have removed them by hand.
        let _ = fs::remove_file(&self.info);
        let _ = fs::remove_file(&self.socket);
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn a_run_leaves_the_files_of_another_run_alone() {
        let directory =
            env::temp_dir().join(format!("supervisor-directory-{}", std::process::id()));
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
        let first = Files::open(&directory, &info).unwrap();
        let error = Files::open(&directory, &RunInfo { pid: 8, ..info.clone() }).unwrap_err();
        assert!(error.is_taken());
        assert!(error.to_string().ends_with("name another directory in SUPERVISOR_RUNTIME_DIR"));
        assert_eq!((first.1.socket.exists(), first.1.info().unwrap().pid), (true, 7));
        drop(first);
        // It is empty, or this fails.
        fs::remove_dir(directory).unwrap();
    }
}
