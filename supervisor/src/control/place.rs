//! Where are the sockets of runs? In a directory that is ours alone: `ID.sock`, and beside it
//! `ID.json`, which tells what the run was when its supervisor is gone.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

use crate::about::About;

/// Where it is, where the environment says so: for tests, and for who has more than one.
pub const VARIABLE: &str = "SUPERVISOR_RUNTIME_DIR";

/// Why there is no directory.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct PlaceError {
    path: PathBuf,
    reason: String,
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
///
/// # Errors
/// It cannot be made, or is not ours alone.
pub fn make(directory: &Path) -> Result<(), PlaceError> {
    let error = |reason: String| PlaceError { path: directory.into(), reason };
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => Ok(()),
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {
            let found =
                fs::symlink_metadata(directory).map_err(|fault| error(fault.to_string()))?;
            if !found.is_dir() || found.uid() != geteuid().as_raw() || found.mode() & 0o077 != 0 {
                return Err(error("it is not a directory of yours alone (mode 0700)".into()));
            }
            Ok(())
        }
        Err(fault) => Err(error(fault.to_string())),
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

    /// Tells what the run is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn tell(&self, about: &About) -> io::Result<()> {
        fs::write(&self.about, serde_json::to_vec(about)?)
    }

    /// What the run is, or was.
    #[must_use]
    pub fn about(&self) -> Option<About> {
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
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_file(&self.about);
    }
}
