//! Executes the commands in a job, which are separated by `;`, and replies with the payload.
//!
//! The commands are `sleep MS`, `spin US`, `fail TEXT`, `panic TEXT`, `segv`, `abort`, `exit N`,
//! `hang`, `break` (every job after this one fails), `stop`, `leak`, `kill`, `die HOW`, `keep MIB`, `print TEXT`, `complain TEXT`, `big N`
//! (replies with N bytes), `log PATH TEXT`, `once PATH` (fails if the file is empty, and writes to
//! it), `reserve MIB` (keeps memory, or fails), `release` (frees it) and `sh COMMAND`. Other words do nothing.

#![expect(unsafe_code, reason = "causes a real segmentation fault")]

use std::{
    cell::RefCell,
    fs::OpenOptions,
    hint::{black_box, spin_loop},
    io::Write,
    process, ptr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

mod death;

/// Whether every job fails from now on, as if a connection were lost.
static BROKEN: AtomicBool = AtomicBool::new(false);

fn main() -> Result<(), worker::ServeError> {
    worker::serve(|job| {
        let words = job.text().map_err(|fault| fault.to_string())?;
        if BROKEN.load(Ordering::Relaxed) {
            return Err("the connection is closed".to_owned());
        }
        let mut reply = words.as_bytes().to_vec();
        for word in words.split(';') {
            if let Some(other) = act(word.trim())? {
                reply = other;
            }
        }
        Ok::<_, String>(reply)
    })
}

/// Executes one command. Returns the reply if it is not the payload.
fn act(words: &str) -> Result<Option<Vec<u8>>, String> {
    let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
    let number = || rest.parse::<u64>().map_err(|fault| format!("`{words}`: {fault}"));
    match word {
        "sh" => drop(process::Command::new("sh").args(["-c", rest]).status()),
        "sleep" => thread::sleep(Duration::from_millis(number()?)),
        "spin" => spin(Duration::from_micros(number()?)),
        "fail" => return Err(rest.into()),
        "panic" => panic!("{rest}"),
        "segv" => fault(),
        "abort" => process::abort(),
        "exit" => process::exit(i32::try_from(number()?).unwrap_or(1)),
        "hang" => death::wait_for_ever(),
        "break" => BROKEN.store(true, Ordering::Relaxed),
        // SAFETY: raise takes an integer.
        "stop" => unsafe {
            libc::raise(libc::SIGSTOP);
        },
        "leak" => leak(),
        "kill" => death::by_signal(libc::SIGKILL),
        "die" => death::by(Some(rest)),
        "reserve" => reserve(number()? << 20)?,
        "release" => RESERVED.with_borrow_mut(Vec::clear),
        // Never freed.
        "keep" => _ = black_box(vec![1u8; usize::try_from(number()? << 20).unwrap_or(0)]).leak(),
        "print" => println!("{rest}"),
        "complain" => eprintln!("{rest}"),
        "big" => return Ok(Some(vec![b'x'; usize::try_from(number()?).unwrap_or(0)])),
        "log" => log(rest)?,
        "once" => once(rest)?,
        _ => {}
    }
    Ok(None)
}

thread_local! {
    static RESERVED: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Allocates this number of bytes and keeps them, or fails as a runtime with exceptions does.
fn reserve(bytes: u64) -> Result<(), String> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut block = Vec::new();
    block.try_reserve_exact(bytes).map_err(|_| "MemoryError: out of memory".to_owned())?;
    block.resize(bytes, 1);
    RESERVED.with_borrow_mut(|blocks| blocks.push(block));
    Ok(())
}

fn spin(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        spin_loop();
    }
}

/// Causes a segmentation fault, after restoring its default action.
fn fault() {
    // SAFETY: none is claimed: the fault is the purpose.
    unsafe {
        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        ptr::without_provenance_mut::<u8>(black_box(1)).write_volatile(0);
    }
}

fn leak() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1u8; 1 << 20]));
    }
}

/// Appends the text and this process's id to the file, in one write.
fn log(rest: &str) -> Result<(), String> {
    let (path, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let line = format!("{text} {}\n", process::id());
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .map_err(|fault| format!("{path}: {fault}"))
}

fn once(path: &str) -> Result<(), String> {
    let before = std::fs::read(path).map_err(|fault| format!("{path}: {fault}"))?;
    log(path)?;
    if before.is_empty() { Err("only once".into()) } else { Ok(()) }
}
