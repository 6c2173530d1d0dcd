//! The exec helper: a fresh, single-threaded image of this executable that receives a
//! [`SpawnSpec`], prepares itself and becomes the program by exec.
//!
//! A `pre_exec` closure in the supervisor could not do this: it turns the spawn into a fork, which
//! copies page tables, and it runs where memory must not be allocated.

use std::{
    convert::Infallible,
    ffi::CString,
    fs::File,
    io::{self, IoSliceMut, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    process, ptr,
};

use nix::{
    cmsg_space,
    fcntl::{FcntlArg, fcntl},
    sys::{
        prctl,
        resource::{Resource, UsageWho, getrusage, setrlimit},
        signal::Signal,
        socket::{ControlMessageOwned, MsgFlags, recvmsg},
        time::TimeValLike,
    },
    unistd,
};
use protocol::{
    codec,
    frame::{self, FRAME_BYTES_MAX},
};

use super::{
    channel::{HelperMessage, PASSED_MAX},
    exec::{self, Strings},
    limits,
    lookup::{DEFAULT_PATH, candidates},
    spec::SpawnSpec,
};
use crate::signals::ignore_terminal;
use pool::exit::{StartFault, StartStep};

/// The hidden verb that makes an executable of this workspace run as an exec helper.
pub const VERB: &str = "__exec";

/// The exit code of a helper that did not become the program.
const FAILED: i32 = 125;

/// A function of this executable that a helper can run instead of a program. It gets its arguments,
/// the environment and the passed descriptors, and returns the exit status.
pub type BuiltIn = fn(&[u8], Vec<Vec<u8>>, Vec<OwnedFd>) -> u8;

/// Becomes the program if this process was started as an exec helper; otherwise returns at once.
/// This must be the first call of `main` in an executable that starts processes. `built_in` is the
/// function that a specification can name instead of a program.
pub fn run_if_called(built_in: Option<BuiltIn>) {
    if std::env::args_os().nth(1).is_some_and(|verb| verb == VERB) {
        // SAFETY: a helper is started with its socket as descriptor 0, and nothing else in this
        // image owns it.
        run(UnixStream::from(unsafe { OwnedFd::from_raw_fd(0) }), built_in);
    }
}

fn run(mut socket: UnixStream, built_in: Option<BuiltIn>) -> ! {
    let Ok((spec, passed)) = receive(&socket) else {
        eprintln!("{VERB} is how this program starts others; it is not to be called by hand");
        process::exit(2);
    };
    let Err(fault) = become_program(&spec, passed, &mut socket, built_in);
    // Where the message cannot be sent, the supervisor is gone.
    if let Ok(frame) = HelperMessage::Failed(fault).to_frame() {
        let _ = socket.write_all(&frame);
    }
    process::exit(FAILED);
}

/// Becomes the program, or runs the built-in function.
fn become_program(
    spec: &SpawnSpec,
    passed: Vec<OwnedFd>,
    socket: &mut UnixStream,
    built_in: Option<BuiltIn>,
) -> Result<Infallible, StartFault> {
    // Memory is allocated before the limits apply.
    let Some(arguments) = &spec.built_in else {
        let image = Image::new(spec).map_err(at(StartStep::Exec))?;
        prepare(spec, &passed, socket)?;
        return Err(at(StartStep::Exec)(image.exec()));
    };
    let Some(built_in) = built_in else {
        return Err(StartFault { step: StartStep::Receive, errno: libc::ENOSYS });
    };
    let env = environment(spec);
    prepare(spec, &passed, socket)?;
    // An exec would close the socket.
    let _ = socket.shutdown(Shutdown::Both);
    process::exit(i32::from(built_in(arguments, env, passed)));
}

/// Prepares this process for the program. The steps depend on their order.
fn prepare(
    spec: &SpawnSpec,
    passed: &[OwnedFd],
    socket: &mut UnixStream,
) -> Result<(), StartFault> {
    arrange(spec, passed, socket)?;
    ignore_terminal();
    unistd::setsid().map_err(io::Error::from).map_err(at(StartStep::Session))?;
    reset_signals();
    if let Some(directory) = &spec.directory {
        enter(directory).map_err(at(StartStep::Directory))?;
    }
    let files = spec.open_files;
    setrlimit(Resource::RLIMIT_NOFILE, files.soft, files.hard)
        .map_err(io::Error::from)
        .map_err(at(StartStep::OpenFiles))?;
    die_with(spec.parent).map_err(at(StartStep::ParentDeath))?;
    prctl::set_no_new_privs().map_err(io::Error::from).map_err(at(StartStep::Privileges))?;
    let ready =
        inherited_usage().to_frame().map_err(io::Error::other).map_err(at(StartStep::Receive))?;
    for (resource, value) in spec.limits.iter() {
        limits::set(resource, value).map_err(at(StartStep::Limit(resource)))?;
    }
    socket.write_all(&ready).map_err(at(StartStep::Receive))
}

fn at(step: StartStep) -> impl Fn(io::Error) -> StartFault {
    move |error| StartFault::new(step, &error)
}

/// Receives the specification, and the descriptors that come with its first bytes.
fn receive(socket: &UnixStream) -> io::Result<(SpawnSpec, Vec<OwnedFd>)> {
    let mut buffer = vec![0; 64 << 10];
    let mut control = cmsg_space!([RawFd; PASSED_MAX]);
    let mut passed = Vec::new();
    let length = {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = part {
                // SAFETY: the kernel has just created these descriptors, and nothing else owns them.
                passed.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        message.bytes
    };
    buffer.truncate(length);
    loop {
        match frame::split(&buffer, FRAME_BYTES_MAX).map_err(io::Error::other)? {
            Some((body, _)) => {
                let spec = codec::decode(body).map_err(io::Error::other)?;
                return Ok((spec, passed));
            }
            None => {
                let have = buffer.len();
                buffer.resize(have + (64 << 10), 0);
                let mut socket = socket;
                match socket.read(&mut buffer[have..])? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    more => buffer.truncate(have + more),
                }
            }
        }
    }
}

/// Puts `/dev/null` on 0 and gives the passed descriptors their numbers. All others are closed by
/// the exec.
fn arrange(
    spec: &SpawnSpec,
    passed: &[OwnedFd],
    socket: &mut UnixStream,
) -> Result<(), StartFault> {
    let failed = at(StartStep::Descriptors);
    // First all are lifted above the numbers in use, so that none is overwritten before it is
    // duplicated.
    let above = spec.fd_numbers.iter().fold(2, |max, number| max.max(*number)) + 1;
    let lift = |fd: &dyn AsRawFd| -> io::Result<OwnedFd> {
        // SAFETY: the descriptor is open for the length of the call.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd.as_raw_fd()) };
        let lifted = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(above))?;
        // SAFETY: fcntl has just created this descriptor, and nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(lifted) })
    };
    let lifted = passed.iter().map(|fd| lift(fd)).collect::<io::Result<Vec<_>>>();
    let lifted = lifted.map_err(&failed)?;
    let null = File::open("/dev/null").map_err(at(StartStep::Null))?;
    let null = lift(&null).map_err(&failed)?;
    let own = lift(socket).map_err(&failed)?;
    // Dropping the old value would close descriptor 0, which will be another file by then.
    std::mem::forget(std::mem::replace(socket, own.into()));
    // SAFETY: close_range takes three integers; CLOEXEC closes nothing now.
    if unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) } != 0
    {
        return Err(at(StartStep::CloseOnExec)(io::Error::last_os_error()));
    }
    duplicate(&null, 0).map_err(&failed)?;
    // A built-in function gets its descriptors without fixed numbers.
    if spec.built_in.is_none() && spec.fd_numbers.len() != lifted.len() {
        return Err(failed(io::Error::from_raw_os_error(libc::EBADF)));
    }
    let mut numbers = spec.fd_numbers.iter().zip(&lifted);
    numbers.try_for_each(|(number, fd)| duplicate(fd, *number)).map_err(failed)
}

