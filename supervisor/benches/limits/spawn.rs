//! Runs one process per job, two at a time, in one loop: a clone that shares the parent's memory until
//! the exec, two limits set in between, and its output read to the end.

use std::{
    ffi::CString,
    fs::File,
    io::Read,
    mem,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        raw::c_void,
    },
    ptr,
    time::{Duration, Instant},
};

const STACK_WORDS: usize = 4096;

/// The data of the child, which shares the parent's memory.
struct Command {
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    output: i32,
}

/// A running command, and the pipe that it writes to.
struct Child {
    pid: libc::pid_t,
    output: File,
}

pub(super) fn run(count: usize, program: &str) -> Duration {
    let words: Vec<CString> =
        [program, "1"].map(|word| CString::new(word).unwrap()).into_iter().collect();
    let env: Vec<CString> = std::env::vars()
        .map(|(name, value)| CString::new(format!("{name}={value}")).unwrap())
        .collect();
    let pointers = |strings: &[CString]| {
        strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>()
    };
    let mut command = Command { argv: pointers(&words), envp: pointers(&env), output: 0 };
    let mut stack = vec![0u128; STACK_WORDS];
    let began = Instant::now();
    let (mut begun, mut children) = (0, Vec::new());
    while begun < count || !children.is_empty() {
        while children.len() < 2 && begun < count {
            children.push(start(&mut command, &mut stack));
            begun += 1;
        }
        let ended = wait(&mut children);
        let mut status = 0;
        // SAFETY: the process is a child of this one, and `status` has room for its status.
        let pid = unsafe { libc::waitpid(children[ended].pid, &raw mut status, 0) };
        assert!(pid > 0 && status == 0, "the command succeeds");
        children.swap_remove(ended);
    }
    began.elapsed()
}

fn start(command: &mut Command, stack: &mut [u128]) -> Child {
    let mut ends = [0; 2];
    // SAFETY: the array has room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: both descriptors are new, and nothing else owns them.
    let [output, far] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    command.output = far.as_raw_fd();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let top = stack.as_mut_ptr_range().end.cast();
    // SAFETY: the child has its own stack and allocates nothing, and CLONE_VFORK waits for its exec.
    let pid = unsafe { libc::clone(child, top, flags, ptr::from_mut(command).cast()) };
    assert!(pid > 0, "clone succeeds");
    Child { pid, output: output.into() }
}

extern "C" fn child(command: *mut c_void) -> i32 {
    // SAFETY: the pointer leads to the parent's command, and the parent waits.
    let command = unsafe { &*command.cast::<Command>() };
    // SAFETY: these are system calls with C strings, and with arrays that end with null.
    unsafe {
        let limit = |bytes| libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        libc::dup2(command.output, 1);
        libc::setrlimit(libc::RLIMIT_AS, &limit(1 << 30));
        libc::setrlimit(libc::RLIMIT_CORE, &limit(0));
        libc::execve(command.argv[0], command.argv.as_ptr(), command.envp.as_ptr());
        libc::_exit(127)
    }
}

/// Waits until the output of a child ends, and returns the index of the child.
fn wait(children: &mut [Child]) -> usize {
    loop {
        // SAFETY: all zeroes are a valid pollfd.
        let mut watched: [libc::pollfd; 2] = unsafe { mem::zeroed() };
        for (slot, child) in watched.iter_mut().zip(children.iter()) {
            (slot.fd, slot.events) = (child.output.as_raw_fd(), libc::POLLIN);
        }
        // SAFETY: the array has two entries, and there are at most two children.
        unsafe { libc::poll(watched.as_mut_ptr(), children.len() as libc::nfds_t, -1) };
        for (at, child) in children.iter_mut().enumerate() {
            if watched[at].revents != 0 && child.output.read(&mut [0; 65536]).unwrap() == 0 {
                return at;
            }
        }
    }
}
