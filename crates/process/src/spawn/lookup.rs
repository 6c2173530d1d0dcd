//! Finds the file that the name of a program means, and explains why a program cannot be started.
//! The message names the program, the reason and the remedy.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    unistd::{AccessFlags, eaccess},
};

use super::program::Program;
use pool::exit::{StartFault, StartStep};
use text::escape::visible;

/// The search path where the environment has no `PATH`.
pub(super) const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// The files that the name of a program may mean: the name itself if it contains a slash, otherwise
/// one file in each directory of `path`.
pub(super) fn candidates(name: &[u8], path: &[u8]) -> Vec<Vec<u8>> {
    if name.is_empty() {
        return Vec::new();
    }
    if name.contains(&b'/') {
        return vec![name.to_vec()];
    }
    let directories = path.split(|byte| *byte == b':');
    directories
        .map(|directory| if directory.is_empty() { &b"."[..] } else { directory })
        .map(|directory| [directory, b"/", name].concat())
        .collect()
}

/// Checks before a start that the program exists and may be executed. Only the exec shows whether
/// the kernel knows its format.
///
/// # Errors
/// The fault that the exec would report.
pub fn check(program: &Program) -> Result<(), StartFault> {
    find(program).map(drop)
}

/// Finds the file that would be executed.
///
/// # Errors
/// The fault that the exec would report.
pub fn find(program: &Program) -> Result<PathBuf, StartFault> {
    let mut errno = libc::ENOENT;
    for file in files(program) {
        match eaccess(&file, AccessFlags::X_OK) {
            Ok(()) if !file.is_dir() => return Ok(file),
            // The same bit lets a directory be searched. A directory of PATH that may not be
            // searched gives this error for every name.
            Ok(()) | Err(Errno::EACCES) if file.exists() => errno = libc::EACCES,
            _ => {}
        }
    }
    Err(StartFault { step: StartStep::Exec, errno })
}

/// Explains why a program did not run, in one line.
#[must_use]
pub fn cannot_start(fault: StartFault, program: &Program) -> String {
    let why = match fault.step {
        StartStep::Exec => cannot_execute(fault, program),
        StartStep::Limit(resource) => {
            let value = program.limits.get(resource).map_or("unlimited".into(), |v| v.to_string());
            format!(
                "the kernel refuses the limit {}={value} ({}); `ulimit -H -a` shows what it allows",
                resource.name(),
                fault.reason()
            )
        }
        _ => fault.to_string(),
    };
    format!("cannot start {}: {why}", visible(name(program).as_bytes()))
}

fn cannot_execute(fault: StartFault, program: &Program) -> String {
    let shown = visible(name(program).as_bytes());
    let file = seen_from_start(program, Path::new(name(program)));
    let has_slash = name(program).as_bytes().contains(&b'/');
    match fault.errno {
        libc::ENOENT if !has_slash && file.is_file() => {
            format!("not found in PATH, but it is in this directory: write ./{shown}")
        }
        libc::ENOENT if !has_slash => "not found in PATH: give its path, or correct PATH".into(),
        libc::ENOENT if file.exists() => without_interpreter(&file),
        libc::ENOENT | libc::ENOTDIR => match &program.directory {
            Some(directory) if !name(program).as_bytes().starts_with(b"/") => {
                format!("no such file in {}: check the path", directory.display())
            }
            _ => "no such file: check the path".into(),
        },
        libc::EACCES if file.is_dir() => "it is a directory: name a program in it".into(),
        libc::EACCES => {
            let found = files(program).into_iter().find(|file| file.is_file());
            let file = found.unwrap_or(file);
            format!("it is not executable: `chmod +x {}`", visible(file.as_os_str().as_bytes()))
        }
        libc::ENOEXEC => format!(
            "the kernel knows no such format: a script needs a first line such as #!/bin/sh, \
             or run it as `sh {shown}`"
        ),
        libc::ETXTBSY => "another program writes to it: try again when it is complete".into(),
        libc::E2BIG => "its arguments and environment are too long: shorten them".into(),
        _ => fault.reason(),
    }
}

/// Why a program does not run whose file is there.
fn without_interpreter(file: &Path) -> String {
    const LINE_BYTES: u64 = 256;
    let mut first = Vec::new();
    let read = File::open(file).and_then(|file| file.take(LINE_BYTES).read_to_end(&mut first));
    let line = first.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Some(line) = line.strip_prefix(b"#!").filter(|_| read.is_ok()) else {
        return "its loader is not there: it was built for another system, or a package is missing"
            .into();
    };
    if line.ends_with(b"\r") {
        let shown = visible(file.as_os_str().as_bytes());
        return format!(
            "its first line ends with a carriage return, which becomes part of the interpreter's \
             name: `sed -i 's/\\r$//' {shown}`"
        );
    }
    let interpreter = visible(line.trim_ascii());
    format!("its interpreter is not there: install {interpreter}, or correct its first line")
}

/// The files that the name of the program may mean, in the order in which the exec helper tries
/// them.
fn files(program: &Program) -> Vec<PathBuf> {
    let path = program.env.iter().find(|(variable, _)| variable == "PATH");
    let path = path.map_or(DEFAULT_PATH, |(_, value)| value.as_bytes());
    let files = candidates(name(program).as_bytes(), path).into_iter();
    files.map(|file| seen_from_start(program, Path::new(OsStr::from_bytes(&file)))).collect()
}

fn name(program: &Program) -> &OsStr {
    program.argv.first().map_or(OsStr::new(""), |name| name)
}

/// Resolves a relative path from the working directory of the program.
fn seen_from_start(program: &Program, path: &Path) -> PathBuf {
    program.directory.as_deref().unwrap_or(Path::new("")).join(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool::limits::Limits;

    #[test]
    fn names_are_looked_up_as_by_a_shell() {
        let found = |name: &str, path: &str| -> Vec<String> {
            let paths = candidates(name.as_bytes(), path.as_bytes());
            paths.into_iter().map(|path| String::from_utf8(path).unwrap()).collect()
        };
        assert_eq!(found("a", "/x:/y"), ["/x/a", "/y/a"]);
        assert_eq!(found("a", ":/y:"), ["./a", "/y/a", "./a"]);
        assert_eq!(found("./a", "/x"), ["./a"]);
        assert!(found("", "/x").is_empty());
    }

    #[test]
    fn a_program_that_cannot_run_is_explained() {
        for (name, errno, words) in [
            ("sh", None, ""),
            ("/bin/sh", None, ""),
            ("shh", Some(libc::ENOENT), "cannot start shh: not found in PATH"),
            ("", Some(libc::ENOENT), "cannot start : not found in PATH"),
            ("./shh", Some(libc::ENOENT), "cannot start ./shh: no such file"),
            ("/etc/passwd", Some(libc::EACCES), "cannot start /etc/passwd: it is not executable"),
            ("/etc", Some(libc::EACCES), "cannot start /etc: it is a directory"),
        ] {
            let program = Program {
                argv: vec![name.into()],
                env: vec![("PATH".into(), "/usr/bin:/bin".into())],
                directory: None,
                limits: Limits::default(),
            };
            let fault = check(&program).err();
            assert_eq!(fault.map(|fault| fault.errno), errno, "{name}");
            let text = fault.map_or(String::new(), |fault| cannot_start(fault, &program));
            assert!(text.starts_with(words) && !text.contains('\n'), "{text}");
        }
    }
}
