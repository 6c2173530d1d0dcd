//! How is a command started and reaped? By a clone that shares our memory until the exec, so that
//! its cost does not depend on how large anybody is, and by a raw wait that tells what it used.

#![expect(unsafe_code, reason = "the system calls that no library wraps")]

use std::{
    ffi::{CString, c_char, c_int, c_void},
    io, mem,
    os::fd::{FromRawFd, OwnedFd, RawFd},
    ptr,
    time::Duration,
};

use nix::{
    sys::{
        prctl,
        signal::{SigSet, SigmaskHow, Signal as Kernel, sigprocmask},
    },
    unistd::{AccessFlags, Pid, access, getppid, setpgid},
};

use super::{
    orders::Orders,
    report::{End, Report},
};
use crate::template::Words;
use pool::{
    exit::{StartFault, StartStep},
    limits::Limits,
};
use process::{
    exec::{self, Strings},
    limits,
    lookup::{DEFAULT_PATH, candidates},
};

/// What the steps from the clone to the exec need.
const STACK_BYTES: usize = 64 << 10;
/// Room for a number in the environment.
const NUMBER_BYTES: usize = 24;

/// Starts commands.
pub(super) struct Spawner {
    limits: Limits,
    own_pid: Pid,
    stack: Vec<u128>,
    _env: Strings,
    /// The number of the job and of the attempt, in the environment.
    job: Numbered,
    attempt: Numbered,
    envp: Vec<*const c_char>,
    /// Where the program is looked for.
    path: Vec<u8>,
    /// The program's name that the files are for.
    name: Vec<u8>,
    files: Vec<CString>,
    argv: Vec<*const c_char>,
}

/// A command to be started.
pub(super) struct Command<'a> {
    pub(super) words: &'a Words,
    pub(super) number: u64,
    pub(super) attempt: u32,
    pub(super) stdio: [RawFd; 3],
}

/// A command that runs, or has ended and is not reaped.
pub(super) struct Child {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
}

/// What the child finds in the memory it shares with us, and where it says why it failed.
struct Shared<'a> {
    spawner: *const Spawner,
    stdio: [RawFd; 3],
    limits: &'a Limits,
    fault: Option<StartFault>,
}

impl Spawner {
    pub(super) fn new(orders: &Orders, env: Vec<Vec<u8>>) -> io::Result<Self> {
        const OURS: [&[u8]; 5] = [
            b"SUPERVISOR_WORKER=",
            b"SUPERVISOR_JOB=",
            b"SUPERVISOR_ATTEMPT=",
            b"SUPERVISOR_SLOT=",
            b"SUPERVISOR_WORKERS=",
        ];
        let mut env = env;
        env.retain(|pair| !OURS.iter().any(|name| pair.starts_with(name)));
        let path = env.iter().find_map(|pair| pair.strip_prefix(b"PATH="));
        let path = path.unwrap_or(DEFAULT_PATH).to_vec();
        env.push(format!("SUPERVISOR_SLOT={}", orders.slot).into_bytes());
        env.push(format!("SUPERVISOR_WORKERS={}", orders.workers).into_bytes());
        let env = Strings::new(&env)?;
        let (job, attempt) =
            (Numbered::new("SUPERVISOR_JOB="), Numbered::new("SUPERVISOR_ATTEMPT="));
        let mut envp = vec![job.bytes.as_ptr().cast(), attempt.bytes.as_ptr().cast()];
        envp.extend_from_slice(env.pointers());
        Ok(Self {
            limits: orders.limits.clone(),
            own_pid: Pid::this(),
            stack: vec![0; STACK_BYTES / size_of::<u128>()],
            _env: env,
            job,
            attempt,
            envp,
            path,
            name: Vec::new(),
            files: Vec::new(),
            argv: Vec::new(),
        })
    }

