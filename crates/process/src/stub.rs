//! What happens between the spawn and the program's first instruction? This file is a program
//! of its own: a fresh, single-threaded image that receives a [`Launch`], puts everything in
//! place and becomes the program by exec.
//!
//! A `pre_exec` closure in the supervisor could not do this: it makes the spawn a fork, which
//! copies page tables, and it runs where nothing may be allocated.

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
    exec::{self, Strings},
    launch::{Launch, PASSED_MAX, VERB, Word},
    limits,
    lookup::{DEFAULT_PATH, candidates},
};
use pool::exit::{StartFault, StartStep};

/// The stub's exit code when it did not become the program.
const FAILED: i32 = 125;

/// What a stub may be instead of another program: a function of this one. It is given its orders,
/// the environment and the passed descriptors, and gives back the exit status.
pub type BuiltIn = fn(&[u8], Vec<Vec<u8>>, Vec<OwnedFd>) -> u8;

/// Becomes the program, if this process was started as a stub; otherwise returns at once.
/// The first call of a `main` whose process launches others. Without a `built_in`, none can be
/// launched.
pub fn run_if_called(built_in: Option<BuiltIn>) {
    if std::env::args_os().nth(1).is_some_and(|verb| verb == VERB) {
        // SAFETY: a stub is started with its socket as descriptor 0, which nothing else in this
        // image refers to.
        run(UnixStream::from(unsafe { OwnedFd::from_raw_fd(0) }), built_in);
    }
}

fn run(mut socket: UnixStream, built_in: Option<BuiltIn>) -> ! {
    let Ok((launch, passed)) = receive(&socket) else {
        eprintln!("{VERB} is how this program starts others; it is not to be called by hand");
        process::exit(2);
    };
    let Err(fault) = become_it(&launch, passed, &mut socket, built_in);
    // Nobody reads a word that cannot be said: the supervisor is gone.
    if let Ok(frame) = Word::Failed(fault).to_frame() {
        let _ = socket.write_all(&frame);
    }
    process::exit(FAILED);
}

/// Becomes what the launch says: another program, or a function of this one.
fn become_it(
    launch: &Launch,
    passed: Vec<OwnedFd>,
    socket: &mut UnixStream,
    built_in: Option<BuiltIn>,
) -> Result<Infallible, StartFault> {
    // All that allocates comes before the limits.
    let Some(orders) = &launch.built_in else {
        let image = Image::new(launch).map_err(at(StartStep::Exec))?;
        prepare(launch, &passed, socket)?;
        return Err(at(StartStep::Exec)(image.exec()));
    };
    let Some(built_in) = built_in else {
        return Err(StartFault { step: StartStep::Receive, errno: libc::ENOSYS });
    };
    let env = environment(launch);
    prepare(launch, &passed, socket)?;
    // As an exec would end the socket.
    let _ = socket.shutdown(Shutdown::Both);
    process::exit(i32::from(built_in(orders, env, passed)));
}

/// The steps, in an order that each of them needs.
fn prepare(launch: &Launch, passed: &[OwnedFd], socket: &mut UnixStream) -> Result<(), StartFault> {
    arrange(launch, passed, socket).map_err(at(StartStep::Descriptors))?;
    reset_signals();
    unistd::setsid().map_err(io::Error::from).map_err(at(StartStep::Session))?;
    if let Some(directory) = &launch.directory {
        enter(directory).map_err(at(StartStep::Directory))?;
    }
    let files = launch.open_files;
    setrlimit(Resource::RLIMIT_NOFILE, files.soft, files.hard)
        .map_err(io::Error::from)
        .map_err(at(StartStep::OpenFiles))?;
    tie_to(launch.parent).map_err(at(StartStep::ParentDeath))?;
    prctl::set_no_new_privs().map_err(io::Error::from).map_err(at(StartStep::Privileges))?;
    let ready =
        inheritance().to_frame().map_err(io::Error::other).map_err(at(StartStep::Receive))?;
    for (resource, value) in launch.limits.iter() {
        limits::set(resource, value).map_err(at(StartStep::Limit(resource)))?;
    }
    socket.write_all(&ready).map_err(at(StartStep::Receive))
}

fn at(step: StartStep) -> impl Fn(io::Error) -> StartFault {
    move |error| StartFault::new(step, &error)
}

