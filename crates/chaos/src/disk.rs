//! A small disk that can be full: a tmpfs that nobody but us and our children sees, and that is
//! gone when we are.

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

/// That disk.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts it there. To be called before there is any thread.
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

    /// Until nothing fits.
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

    /// There is room again.
    pub(crate) fn relieve(&self) -> Result<(), Fault> {
        match fs::remove_file(self.0.join(FILLER)) {
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => Ok(other?),
        }
    }

    /// Takes what a round that is over has on it to a place that stays.
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
        // Else it goes with us.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
