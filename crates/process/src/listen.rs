//! How does a Unix socket come to be that nobody but this user can connect to?

use std::{
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            fs::FileTypeExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
};

use nix::sys::{
    socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket},
    stat::{Mode, fchmod},
};

/// Listens at this path. A socket that nobody listens at any more gives way.
///
/// # Errors
/// Somebody does, something else is there, or the directory does not take it.
pub fn private(path: &Path) -> io::Result<UnixListener> {
    if path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
    {
        fs::remove_file(path)?;
    }
    let flags = SockFlag::SOCK_CLOEXEC;
    let listener: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // The file that the bind makes has this mode from its first moment.
    fchmod(&listener, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&listener, Backlog::new(128)?)?;
    Ok(listener.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_socket_is_private_and_takes_the_place_of_a_dead_one_only() {
        let directory = std::env::temp_dir().join(format!("listen-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let path = directory.join("socket");
        let first = private(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(private(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        drop(private(&path).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(private(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_dir_all(directory).unwrap();
    }
}