/// Reads the launch, and the descriptors that come with its first bytes.
fn receive(socket: &UnixStream) -> io::Result<(Launch, Vec<OwnedFd>)> {
    let mut buffer = vec![0; 64 << 10];
    let mut control = cmsg_space!([RawFd; PASSED_MAX]);
    let mut passed = Vec::new();
    let length = {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = part {
                // SAFETY: the kernel has just made these descriptors for us.
                passed.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        message.bytes
    };
    buffer.truncate(length);
    loop {
        match frame::split(&buffer, FRAME_BYTES_MAX).map_err(io::Error::other)? {
            Some((body, _)) => {
                let launch = codec::decode(body).map_err(io::Error::other)?;
                return Ok((launch, passed));
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

/// Puts `/dev/null` on 0 and the passed descriptors in their places, and marks all else to be
/// closed by the exec.
fn arrange(launch: &Launch, passed: &[OwnedFd], socket: &mut UnixStream) -> io::Result<()> {
    // First out of the way of every place, so that none is overwritten before it is moved.
    let above = launch.places.iter().fold(2, |max, place| max.max(*place)) + 1;
    let lift = |fd: &dyn AsRawFd| -> io::Result<OwnedFd> {
        // SAFETY: the descriptor is open for the length of the call.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd.as_raw_fd()) };
        let lifted = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(above))?;
        // SAFETY: fcntl has just made this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(lifted) })
    };
    let lifted = passed.iter().map(|fd| lift(fd)).collect::<io::Result<Vec<_>>>()?;
    let null = lift(&File::open("/dev/null")?)?;
    let own = lift(socket)?;
    // Dropping the former socket would close descriptor 0, whatever that is by then.
    std::mem::forget(std::mem::replace(socket, own.into()));
    // SAFETY: close_range takes three integers; CLOEXEC closes nothing now.
    if unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) } != 0
    {
        return Err(io::Error::last_os_error());
    }
    place(&null, 0)?;
    // What a function of this program is passed stays where it is.
    if launch.built_in.is_none() && launch.places.len() != lifted.len() {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    launch.places.iter().zip(&lifted).try_for_each(|(number, fd)| place(fd, *number))
}

/// Makes `number` a descriptor of the same file, kept over the exec.
fn place(fd: impl AsFd, number: RawFd) -> io::Result<()> {
    // SAFETY: dup2 takes two integers; whatever had the number was to be replaced.
    match unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// An empty mask and the default disposition for all 64. By raw calls, since the C library
/// hides 32 and 33 from its own.
fn reset_signals() {
    const SET_BYTES: usize = 8;
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: all zeroes is a kernel sigaction of SIG_DFL without flags. KILL and STOP are
        // refused, and are what they are.
        unsafe {
            let old = ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, SET_BYTES);
        }
    }
    let empty = 0u64;
    // SAFETY: the set is 8 bytes, as said.
    unsafe {
        let (set, old) = (&raw const empty, ptr::null_mut::<u64>());
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, set, old, SET_BYTES);
    }
}

fn enter(directory: &[u8]) -> io::Result<()> {
    Ok(unistd::chdir(directory)?)
}

/// The program shall die with the supervisor. If that died before the kernel was told, nobody
/// will ever send that signal: then this is the moment.
fn tie_to(parent: i32) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if unistd::getppid().as_raw() == parent { Ok(()) } else { Err(io::Error::other("orphaned")) }
}

/// What the kernel will count as the program's and is not.
fn inheritance() -> Word {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
    let peak = usage.map_or(0, |usage| usage.max_rss());
    let cpu = usage.map_or(0, |usage| (usage.user_time() + usage.system_time()).num_microseconds());
    Word::Ready {
        inherited_peak_kib: u64::try_from(peak).unwrap_or(0),
        inherited_cpu_us: u64::try_from(cpu).unwrap_or(0),
    }
}

/// The program as the kernel takes it: nothing is allocated any more.
struct Image {
    paths: Vec<CString>,
    argv: Strings,
    envp: Strings,
}

/// The program's environment, with what only this process can say.
fn environment(launch: &Launch) -> Vec<Vec<u8>> {
    let mut env = launch.env.clone();
    if let Some((name, value)) = &launch.announced {
        let entry = format!("{name}=");
        env.retain(|pair| !pair.starts_with(entry.as_bytes()));
        env.push(format!("{entry}{}{value}", process::id()).into_bytes());
    }
    env
}

impl Image {
    fn new(launch: &Launch) -> io::Result<Self> {
        let name = launch.argv.first().map_or(&[][..], Vec::as_slice);
        let path = launch.env.iter().find_map(|pair| pair.strip_prefix(b"PATH="));
        let paths = candidates(name, path.unwrap_or(DEFAULT_PATH));
        Ok(Self {
            paths: paths.iter().map(|path| exec::c_string(path)).collect::<io::Result<_>>()?,
            argv: Strings::new(&launch.argv)?,
            envp: Strings::new(&environment(launch))?,
        })
    }

    fn exec(&self) -> io::Error {
        let (argv, envp) = (self.argv.pointers().as_ptr(), self.envp.pointers().as_ptr());
        // SAFETY: arrays of pointers to C strings, each ended by null, all alive.
        unsafe { exec::exec(&self.paths, argv, envp) }
    }
}
