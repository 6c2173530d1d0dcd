//! Follows a path one component at a time, and holds the directory that it leads to.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, openat, readlinkat},
    sys::{
        stat::{FileStat, Mode, SFlag},
        statfs::{PROC_SUPER_MAGIC, fstatfs},
    },
    unistd::{UnlinkatFlags, unlinkat},
};

use super::{is_changeable, is_public, is_shared, is_trusted, kind, refused, stat};

/// The number of symbolic links in a path at which the kernel gives up as well.
const LINKS_MAX: usize = 40;

/// How far a path may lead through what other users control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trust {
    /// Every directory and link on the way must be out of their control.
    Everything,
    /// They may own directories. A link of theirs must lead to something of theirs.
    Result,
}

/// The directory and the name that a path leads to. The name is no symbolic link, unless the
/// kernel itself made it, as in `/proc`.
#[derive(Debug)]
pub struct Place {
    directory: OwnedFd,
    name: OsString,
    /// The untrusted owner of a link on the way.
    guide: Option<u32>,
}

impl Place {
    /// Finds the place of a path. The last component need not exist.
    ///
    /// # Errors
    /// A directory on the way cannot be searched, or a link of another user leads elsewhere.
    pub fn find(path: &Path) -> io::Result<Self> {
        Self::walk(path, Trust::Result)
    }

    pub(super) fn walk(path: &Path, trust: Trust) -> io::Result<Self> {
        let mut walk = Walk::begin(path, trust)?;
        while let Some(component) = walk.left.pop_front() {
            if let Some(name) = walk.advance(component)? {
                let Walk { directory, guide, .. } = walk;
                return Ok(Self { directory, name, guide });
            }
        }
        // The path ends in `/`, `.` or `..`.
        let Walk { directory, guide, .. } = walk;
        Ok(Self { directory, name: ".".into(), guide })
    }

    /// The place of an entry in an open directory.
    pub(super) fn below(directory: BorrowedFd<'_>, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let (directory, name) = (directory.try_clone_to_owned()?, name.as_ref().to_owned());
        Ok(Self { directory, name, guide: None })
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The name in the directory.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The same directory with another name.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn beside(&self, name: OsString) -> io::Result<Self> {
        Ok(Self { directory: self.directory.try_clone()?, name, guide: self.guide })
    }

    /// A path to this place that no user can redirect, while this value lives.
    pub(super) fn pinned(&self) -> PathBuf {
        pinned(self.directory.as_fd()).join(&self.name)
    }

    /// The path without symbolic links.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn canonical(&self) -> io::Result<PathBuf> {
        let directory = std::fs::read_link(pinned(self.directory.as_fd()))?;
        Ok(if self.name == "." { directory } else { directory.join(&self.name) })
    }

