//! A small disk that can be filled: a tmpfs in a private mount namespace.
//!
//! Only this program and its children see it, and it disappears when they exit.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    unistd::{getegid, geteuid},
};

use crate::Fault;

const SIZE: &str = "size=32m";
const FILLER: &str = "filler";

/// A mounted small disk.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts the disk at this path. Call this while the process has a single thread.
    pub(crate) fn mount(at: &Path) -> Result<Self, Fault> {
        let (user, group) = (geteuid(), getegid());
        if user.is_root() {
            unshare(CloneFlags::CLONE_NEWNS)?;
        } else {
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
            fs::write("/proc/self/setgroups", "deny")?;
            fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
            fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
        }
        let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
        mount(none, "/", none, private, none)?;
        fs::create_dir_all(at)?;
        mount(Some("chaos"), at, Some("tmpfs"), MsFlags::empty(), Some(SIZE))?;
        Ok(Self(at.into()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Fills the disk until no byte fits.
    pub(crate) fn fill(&self) -> Result<(), Fault> {
        let mut filler = File::create(self.0.join(FILLER))?;
        for piece in [1 << 16, 1 << 12, 1] {
            while filler.write(&vec![b'~'; piece]).is_ok_and(|written| written > 0) {}
        }
        Ok(())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.join(FILLER).exists()
    }

    /// Makes room again.
    pub(crate) fn relieve(&self) -> Result<(), Fault> {
        match fs::remove_file(self.0.join(FILLER)) {
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => Ok(other?),
        }
    }

    /// Moves the files of a finished round to a directory that persists.
    pub(crate) fn empty(&self, into: &Path) -> Result<(), Fault> {
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            fs::copy(entry.path(), into.join(entry.file_name()))?;
            fs::remove_file(entry.path())?;
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // If this fails, the mount disappears with the process's namespace.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
