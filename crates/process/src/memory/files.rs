//! Memory in files that have no name and are held open (memfd). It belongs to no process's resident
//! memory, unless it is mapped.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStrExt,
            fs::{MetadataExt, OpenOptionsExt},
        },
    },
};

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::proc::{Fields, path};

/// The number of descriptors of a process that are inspected at most.
const DESCRIPTORS_MAX: usize = 4096;

/// Finds the files of processes that are in memory and have no name.
#[derive(Debug)]
pub(super) struct MemoryFiles {
    /// The mount on which the kernel keeps all of them; `None` where it creates none.
    mount: Option<u64>,
}

impl MemoryFiles {
    pub(super) fn new() -> Self {
        let file = memfd_create(c"probe", MFdFlags::MFD_CLOEXEC).map(File::from);
        Self { mount: file.ok().and_then(|file| mount(&file)) }
    }

    /// The bytes in files that these processes hold open, each file once, without those that
    /// `other` holds open too.
    pub(super) fn bytes(&self, pids: impl Iterator<Item = i32>, other: Option<i32>) -> u64 {
        let Some(mount) = self.mount else { return 0 };
        let mut files: HashMap<u64, u64> = pids.flat_map(|pid| of_process(pid, mount)).collect();
        for (inode, _) in other.into_iter().flat_map(|pid| of_process(pid, mount)) {
            files.remove(&inode);
        }
        files.values().sum()
    }
}

/// The files of a process, by their inodes, with their sizes in bytes.
fn of_process(pid: i32, mount: u64) -> impl Iterator<Item = (u64, u64)> {
    let entries = path(pid, "fd").map(fs::read_dir).into_iter().flatten().flatten().flatten();
    entries.take(DESCRIPTORS_MAX).filter_map(move |entry| {
        let link = fs::read_link(entry.path()).ok()?;
        link.as_os_str().as_bytes().starts_with(b"/memfd:").then_some(())?;
        // The process may have replaced the descriptor by one of a file system that never answers,
        // and may choose any name. So the file is held, without being opened, while it is checked.
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(libc::O_PATH).open(entry.path()).ok()?;
        (self::mount(&file)? == mount).then_some(())?;
        let found = file.metadata().ok()?;
        Some((found.ino(), found.blocks() * 512))
    })
}

/// The number of the mount that holds a file.
fn mount(file: &File) -> Option<u64> {
    Fields::read(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?.number("mnt_id")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_files_of_a_process_count_once() {
        let own = std::process::id().cast_signed();
        let mut file = File::from(memfd_create(c"test", MFdFlags::MFD_CLOEXEC).unwrap());
        file.write_all(&vec![1; 3 << 20]).unwrap();
        let _second = file.try_clone().unwrap();
        let bytes = MemoryFiles::new().bytes([own, own].into_iter(), None);
        assert!((3 << 20..4 << 20).contains(&bytes), "{bytes}");
        assert_eq!(MemoryFiles::new().bytes([own].into_iter(), Some(own)), 0);
    }
}