    /// A descriptor that only names the file, and its facts; `None` if there is none. The file of a
    /// link that the kernel made is that to which it leads.
    pub(super) fn look(&self) -> io::Result<Option<(OwnedFd, FileStat)>> {
        let open = |flags| openat(&self.directory, &*self.name, flags | PATH, Mode::empty());
        let file = match open(OFlag::O_NOFOLLOW) {
            Ok(file) if kind(&stat(&file)?) == SFlag::S_IFLNK && self.is_kernels()? => {
                open(OFlag::empty())?
            }
            Ok(file) => file,
            Err(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let facts = stat(&file)?;
        if kind(&facts) == SFlag::S_IFLNK {
            return Err(refused(format!("`{}` is a symbolic link", self.name.display())));
        }
        Ok(Some((file, facts)))
    }

    /// Whether the kernel made the entries of the directory: `/proc` has links that lead to open
    /// files instead of paths.
    pub(super) fn is_kernels(&self) -> io::Result<bool> {
        is_proc(&self.directory)
    }

    /// Checks that no other user led this process to a file that is not theirs.
    ///
    /// # Errors
    /// The file belongs to another user in a directory where several users create files; it has a
    /// second name, which another user may have made; or a link of another user leads to it.
    pub(super) fn check(&self, file: &FileStat) -> io::Result<()> {
        let directory = stat(&self.directory)?;
        self.check_guide(file.st_uid)?;
        if self.is_kernels()? {
            return Ok(());
        }
        let (owner, is_of_directory) = (file.st_uid, file.st_uid == directory.st_uid);
        if is_public(&directory) && !is_trusted(owner) && !is_of_directory {
            let reason = "in a directory where others create files as well";
            return Err(refused(format!("it belongs to another user (uid {owner}), {reason}")));
        }
        let is_planted = is_shared(&directory) || !is_trusted(directory.st_uid);
        if is_planted && file.st_nlink > 1 && kind(file) == SFlag::S_IFREG {
            let reason = "in a directory where another user can create them";
            return Err(refused(format!("it has {} names (hard links), {reason}", file.st_nlink)));
        }
        Ok(())
    }

    /// Checks that no link of another user leads to a directory that is not theirs, before a file
    /// is created there.
    pub(super) fn check_new(&self) -> io::Result<()> {
        match self.guide {
            Some(_) => self.check_guide(stat(&self.directory)?.st_uid),
            None => Ok(()),
        }
    }

    fn check_guide(&self, owner: u32) -> io::Result<()> {
        match self.guide {
            Some(guide) if guide != owner => Err(refused(format!(
                "a symbolic link of another user (uid {guide}) leads to what is not theirs"
            ))),
            _ => Ok(()),
        }
    }

    /// Opens the file at this place for reading, whatever user it belongs to; `None` if there is none.
    /// Does not wait for the other end of a pipe.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn read(&self) -> io::Result<Option<File>> {
        let Some((file, _)) = self.look()? else { return Ok(None) };
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        Ok(Some(openat(AT_FDCWD, &pinned(file.as_fd()), flags, Mode::empty())?.into()))
    }

    /// Checks the file at this place without opening it. Returns its size in bytes; `None` if there
    /// is none.
    ///
    /// # Errors
    /// It is no regular file, it has several names (hard links), or other users led this process
    /// to it.
    pub fn check_regular(&self) -> io::Result<Option<u64>> {
        let Some((_, facts)) = self.look()? else {
            return self.check_new().map(|()| None);
        };
        self.check(&facts)?;
        if kind(&facts) != SFlag::S_IFREG {
            return Err(refused(format!("`{}` is no regular file", self.name.display())));
        }
        if facts.st_nlink > 1 {
            let (name, names) = (self.name.display(), facts.st_nlink);
            return Err(refused(format!("`{name}` has {names} names (hard links)")));
        }
        Ok(Some(facts.st_size.cast_unsigned()))
    }

    /// Removes the file at this place.
    ///
    /// # Errors
    /// There is none, or the system refused it.
    pub fn remove(&self) -> io::Result<()> {
        Ok(unlinkat(&self.directory, &*self.name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Whether this process has the file at this place open.
    ///
    /// # Errors
    /// There is no such file, or `/proc` is not mounted.
    pub fn is_open_here(&self) -> io::Result<bool> {
        let Some((_, wanted)) = self.look()? else { return Ok(false) };
        for entry in std::fs::read_dir("/proc/self/fd")? {
            // The descriptor that reads the directory is closed at the end.
            let Ok(file) = nix::sys::stat::stat(&entry?.path()) else { continue };
            if (file.st_dev, file.st_ino) == (wanted.st_dev, wanted.st_ino) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Opens the file at this place for output: creates it, or empties it.
    ///
    /// # Errors
    /// The file cannot be opened, or other users led this process to it.
    pub(super) fn create(&self, access: OFlag) -> io::Result<File> {
        let (file, is_new) = self.open(access, Mode::from_bits_truncate(0o666))?;
        if !is_new && kind(&stat(&file)?) == SFlag::S_IFREG {
            file.set_len(0)?;
        }
        Ok(file)
    }

    /// Opens the file at this place, without changing its content, or creates it. Returns whether
    /// it was created.
    ///
    /// # Errors
    /// The file cannot be opened, or other users led this process to it.
    pub fn open(&self, access: OFlag, mode: Mode) -> io::Result<(File, bool)> {
        // Another process may create or remove the file between two looks.
        for _ in 0..LINKS_MAX {
            if let Some((file, facts)) = self.look()? {
                self.check(&facts)?;
                // Through its descriptor, so that it is the file that was checked.
                let flags = access | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
                let file = openat(AT_FDCWD, &pinned(file.as_fd()), flags, Mode::empty())?;
                return Ok((file.into(), false));
            }
            self.check_new()?;
            let flags = access | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            match openat(&self.directory, &*self.name, flags, mode) {
                Err(Errno::EEXIST) => {}
                created => return Ok((created?.into(), true)),
            }
        }
        Err(Errno::EEXIST.into())
    }
}

const PATH: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

/// The path of an open file, by its descriptor.
pub(super) fn pinned(file: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn is_proc(directory: &OwnedFd) -> io::Result<bool> {
    Ok(fstatfs(directory)?.filesystem_type() == PROC_SUPER_MAGIC)
}

/// A path that is followed.
struct Walk {
    directory: OwnedFd,
    left: VecDeque<OsString>,
    links: usize,
    trust: Trust,
    guide: Option<u32>,
}

impl Walk {
    fn begin(path: &Path, trust: Trust) -> io::Result<Self> {
        // The directories above the current one count only if the path goes through them.
        let path = match trust {
            Trust::Everything => std::path::absolute(path)?,
            Trust::Result => path.to_owned(),
        };
        let start = if path.is_absolute() { "/" } else { "." };
        let directory = open_path(start)?;
        let left = components(&path);
        if left.is_empty() && path.as_os_str().is_empty() {
            return Err(Errno::ENOENT.into());
        }
        let mut walk = Self { directory, left, links: 0, trust, guide: None };
        walk.check(stat(&walk.directory)?, OsStr::new(start))?;
        walk.links = 0;
        Ok(walk)
    }

    /// Follows one component. Returns it if it is the last one and no link.
    fn advance(&mut self, component: OsString) -> io::Result<Option<OsString>> {
        let is_last = self.left.is_empty() && component != "..";
        let open = |flags| openat(&self.directory, &*component, flags | PATH, Mode::empty());
        let next = match open(OFlag::O_NOFOLLOW) {
            Err(Errno::ENOENT) if is_last => return Ok(Some(component)),
            next => next?,
        };
        let facts = stat(&next)?;
        if kind(&facts) != SFlag::S_IFLNK {
            if is_last {
                return Ok(Some(component));
            }
            self.check(facts, &component)?;
            if kind(&facts) != SFlag::S_IFDIR {
                return Err(Errno::ENOTDIR.into());
            }
            self.directory = next;
            return Ok(None);
        }
        if is_proc(&self.directory)? {
            if is_last {
                return Ok(Some(component));
            }
            let next = open(OFlag::O_DIRECTORY)?;
            self.check(stat(&next)?, &component)?;
            self.directory = next;
            return Ok(None);
        }
        self.follow(&next, &facts, &component)?;
        Ok(None)
    }

    /// Puts the target of a link in front of the rest of the path.
    fn follow(&mut self, link: &OwnedFd, facts: &FileStat, name: &OsStr) -> io::Result<()> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Errno::ELOOP.into());
        }
        self.check(*facts, name)?;
        if !is_trusted(facts.st_uid) {
            self.guide = Some(facts.st_uid);
        }
        let target = PathBuf::from(readlinkat(link, "")?);
        if target.is_absolute() {
            self.directory = open_path("/")?;
        }
        for component in components(&target).into_iter().rev() {
            self.left.push_front(component);
        }
        Ok(())
    }

    /// Checks that no other user can replace what comes behind this directory or link.
    fn check(&self, facts: FileStat, name: &OsStr) -> io::Result<()> {
        let is_link = kind(&facts) == SFlag::S_IFLNK;
        let is_open = if is_link { !is_trusted(facts.st_uid) } else { is_changeable(&facts) };
        if self.trust == Trust::Result || !is_open {
            return Ok(());
        }
        let who = match is_trusted(facts.st_uid) {
            true => "every user who may write to it".into(),
            false => format!("another user (uid {})", facts.st_uid),
        };
        let name = name.display();
        Err(refused(format!("{who} can change what is below `{name}`")))
    }
}

fn open_path(path: &str) -> nix::Result<OwnedFd> {
    openat(AT_FDCWD, path, PATH | OFlag::O_DIRECTORY, Mode::empty())
}

fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|it| matches!(it, Component::Normal(_) | Component::ParentDir))
        .map(|it| it.as_os_str().to_owned())
        .collect()
}