/// Makes `number` a descriptor of the same file that survives the exec.
fn duplicate(fd: impl AsFd, number: RawFd) -> io::Result<()> {
    // SAFETY: dup2 takes two integers; no value of this image owns `number`.
    match unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Unblocks all 64 signals and gives them their default dispositions. Raw calls are needed because
/// the functions of the C library refuse signals 32 and 33.
fn reset_signals() {
    const SET_BYTES: usize = 8;
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: all zeroes are a kernel sigaction of SIG_DFL without flags. The kernel refuses
        // KILL and STOP, which always have their defaults.
        unsafe {
            let old = ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, SET_BYTES);
        }
    }
    let empty = 0u64;
    // SAFETY: `empty` is a signal set of the size that is passed, 8 bytes.
    unsafe {
        let (set, old) = (&raw const empty, ptr::null_mut::<u64>());
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, set, old, SET_BYTES);
    }
}

fn enter(directory: &[u8]) -> io::Result<()> {
    Ok(unistd::chdir(directory)?)
}

/// Makes the kernel kill this process when its parent dies. Fails if the parent, the supervisor,
/// died before the kernel knew that: then the signal would never come.
fn die_with(parent: i32) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if unistd::getppid().as_raw() == parent { Ok(()) } else { Err(io::Error::other("orphaned")) }
}

/// Measures the usage of this image, which the kernel will count as the program's.
fn inherited_usage() -> HelperMessage {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
    let peak = usage.map_or(0, |usage| usage.max_rss());
    let cpu = usage.map_or(0, |usage| (usage.user_time() + usage.system_time()).num_microseconds());
    HelperMessage::Ready {
        inherited_peak_kib: u64::try_from(peak).unwrap_or(0),
        inherited_cpu_us: u64::try_from(cpu).unwrap_or(0),
    }
}

/// The program in the form that the kernel takes, so that the exec allocates nothing.
struct Image {
    paths: Vec<CString>,
    argv: Strings,
    envp: Strings,
}

/// The environment of the program, with the announced variable.
fn environment(spec: &SpawnSpec) -> Vec<Vec<u8>> {
    let mut env = spec.env.clone();
    if let Some((name, value)) = &spec.announced {
        let entry = format!("{name}=");
        env.retain(|pair| !pair.starts_with(entry.as_bytes()));
        env.push(format!("{entry}{}{value}", process::id()).into_bytes());
    }
    env
}

impl Image {
    fn new(spec: &SpawnSpec) -> io::Result<Self> {
        let name = spec.argv.first().map_or(&[][..], Vec::as_slice);
        let path = spec.env.iter().find_map(|pair| pair.strip_prefix(b"PATH="));
        let paths = candidates(name, path.unwrap_or(DEFAULT_PATH));
        Ok(Self {
            paths: paths.iter().map(|path| exec::c_string(path)).collect::<io::Result<_>>()?,
            argv: Strings::new(&spec.argv)?,
            envp: Strings::new(&environment(spec))?,
        })
    }

    fn exec(&self) -> io::Error {
        let (argv, envp) = (self.argv.pointers().as_ptr(), self.envp.pointers().as_ptr());
        // SAFETY: both are arrays of pointers to C strings that end with null, and `self` owns them.
        unsafe { exec::exec(&self.paths, argv, envp) }
    }
}
