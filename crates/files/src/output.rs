//! Files that the user names and this process writes: reports, events and the output of commands.

use std::{fs::File, io, os::fd::OwnedFd, path::Path};

use nix::{
    errno::Errno,
    fcntl::{OFlag, openat},
    sys::stat::{Mode, mkdirat},
};

use super::{Directory, Place, place::Trust};

/// Creates the file at a path, or empties the one that is there. Links are followed, as a user
/// expects of `/dev/stdout` or of a log, unless another user could have led this process to a file
/// that is not theirs.
///
/// # Errors
/// The file cannot be written, or another user prepared the path.
pub fn create(path: &Path) -> io::Result<File> {
    let place = Place::find(path)?;
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(Errno::EISDIR.into());
    }
    place.create(OFlag::O_WRONLY)
}

/// Opens a directory that the user names for output, and creates it and those above it if they do
/// not exist.
///
/// # Errors
/// The directory cannot be created or opened, or another user prepared the path.
pub fn create_directory(path: &Path) -> io::Result<Directory> {
    let place = match Place::walk(path, Trust::Result) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
                return Err(error);
            };
            create_directory(parent)?;
            Place::walk(path, Trust::Result)?
        }
        place => place?,
    };
    match place.look()? {
        Some((_, facts)) => place.check(&facts)?,
        None => {
            place.check_new()?;
            match mkdirat(place.directory(), place.name(), Mode::from_bits_truncate(0o777)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let opened: OwnedFd = openat(place.directory(), place.name(), flags, Mode::empty())?;
    Ok(Directory::of(opened, place.canonical()?))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, chown, lchown, symlink},
        path::PathBuf,
    };

    use nix::unistd::geteuid;

    use super::*;

    const OTHER: u32 = 54_321;

    struct Stage(tempfile::TempDir);

    impl Stage {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        /// A directory of this owner and mode.
        fn directory(&self, name: &str, owner: u32, mode: u32) -> PathBuf {
            let path = self.0.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            chown(&path, Some(owner), Some(owner)).unwrap();
            path
        }
    }

    fn write(path: &Path, text: &str) -> io::Result<()> {
        io::Write::write_all(&mut create(path)?, text.as_bytes())
    }

    #[test]
    fn a_file_is_created_emptied_and_found_through_links() {
        let stage = Stage::new();
        let (file, link) = (stage.0.path().join("file"), stage.0.path().join("link"));
        write(&file, "a longer text").unwrap();
        symlink("file", &link).unwrap();
        write(&link, "text").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "text");
        symlink("nowhere/file", stage.0.path().join("dangling")).unwrap();
        let missing = write(&stage.0.path().join("dangling"), "").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        symlink("loop", stage.0.path().join("loop")).unwrap();
        assert!(write(&stage.0.path().join("loop"), "").is_err());
        assert!(write(stage.0.path(), "").is_err());
        assert!(write(Path::new(""), "").is_err());
        write(Path::new("/dev/null"), "text").unwrap();
    }

    #[test]
    fn the_links_of_proc_lead_to_open_files() {
        let (mut read, write_end) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&write_end));
        write(Path::new(&path), "through a pipe").unwrap();
        drop(write_end);
        let mut text = String::new();
        io::Read::read_to_string(&mut read, &mut text).unwrap();
        assert_eq!(text, "through a pipe");
    }

    #[test]
    fn another_user_cannot_lead_root_to_a_file_of_root() {
        if !geteuid().is_root() {
            return;
        }
        let stage = Stage::new();
        let precious = stage.0.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        for (name, owner, mode) in [("own", OTHER, 0o755), ("shared", 0, 0o1777)] {
            let directory = stage.directory(name, owner, mode);
            let link = directory.join("link");
            symlink(&precious, &link).unwrap();
            lchown(&link, Some(OTHER), None).unwrap();
            fs::hard_link(&precious, directory.join("hard")).unwrap();
            symlink(stage.0.path(), directory.join("up")).unwrap();
            lchown(directory.join("up"), Some(OTHER), None).unwrap();
            for entry in ["link", "hard", "up/precious", "up/new"] {
                let error = write(&directory.join(entry), "spoilt").unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{name}/{entry}");
            }
            // What is theirs, or new, or a link of root is written.
            write(&directory.join("new"), "new").unwrap();
            symlink(&precious, directory.join("root's")).unwrap();
            fs::remove_file(directory.join("hard")).unwrap();
            write(&directory.join("root's"), "precious").unwrap();
        }
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        let theirs = stage.0.path().join("own/theirs");
        fs::write(&theirs, "").unwrap();
        chown(&theirs, Some(OTHER), None).unwrap();
        write(&theirs, "theirs").unwrap();
        let squatted = stage.0.path().join("shared/squatted");
        fs::write(&squatted, "").unwrap();
        chown(&squatted, Some(OTHER), None).unwrap();
        assert!(write(&squatted, "").unwrap_err().to_string().contains("another user"));
    }

    #[test]
    fn an_output_directory_is_made_with_those_above_it() {
        let stage = Stage::new();
        let path = stage.0.path().join("a/b/c");
        let directory = create_directory(&path).unwrap();
        io::Write::write_all(&mut directory.create("1.stdout").unwrap(), b"x").unwrap();
        assert_eq!(fs::read_to_string(path.join("1.stdout")).unwrap(), "x");
        assert_eq!(directory.path(), fs::canonicalize(&path).unwrap());
        create_directory(&path).unwrap();
        assert!(create_directory(&path.join("1.stdout")).is_err());
    }
}
