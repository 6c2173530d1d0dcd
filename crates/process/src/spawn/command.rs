//! The command spawner of a launcher. It starts a command by a clone that shares the launcher's
//! memory until the exec, as `vfork` does, so that the cost does not depend on how large the
//! launcher is.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    io::{self, Write},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::{
    sys::{
        prctl,
        signal::{SigSet, SigmaskHow, Signal as Kernel, sigprocmask},
        wait::waitpid,
    },
    unistd::{AccessFlags, Pid, access, getppid, setpgid},
};
use pool::{
    exit::{StartFault, StartStep},
    limits::Limits,
    signal::Signal,
};

use super::{
    exec::{self, Strings},
    limits,
    lookup::{DEFAULT_PATH, candidates},
    stack::Stack,
};
use crate::{signals::signal_child, wait::reap_child};

/// The stack of the child for the steps between the clone and the exec, in bytes.
const STACK_BYTES: usize = 64 << 10;
/// Room for a number in the environment, in bytes, with its zero byte.
const NUMBER_BYTES: usize = 24;

/// Starts commands that have the environment and the limits in common.
#[derive(Debug)]
pub struct CommandSpawner {
    limits: Limits,
    own_pid: Pid,
    stack: Stack,
    /// Owns the strings that `envp` points to.
    _env: Strings,
    /// Own the strings that the first entries of `envp` point to.
    numbers: [NumberVariable; 2],
    envp: Vec<*const c_char>,
    /// The search path for programs.
    path: Vec<u8>,
    /// The name of the last program, which `files` were looked up for.
    name: Vec<u8>,
    files: Vec<CString>,
    argv: Vec<*const c_char>,
}

/// A command that runs, or has ended and is not reaped.
#[derive(Debug)]
pub struct CommandProcess {
    /// Its process id, which is also the number of its process group.
    pub pid: i32,
    /// Its pidfd, in blocking mode.
    pub pidfd: OwnedFd,
}

/// What the child reads in the memory that it shares with its parent, and where it stores why it
/// failed.
struct Shared<'a> {
    spawner: &'a CommandSpawner,
    stdio: [RawFd; 3],
    fault: Option<StartFault>,
}

impl CommandSpawner {
    /// Prepares for commands with these limits and this environment, to which two variables are
    /// added whose values are numbers.
    ///
    /// # Errors
    /// A pair of the environment contains a zero byte, or there is no memory.
    pub fn new(limits: Limits, env: &[Vec<u8>], number_names: [&str; 2]) -> io::Result<Self> {
        let path = env.iter().find_map(|pair| pair.strip_prefix(b"PATH="));
        let path = path.unwrap_or(DEFAULT_PATH).to_vec();
        let env = Strings::new(env)?;
        let numbers = number_names.map(NumberVariable::new);
        let mut envp: Vec<*const c_char> = numbers.iter().map(NumberVariable::pointer).collect();
        envp.extend_from_slice(env.pointers());
        Ok(Self {
            limits,
            own_pid: Pid::this(),
            stack: Stack::new(STACK_BYTES)?,
            _env: env,
            numbers,
            envp,
            path,
            name: Vec::new(),
            files: Vec::new(),
            argv: Vec::new(),
        })
    }

    /// Starts a command in a process group of its own; the program has been executed when this
    /// returns. `argv` is the program and its arguments, `numbers` the values of the two variables,
    /// `stdio` the standard streams, whose descriptors must be above 2.
    ///
    /// # Errors
    /// The step that failed; then there is no process.
    pub fn spawn<'a>(
        &mut self,
        argv: impl IntoIterator<Item = &'a CStr>,
        numbers: [u64; 2],
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<CommandProcess, StartFault> {
        let no_process = |error: io::Error| StartFault::new(StartStep::Spawn, &error);
        self.numbers.iter_mut().zip(numbers).for_each(|(variable, number)| variable.set(number));
        let mut argv = argv.into_iter().peekable();
        self.look_up(argv.peek().copied().unwrap_or_default().to_bytes()).map_err(no_process)?;
        self.argv.clear();
        self.argv.extend(argv.map(CStr::as_ptr));
        self.argv.push(ptr::null());
        let stdio = stdio.map(|fd| fd.as_raw_fd());
        let mut shared = Shared { spawner: self, stdio, fault: None };
        let mut pidfd: c_int = -1;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
        // SAFETY: the child has a stack of its own and runs `become_command`, which allocates
        // nothing, takes no lock and never returns into frames of this process. This process is
        // suspended until the child has executed the program or ended, so nothing else accesses
        // what they share. No signal handler can run in the child: a launcher installs none.
        let pid = unsafe {
            libc::clone(
                become_command,
                self.stack.top(),
                flags,
                (&raw mut shared).cast::<c_void>(),
                &raw mut pidfd,
            )
        };
        if pid < 0 {
            return Err(no_process(io::Error::last_os_error()));
        }
        if pidfd < 0 {
            // Before Linux 5.2 the kernel ignores the flag.
            signal_child(pid, Signal::KILL);
            let _ = waitpid(Pid::from_raw(pid), None);
            return Err(StartFault { step: StartStep::Pidfd, errno: libc::ENOSYS });
        }
        // SAFETY: the kernel has just created this descriptor, and nothing else owns it.
        let process = CommandProcess { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } };
        match shared.fault {
            None => Ok(process),
            Some(fault) => {
                let _ = reap_child(&process.pidfd);
                Err(fault)
            }
        }
    }

    /// Finds the files that a name may mean, unless the last command had the same name.
    fn look_up(&mut self, name: &[u8]) -> io::Result<()> {
        if self.name != name || self.files.is_empty() {
            let files = candidates(name, &self.path).into_iter().map(CString::new);
            self.files = files.collect::<Result<_, _>>()?;
            self.name = name.to_vec();
            // The first executable file comes first, so that no exec fails; the others stay
            // behind it, in case it disappears.
            let can = |file: &CString| access(file.as_c_str(), AccessFlags::X_OK).is_ok();
            if let Some(at) = self.files.iter().position(can) {
                self.files.rotate_left(at);
            }
        }
        Ok(())
    }
}

