//! The exec: strings in the form that the kernel takes, made while memory may still be allocated,
//! and the call itself, which allocates nothing.

use std::{
    ffi::{CString, c_char},
    io, ptr,
};

use nix::unistd::{AccessFlags, access};

/// Executes the first of the files that can be executed; returns the most telling error if none
/// can. (`execvp` would run any file without `#!`, even a broken binary, in a shell.)
///
/// # Safety
/// Both arrays consist of pointers to C strings and end with null.
// SAFETY: the function only passes the pointers to execve, under the caller's promise.
pub(super) unsafe fn exec(
    files: &[CString],
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> io::Error {
    let mut refused = io::Error::from_raw_os_error(libc::ENOENT);
    for file in files {
        // SAFETY: `file` is a C string; the caller promises the same of the arrays.
        unsafe { libc::execve(file.as_ptr(), argv, envp) };
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            // A directory of PATH that may not be searched gives this error for every name.
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
pub(super) struct Strings {
    _owned: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    /// Copies these strings; one with a zero byte inside is an error.
    pub(super) fn new(strings: &[Vec<u8>]) -> io::Result<Self> {
        let owned = strings.iter().map(|s| c_string(s)).collect::<io::Result<Vec<_>>>()?;
        let pointers = owned.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
        Ok(Self { _owned: owned, pointers })
    }

    /// The array, with the null at its end.
    pub(super) fn pointers(&self) -> &[*const c_char] {
        &self.pointers
    }
}

/// Copies bytes to a C string; a zero byte inside is an error.
pub(super) fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}
