//! Unix sockets that are bound and connected below an open directory. The address of a socket is a
//! path, so it goes through the descriptor of the directory: nobody can redirect it, and it is
//! short however long the path is.

use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind as bind_to,
            connect as connect_to, getsockopt, listen, setsockopt, socket, sockopt,
        },
        stat::{Mode, SFlag, fchmod},
        time::{TimeVal, TimeValLike},
    },
};

use super::{Place, is_trusted, kind};

/// Clients that the kernel lets wait until they are accepted.
const BACKLOG: i32 = 128;

/// Listens at a path, where only this user can connect, and returns the place of the socket.
/// Replaces a socket of this user that no process listens on any more.
///
/// # Errors
/// A process listens there, the path is another kind of file, the directory is not writable, or
/// another user prepared the path.
pub fn private(path: &Path) -> io::Result<(UnixListener, Place)> {
    let place = Place::find(path)?;
    if let Some((_, facts)) = place.look()?
        && kind(&facts) == SFlag::S_IFSOCK
        && is_trusted(facts.st_uid)
        && connect(&place, Duration::from_secs(1))
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        place.remove()?;
    }
    place.check_new()?;
    Ok((bind(&place)?, place))
}

pub(super) fn bind(place: &Place) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let listener: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // The file that bind creates has this mode from the beginning.
    fchmod(&listener, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind_to(listener.as_raw_fd(), &UnixAddr::new(&place.pinned())?)?;
    listen(&listener, Backlog::new(BACKLOG)?)?;
    Ok(listener.into())
}

pub(super) fn connect(place: &Place, limit: Duration) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let stream: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // Without a limit, a connect waits for as long as the listener's queue is full.
    let limit = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX).max(1);
    setsockopt(&stream, sockopt::SendTimeout, &TimeVal::milliseconds(limit))?;
    match connect_to(stream.as_raw_fd(), &UnixAddr::new(&place.pinned())?) {
        Ok(()) => Ok(stream.into()),
        Err(Errno::EAGAIN) => Err(io::ErrorKind::TimedOut.into()),
        Err(error) => Err(error.into()),
    }
}

/// The process at the other end of a connection, as it was when it began to listen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its number.
    pub pid: i32,
}

/// The process that listens where this stream is connected.
///
/// # Errors
/// The system refused to say.
pub fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let credentials = getsockopt(stream, sockopt::PeerCredentials)?;
    Ok(Peer { uid: credentials.uid(), pid: credentials.pid() })
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, lchown, symlink},
    };

    use nix::unistd::geteuid;

    use super::*;
    use crate::Directory;

    #[test]
    fn a_socket_is_private_and_replaces_only_a_dead_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let first = private(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(private(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        drop(private(&path).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(private(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_private_directory_has_files_and_sockets_of_any_depth() {
        let above = tempfile::tempdir().unwrap();
        let deep = above.path().join("d".repeat(120));
        let directory = Directory::create_private(&deep).unwrap();
        let listener = directory.listen("a.sock").unwrap();
        let stream = directory.connect("a.sock", Duration::from_secs(1)).unwrap();
        assert_eq!(peer(&stream).unwrap().uid, geteuid().as_raw());
        directory.write("a.json", b"{}").unwrap();
        directory.write("a.json", b"{1}").unwrap();
        assert_eq!(directory.read("a.json", 3).unwrap(), b"{1}");
        assert!(directory.read("a.json", 2).is_err(), "too long");
        assert!(directory.read("a.sock", 2).is_err(), "no file");
        let mut names = directory.names().unwrap();
        names.sort();
        assert_eq!(names, ["a.json", "a.sock"]);
        drop(listener);
        let error = directory.connect("a.sock", Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        symlink("a.json", deep.join("link")).unwrap();
        assert!(directory.read("link", 9).is_err(), "no link is followed");
    }

    #[test]
    fn a_directory_that_another_user_can_change_is_not_private() {
        let above = tempfile::tempdir().unwrap();
        let open = |name: &str, mode| {
            let path = above.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let world = open("world", 0o777);
        let error = Directory::create_private(&world.join("runs")).unwrap_err();
        assert!(error.to_string().contains("can change what is below `world`"), "{error}");
        assert!(!world.join("runs").exists());
        Directory::create_private(&open("sticky", 0o1777).join("runs")).unwrap();
        let readable = open("readable", 0o755);
        assert!(Directory::create_private(&readable).is_err());
        Directory::open_private(&readable).unwrap();
        assert!(Directory::open_private(&world).is_err());
        if geteuid().is_root() {
            let theirs = open("theirs", 0o700);
            lchown(&theirs, Some(54_321), None).unwrap();
            assert!(Directory::create_private(&theirs).is_err());
            assert!(Directory::create_private(&theirs.join("runs")).is_err());
            symlink("sticky", above.path().join("link")).unwrap();
            lchown(above.path().join("link"), Some(54_321), None).unwrap();
            assert!(Directory::create_private(&above.path().join("link/runs")).is_err());
        }
    }
}
