//! How does a process become a program? Its strings in the kernel's form, made while memory may
//! still be allocated; then the exec, which allocates none.

use std::{
    ffi::{CString, c_char},
    io, ptr,
};

use nix::unistd::{AccessFlags, access};

/// Executes the first of the files that can be; the error that tells most where none can.
/// (`execvp` would hand what has no `#!`, even a broken binary, to a shell.)
///
/// # Safety
/// Both arrays are of pointers to C strings and end with null.
// SAFETY: the pointers are for the caller to answer for; they are only handed to the kernel.
pub unsafe fn exec(
    files: &[CString],
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> io::Error {
    let mut refused = io::Error::from_raw_os_error(libc::ENOENT);
    for file in files {
        // SAFETY: a C string, and what the caller promises.
        unsafe { libc::execve(file.as_ptr(), argv, envp) };
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            // A directory of PATH that may not be searched says so of any name.
            Some(libc::EACCES) if access(file.as_c_str(), AccessFlags::F_OK).is_err() => {}
            Some(libc::EACCES | libc::ELOOP | libc::ENAMETOOLONG | libc::ENODEV) => {
                refused = error;
            }
            _ => return error,
        }
    }
    refused
}

/// C strings, and the array of pointers to them that ends with null.
#[derive(Debug)]
pub struct Strings {
    _owned: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    /// Those of these bytes.
    ///
    /// # Errors
    /// A zero byte within.
    pub fn new(strings: &[Vec<u8>]) -> io::Result<Self> {
        let owned = strings.iter().map(|s| c_string(s)).collect::<io::Result<Vec<_>>>()?;
        let pointers = owned.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
        Ok(Self { _owned: owned, pointers })
    }

    /// The array, null included.
    pub fn pointers(&self) -> &[*const c_char] {
        &self.pointers
    }
}

/// These bytes as a C string.
///
/// # Errors
/// A zero byte within.
pub fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}