    /// Starts a command; it has been executed when this returns.
    ///
    /// # Errors
    /// The step that failed; there is no process then.
    pub(super) fn spawn(&mut self, command: &Command<'_>) -> Result<Child, StartFault> {
        let no_process = |error: io::Error| StartFault::new(StartStep::Spawn, &error);
        self.job.set(command.number);
        self.attempt.set(u64::from(command.attempt));
        self.look_up(command.words.iter().next().unwrap_or_default()).map_err(no_process)?;
        self.argv.clear();
        self.argv.extend(command.words.pointers().map(<*const u8>::cast::<c_char>));
        self.argv.push(ptr::null());
        let stack = self.stack.as_mut_ptr_range().end;
        let mut shared =
            Shared { spawner: self, stdio: command.stdio, limits: &self.limits, fault: None };
        let mut pidfd: c_int = -1;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
        // SAFETY: the child has a stack of its own and runs `become_command`, which allocates
        // nothing, takes no lock and never returns to our frames; we are suspended until it has
        // executed the program or ended, so that nobody else touches what it shares with us. No
        // handler of ours can run in it: we have none.
        let pid = unsafe {
            libc::clone(
                become_command,
                stack.cast(),
                flags,
                (&raw mut shared).cast::<c_void>(),
                &raw mut pidfd,
            )
        };
        if pid < 0 {
            return Err(no_process(io::Error::last_os_error()));
        }
        // SAFETY: the kernel has just made this descriptor for us.
        let child = Child { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } };
        match shared.fault {
            None => Ok(child),
            Some(fault) => {
                let _ = reap(pid);
                Err(fault)
            }
        }
    }

    /// Finds the files that a name may mean; once, if it is always the same.
    fn look_up(&mut self, name: &[u8]) -> io::Result<()> {
        if self.name != name || self.files.is_empty() {
            let files = candidates(name, &self.path).into_iter().map(CString::new);
            self.files = files.collect::<Result<_, _>>()?;
            self.name = name.to_vec();
            // The first that can be executed, so that no exec is tried in vain; the others
            // stay behind it, for when it goes away.
            let can = |file: &CString| access(file.as_c_str(), AccessFlags::X_OK).is_ok();
            if let Some(at) = self.files.iter().position(can) {
                self.files.rotate_left(at);
            }
        }
        Ok(())
    }
}

/// The child, from the clone to the exec: the steps of the stub, in an order that each of them
/// needs.
extern "C" fn become_command(shared: *mut c_void) -> c_int {
    // SAFETY: `spawn` gives this address, and waits while we use it.
    let shared = unsafe { &mut *shared.cast::<Shared<'_>>() };
    // SAFETY: as above.
    let spawner = unsafe { &*shared.spawner };
    shared.fault = Some(steps(spawner, shared.stdio, shared.limits));
    // SAFETY: ends this process and touches nothing of the one whose memory it shares.
    unsafe { libc::_exit(125) }
}

/// Returns only where one has failed.
fn steps(spawner: &Spawner, stdio: [RawFd; 3], limits: &Limits) -> StartFault {
    let run = || -> Result<StartFault, StartFault> {
        let at = |step| move |error: io::Error| StartFault::new(step, &error);
        let kernel = |step| move |error: nix::Error| StartFault::new(step, &error.into());
        setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(kernel(StartStep::Session))?;
        prctl::set_pdeathsig(Kernel::SIGKILL).map_err(kernel(StartStep::ParentDeath))?;
        if getppid() != spawner.own_pid {
            return Err(StartFault { step: StartStep::ParentDeath, errno: 0 });
        }
        for (number, fd) in (0..).zip(stdio) {
            // SAFETY: dup2 takes two integers; ours lie above the three.
            if unsafe { libc::dup2(fd, number) } < 0 {
                return Err(at(StartStep::Descriptors)(io::Error::last_os_error()));
            }
        }
        for (resource, value) in limits.iter() {
            limits::set(resource, value).map_err(at(StartStep::Limit(resource)))?;
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
            .map_err(kernel(StartStep::Receive))?;
        let (argv, envp) = (spawner.argv.as_ptr(), spawner.envp.as_ptr());
        // SAFETY: arrays of pointers to C strings, each ended by null, all alive.
        let error = unsafe { exec::exec(&spawner.files, argv, envp) };
        Err(at(StartStep::Exec)(error))
    };
    run().unwrap_or_else(|fault| fault)
}

/// A variable whose value is a number, changed in its place.
struct Numbered {
    bytes: Vec<u8>,
    name_bytes: usize,
}

impl Numbered {
    fn new(name: &str) -> Self {
        let mut bytes = name.as_bytes().to_vec();
        // Never more: what points here stays true.
        bytes.resize(name.len() + NUMBER_BYTES, 0);
        Self { bytes, name_bytes: name.len() }
    }

    fn set(&mut self, number: u64) {
        let value = &mut self.bytes[self.name_bytes..];
        value.fill(0);
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(number).as_bytes();
        value[..digits.len()].copy_from_slice(digits);
    }
}

/// Reaps a child that has ended; how it ended and what it used.
pub(super) fn reap(pid: i32) -> io::Result<Report> {
    // SAFETY: all zeroes are a value of it.
    let (mut status, mut usage) = (0, unsafe { mem::zeroed::<libc::rusage>() });
    loop {
        // SAFETY: both pointers are to values of the types that wait4 fills in.
        match unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return Err(io::Error::last_os_error()),
            _ => break,
        }
    }
    let end = if libc::WIFSIGNALED(status) {
        End::Signal { number: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }
    } else {
        End::Code(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
    };
    Ok(Report {
        pid,
        end,
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        peak_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
        ..Report::default()
    })
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}
