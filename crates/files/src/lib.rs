//! Opens files, directories and sockets at paths that other users may have prepared.
//!
//! A program that checks a path and then uses it acts on whatever the path leads to at the second
//! look. Everything here therefore holds the directory open, and uses names only below that
//! descriptor. [`Place`] finds the directory and the name that a path leads to. [`create`] writes a
//! file that the user names. [`Directory`] is a directory that one user alone controls. [`socket`]
//! listens and connects.
//!
//! A user is trusted if it is root, the user of this process, or the owner of `/`, which is another
//! number than 0 in some user namespaces.

mod directory;
mod output;
mod place;
pub mod socket;

use std::{io, os::fd::AsFd};

use nix::{
    fcntl::AT_FDCWD,
    sys::stat::{FileStat, Mode, SFlag, fstatat},
    unistd::{getegid, geteuid},
};

pub use self::{
    directory::Directory,
    output::{create, create_directory},
    place::Place,
};

/// The error for a path that another user prepared or could change.
fn refused(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

/// Whether this user could do everything that this process can do.
fn is_trusted(uid: u32) -> bool {
    let owns_root = || stat_path("/").is_ok_and(|root| root.st_uid == uid);
    uid == 0 || uid == geteuid().as_raw() || owns_root()
}

fn stat_path(path: &str) -> nix::Result<FileStat> {
    fstatat(AT_FDCWD, path, nix::fcntl::AtFlags::empty())
}

fn stat(file: impl AsFd) -> nix::Result<FileStat> {
    nix::sys::stat::fstat(file)
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn mode(stat: &FileStat) -> Mode {
    Mode::from_bits_truncate(stat.st_mode)
}

/// Whether users other than the owner can create entries in this directory. The groups of root and
/// of this user do not count.
fn is_shared(directory: &FileStat) -> bool {
    let mode = mode(directory);
    let is_own_group = directory.st_gid == 0 || directory.st_gid == getegid().as_raw();
    mode.contains(Mode::S_IWOTH) || (mode.contains(Mode::S_IWGRP) && !is_own_group)
}

/// Whether only the owner of an entry of this directory can replace it.
fn is_sticky(directory: &FileStat) -> bool {
    mode(directory).contains(Mode::S_ISVTX)
}

/// Whether this is a directory like `/tmp`, in which users who do not work together create files.
fn is_public(directory: &FileStat) -> bool {
    mode(directory).contains(Mode::S_IWOTH) || (is_shared(directory) && is_sticky(directory))
}

/// Whether an untrusted user can replace entries of this directory.
fn is_changeable(directory: &FileStat) -> bool {
    !is_trusted(directory.st_uid) || (is_shared(directory) && !is_sticky(directory))
}
