//! Where are the sockets of runs? In a directory that is ours alone: `ID.sock`, and beside it
//! `ID.json`, which tells what the run was when its supervisor is gone.

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

/// Where it is, where the environment says so: for tests, and for who has more than one.
pub const VARIABLE: &str = "SUPERVISOR_RUNTIME_DIR";

/// Why there is no place for a run.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}: name another directory in {VARIABLE}", path.display())]
pub struct PlaceError {
    path: PathBuf,
    reason: String,
    is_taken: bool,
}

impl PlaceError {
    /// Whether there is a run of this id, or was one that was killed: another id may do.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.is_taken
    }
}

/// The directory of runs: by the environment, else the user's runtime directory, else one of our own
/// in the place for temporary files.
#[must_use]
pub fn directory() -> PathBuf {
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

/// Makes it, if it is not there; nobody else may look into it.
fn make(directory: &Path) -> io::Result<()> {
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

/// The files of one run, gone when dropped.
#[derive(Debug)]
pub struct Files {
    /// Its socket.
    pub socket: PathBuf,
    about: PathBuf,
}

impl Files {
    /// Those of this run.
    #[must_use]
    pub fn of(directory: &Path, id: &str) -> Self {
        let of = |kind| directory.join(format!("{id}.{kind}"));
        Self { socket: of("sock"), about: of("json") }
    }

    /// Takes a place in the directory, and tells what the run is. That comes second, and goes first:
    /// whoever is told of a run and finds nobody listening knows that its supervisor was killed.
    ///
    /// # Errors
    /// It is not ours alone, or they cannot be made, or are another run's.
    pub fn open(directory: &Path, about: &RunInfo) -> Result<(UnixListener, Self), PlaceError> {
        make(directory).and_then(|()| Self::bind(directory, about)).map_err(|error| PlaceError {
            path: directory.into(),
            is_taken: error.kind() == io::ErrorKind::AddrInUse,
            reason: error.to_string(),
        })
    }

    fn bind(directory: &Path, about: &RunInfo) -> io::Result<(UnixListener, Self)> {
        let told = serde_json::to_vec(about)?;
        let socket = directory.join(format!("{}.sock", about.id));
        let listener = UnixListener::bind(socket)?;
        let files = Self::of(directory, &about.id);
        // The directory is ours alone already.
        fs::set_permissions(&files.socket, fs::Permissions::from_mode(0o600))?;
        fs::write(&files.about, told)?;
        Ok((listener, files))
    }

    /// What the run is, or was.
    #[must_use]
    pub fn about(&self) -> Option<RunInfo> {
        serde_json::from_slice(&fs::read(&self.about).ok()?).ok()
    }

    /// Lets them be, whoever they belong to.
    pub fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // They may have been removed by hand.
        let _ = fs::remove_file(&self.about);
        let _ = fs::remove_file(&self.socket);
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn another_runs_files_are_left_alone() {
        let directory = env::temp_dir().join(format!("supervisor-place-{}", std::process::id()));
        let about = RunInfo {
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
        let first = Files::open(&directory, &about).unwrap();
        let error = Files::open(&directory, &RunInfo { pid: 8, ..about.clone() }).unwrap_err();
        assert!(error.is_taken());
        assert!(error.to_string().ends_with("name another directory in SUPERVISOR_RUNTIME_DIR"));
        assert_eq!((first.1.socket.exists(), first.1.about().unwrap().pid), (true, 7));
        drop(first);
        // Nothing is left in it.
        fs::remove_dir(directory).unwrap();
    }
}
