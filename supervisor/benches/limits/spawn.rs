//! A process for each job, two at a time, in one loop: a clone that shares its memory until the
//! exec, two limits set in between, and what it writes read to its end.

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

/// What the child needs; it shares our memory.
struct Command {
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    output: i32,
}

/// A command that runs, and the pipe that it writes to.
struct Kid {
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
    let (mut begun, mut kids) = (0, Vec::new());
    while begun < count || !kids.is_empty() {
        while kids.len() < 2 && begun < count {
            kids.push(start(&mut command, &mut stack));
            begun += 1;
        }
        let ended = wait(&mut kids);
        let mut status = 0;
        // SAFETY: a child of ours, and a place for its status.
        let pid = unsafe { libc::waitpid(kids[ended].pid, &raw mut status, 0) };
        assert!(pid > 0 && status == 0, "a command ends well");
        kids.swap_remove(ended);
    }
    began.elapsed()
}

fn start(command: &mut Command, stack: &mut [u128]) -> Kid {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: both were just made, and are nobody else's.
    let [output, far] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    command.output = far.as_raw_fd();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let top = stack.as_mut_ptr_range().end.cast();
    // SAFETY: the child has a stack of its own, allocates nothing, and we wait for its exec.
    let pid = unsafe { libc::clone(child, top, flags, ptr::from_mut(command).cast()) };
    assert!(pid > 0, "a process can be had");
    Kid { pid, output: output.into() }
}

extern "C" fn child(command: *mut c_void) -> i32 {
    // SAFETY: the parent's, which waits.
    let command = unsafe { &*command.cast::<Command>() };
    // SAFETY: system calls only, with C strings and arrays that end with null.
    unsafe {
        let limit = |bytes| libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        libc::dup2(command.output, 1);
        libc::setrlimit(libc::RLIMIT_AS, &limit(1 << 30));
        libc::setrlimit(libc::RLIMIT_CORE, &limit(0));
        libc::execve(command.argv[0], command.argv.as_ptr(), command.envp.as_ptr());
        libc::_exit(127)
    }
}

/// The first whose output has ended.
fn wait(kids: &mut [Kid]) -> usize {
    loop {
        // SAFETY: all zeroes are a value of it.
        let mut watched: [libc::pollfd; 2] = unsafe { mem::zeroed() };
        for (slot, kid) in watched.iter_mut().zip(kids.iter()) {
            (slot.fd, slot.events) = (kid.output.as_raw_fd(), libc::POLLIN);
        }
        // SAFETY: as many as there are kids, of which there are two at most.
        unsafe { libc::poll(watched.as_mut_ptr(), kids.len() as libc::nfds_t, -1) };
        for (at, kid) in kids.iter_mut().enumerate() {
            if watched[at].revents != 0 && kid.output.read(&mut [0; 65536]).unwrap() == 0 {
                return at;
            }
        }
    }
}