/// Runs in the child, from the clone to the exec.
extern "C" fn become_command(shared: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes the address of its `Shared`, which lives and is not accessed until
    // this process has executed the program or ended.
    let shared = unsafe { &mut *shared.cast::<Shared<'_>>() };
    shared.fault = Some(execute(shared.spawner, shared.stdio));
    // SAFETY: _exit ends this process without running code of the one whose memory it shares.
    unsafe { libc::_exit(125) }
}

/// Prepares this process and executes the command. The steps are those of the exec helper and
/// depend on their order. Returns only if one has failed.
fn execute(spawner: &CommandSpawner, stdio: [RawFd; 3]) -> StartFault {
    let run = || -> Result<StartFault, StartFault> {
        let at = |step| move |error: io::Error| StartFault::new(step, &error);
        let kernel = |step| move |error: nix::Error| StartFault::new(step, &error.into());
        setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(kernel(StartStep::Session))?;
        prctl::set_pdeathsig(Kernel::SIGKILL).map_err(kernel(StartStep::ParentDeath))?;
        if getppid() != spawner.own_pid {
            return Err(StartFault { step: StartStep::ParentDeath, errno: 0 });
        }
        for (number, fd) in (0..).zip(stdio) {
            // SAFETY: dup2 takes two integers. The child has a descriptor table of its own, in
            // which the standard streams are there to be replaced.
            if unsafe { libc::dup2(fd, number) } < 0 {
                return Err(at(StartStep::Descriptors)(io::Error::last_os_error()));
            }
        }
        for (resource, value) in spawner.limits.iter() {
            limits::set(resource, value).map_err(at(StartStep::Limit(resource)))?;
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
            .map_err(kernel(StartStep::Receive))?;
        let (argv, envp) = (spawner.argv.as_ptr(), spawner.envp.as_ptr());
        // SAFETY: both are arrays of pointers to C strings that end with null. The spawner owns the
        // strings of the environment, and the caller of `spawn` those of the arguments.
        let error = unsafe { exec::exec(&spawner.files, argv, envp) };
        Err(at(StartStep::Exec)(error))
    };
    run().unwrap_or_else(|fault| fault)
}

/// A variable in the environment whose value is a number. The value changes in place, so that
/// pointers to the variable stay valid.
#[derive(Debug)]
struct NumberVariable {
    /// The name, `=`, the digits and zero bytes; never reallocated.
    bytes: Vec<u8>,
    /// The length of the name with the `=`.
    value_at: usize,
}

impl NumberVariable {
    fn new(name: &str) -> Self {
        let mut bytes = format!("{name}=").into_bytes();
        let value_at = bytes.len();
        bytes.resize(value_at + NUMBER_BYTES, 0);
        Self { bytes, value_at }
    }

    fn pointer(&self) -> *const c_char {
        self.bytes.as_ptr().cast()
    }

    fn set(&mut self, number: u64) {
        let mut value = &mut self.bytes[self.value_at..];
        value.fill(0);
        // A number has 20 digits at most.
        let _ = write!(value, "{number}");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read, os::fd::AsFd};

    use pool::exit::Status;

    use super::*;

    #[test]
    fn a_command_runs_with_its_numbers_and_is_reaped_with_its_usage() {
        let env = [b"PATH=/usr/bin:/bin".to_vec()];
        let mut spawner = CommandSpawner::new(Limits::default(), &env, ["A", "B"]).unwrap();
        let null = File::open("/dev/null").unwrap();
        for numbers in [[u64::MAX, 1], [2, 30]] {
            let (mut read, write) = io::pipe().unwrap();
            let stdio = [null.as_fd(), write.as_fd(), write.as_fd()];
            let argv = [c"sh", c"-c", c"echo $A $B; exit 3"];
            let process = spawner.spawn(argv, numbers, stdio).unwrap();
            drop(write);
            let mut output = String::new();
            read.read_to_string(&mut output).unwrap();
            assert_eq!(output, format!("{} {}\n", numbers[0], numbers[1]));
            let exit = reap_child(&process.pidfd).unwrap();
            assert!(exit.status == Status::Code(3) && exit.peak_kib > 0, "{exit:?}");
        }
    }

    #[test]
    fn a_command_that_cannot_be_executed_leaves_no_process() {
        let mut spawner = CommandSpawner::new(Limits::default(), &[], ["A", "B"]).unwrap();
        let null = File::open("/dev/null").unwrap();
        let stdio = [null.as_fd(); 3];
        let fault = spawner.spawn([c"/no/such/program"], [0, 0], stdio).unwrap_err();
        assert_eq!(fault, StartFault { step: StartStep::Exec, errno: libc::ENOENT });
    }
}
