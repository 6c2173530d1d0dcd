//! A directory that is held open, and its entries.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            ffi::OsStringExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{OFlag, openat, renameat},
    sys::stat::{FileStat, Mode, SFlag, mkdirat},
    unistd::{UnlinkatFlags, geteuid, unlinkat},
};

use super::{
    kind, mode,
    place::{Place, Trust},
    refused, socket, stat,
};

/// A directory that is held open. Its entries are used by name below the descriptor, and never
/// through a symbolic link.
#[derive(Debug)]
pub struct Directory {
    opened: OwnedFd,
    path: PathBuf,
}

impl Directory {
    pub(super) fn of(opened: OwnedFd, path: PathBuf) -> Self {
        Self { opened, path }
    }

    /// Opens a directory that belongs to this user alone and that no other user can replace, and
    /// creates it if it does not exist.
    ///
    /// # Errors
    /// Other users can use or replace the directory, or the system refused an operation.
    pub fn create_private(path: &Path) -> io::Result<Self> {
        let place = Place::walk(path, Trust::Everything)?;
        match mkdirat(place.directory(), place.name(), Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let directory = Self::open_at(&place, path)?;
        let facts = stat(&directory.opened)?;
        let is_ours = facts.st_uid == geteuid().as_raw();
        if !is_ours || mode(&facts).intersects(Mode::S_IRWXG | Mode::S_IRWXO) {
            return Err(refused("it is not a directory of yours alone (mode 0700)".into()));
        }
        Ok(directory)
    }

    /// Opens a directory in which only its owner can create files, to look at what is there. The
    /// owner must be this user; for root it may be any user.
    ///
    /// # Errors
    /// There is no such directory, other users can change it, or the system refused an operation.
    pub fn open_private(path: &Path) -> io::Result<Self> {
        let is_root = geteuid().is_root();
        let trust = if is_root { Trust::Result } else { Trust::Everything };
        let directory = Self::open_at(&Place::walk(path, trust)?, path)?;
        let facts = stat(&directory.opened)?;
        if !is_root && facts.st_uid != geteuid().as_raw() {
            return Err(refused(format!("it belongs to another user (uid {})", facts.st_uid)));
        }
        if mode(&facts).intersects(Mode::S_IWGRP | Mode::S_IWOTH) {
            return Err(refused("other users can create files in it".into()));
        }
        Ok(directory)
    }

    fn open_at(place: &Place, path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = openat(place.directory(), place.name(), flags, Mode::empty())?;
        Ok(Self { opened, path: path.to_owned() })
    }

    /// The path by which the directory was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The owner of the directory.
    ///
    /// # Errors
    /// The system refused to say.
    pub fn owner(&self) -> io::Result<u32> {
        Ok(stat(&self.opened)?.st_uid)
    }

    /// The names of its entries.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let entries = Dir::openat(&self.opened, ".", flags, Mode::empty())?;
        let name = |entry: nix::Result<nix::dir::Entry>| {
            Ok(OsString::from_vec(entry?.file_name().to_bytes().to_vec()))
        };
        let names: io::Result<Vec<_>> = entries.into_iter().map(name).collect();
        Ok(names?.into_iter().filter(|name| name != "." && name != "..").collect())
    }

    /// Reads a regular file of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// The file is longer, is no regular file, or cannot be read.
    pub fn read(&self, name: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.opened, name, flags, Mode::empty())?);
        if kind(&stat(&file)?) != SFlag::S_IFREG {
            return Err(io::Error::other("it is no file"));
        }
        let mut bytes = Vec::new();
        file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > bytes_max {
            return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
        }
        Ok(bytes)
    }

    /// Writes a file that only this user can read. Readers see the old file or the new one, and
    /// never a part of it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = format!("{name}.new");
        self.remove(&temporary)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let private = Mode::S_IRUSR | Mode::S_IWUSR;
        let mut file = File::from(openat(&self.opened, &*temporary, flags, private)?);
        let written = file
            .write_all(bytes)
            .and_then(|()| Ok(renameat(&self.opened, &*temporary, &self.opened, name)?));
        if written.is_err() {
            let _ = self.remove(&temporary);
        }
        written
    }

    /// Creates a file for output that can be read as well, or empties the one that is there.
    ///
    /// # Errors
    /// The file cannot be written, or another user prepared it.
    pub fn create(&self, name: &str) -> io::Result<File> {
        Place::below(self.opened.as_fd(), name)?.create(OFlag::O_RDWR)
    }

    /// Removes a file, if it exists.
    ///
    /// # Errors
    /// The system refused it.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.opened, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Listens at a Unix socket in the directory, which only this user can connect to.
    ///
    /// # Errors
    /// The name is taken, or the system refused an operation.
    pub fn listen(&self, name: &str) -> io::Result<UnixListener> {
        socket::bind(&Place::below(self.opened.as_fd(), name)?)
    }

    /// Connects to a Unix socket in the directory, within `limit`.
    ///
    /// # Errors
    /// No process listens, or it does not accept in time.
    pub fn connect(&self, name: impl AsRef<OsStr>, limit: Duration) -> io::Result<UnixStream> {
        socket::connect(&Place::below(self.opened.as_fd(), name)?, limit)
    }

    /// The facts about the directory, to recognise it by another path.
    ///
    /// # Errors
    /// The system refused to say.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let FileStat { st_dev, st_ino, .. } = stat(&self.opened)?;
        Ok((st_dev, st_ino))
    }
}
