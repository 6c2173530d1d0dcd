//! The worker that the supervisor runs: it behaves as its jobs were planted to behave.
//!
//! It notes the start and end of every job in a file that the supervisor never opens.

use std::{
    env,
    fs::{File, OpenOptions},
    hint::{black_box, spin_loop},
    io::Write,
    os::unix::process::{CommandExt, parent_id},
    panic::catch_unwind,
    path::Path,
    process::{Command, abort, exit, id},
    thread,
    time::Duration,
};

use nix::sys::signal::{Signal, raise};
use worker::{
    Worker,
    wire::{Failure, FailureKind, VARIABLE},
};

use crate::{Fault, planted::Planted};

const LARGE_BYTES: usize = 100_000;

/// Runs all jobs.
pub(crate) fn serve(witness: &Path) -> Result<(), Fault> {
    let mut witness = OpenOptions::new().append(true).open(witness)?;
    let mut worker = Worker::connect()?;
    let mut is_broken = false;
    while let Some(job) = worker.next_job()? {
        let attempt = job.attempt;
        let (number, planted) = read(job.text()?)?;
        // One write per line, so that lines of several processes do not mix.
        let ids = format!("{number} {attempt} {} {}\n", id(), parent_id());
        witness.write_all(format!("start {ids}").as_bytes())?;
        if planted == Planted::Garbage && !is_broken {
            // The garbage must not follow replies that are still in the buffer.
            worker.flush()?;
        }
        let done = catch_unwind(|| if is_broken { Err("broken".into()) } else { act(planted) });
        is_broken |= planted == Planted::Breaks;
        witness.write_all(format!("end {ids}").as_bytes())?;
        match done {
            Ok(Ok(())) => worker.reply(Ok(&reply(number, planted)))?,
            Ok(Err(fault)) => worker.fail(&fault.to_string())?,
            Err(_) => {
                let (kind, message) = (FailureKind::Panic, "as planted".into());
                worker.reply(Err(&Failure { kind, message, place: "".into() }))?;
            }
        }
    }
    Ok(())
}

fn read(payload: &str) -> Result<(u64, Planted), Fault> {
    let (number, name) = payload.split_once(' ').ok_or("a payload without a behaviour")?;
    Ok((number.parse()?, Planted::from_name(name).ok_or("an unknown behaviour")?))
}

fn reply(number: u64, planted: Planted) -> Vec<u8> {
    let mut reply = format!("{number} done").into_bytes();
    if planted == Planted::Large {
        reply.push(b' ');
        reply.resize(LARGE_BYTES, b'x');
    }
    reply
}

fn act(planted: Planted) -> Result<(), Fault> {
    match planted {
        Planted::Fine | Planted::Large | Planted::Breaks => {}
        Planted::Slow => thread::sleep(Duration::from_millis(u64::from(id() % 20))),
        Planted::Chatters => (0..200).for_each(|_| println!("\x03\0\0\0not a frame")),
        Planted::Daemon => {
            Command::new("sh").args(["-c", "setsid sleep 600 &"]).status()?;
        }
        Planted::Fails => return Err("as planted".into()),
        Planted::Panics => return panics(),
        Planted::Descriptors => return take_descriptors(),
        Planted::Segv => loop {
            // Rust's runtime handles the first one, and restores the default action.
            raise(Signal::SIGSEGV)?;
        },
        Planted::Aborts => abort(),
        Planted::Exits => exit(3),
        Planted::Leaks => leak(),
        Planted::Garbage => return garbage(),
        // The pipes close with the exec, and the process stays.
        Planted::HangsUp => return Err(Command::new("sleep").arg("600").exec().into()),
        Planted::Hangs => wait_for_ever(),
        Planted::Spins => loop {
            spin_loop();
        },
        Planted::Stops => {
            raise(Signal::SIGSTOP)?;
            // If something continues the process, it must not reply.
            wait_for_ever();
        }
        Planted::KillsItself => raise(Signal::SIGKILL)?,
    }
    Ok(())
}

fn panics() -> Result<(), Fault> {
    panic!("as planted")
}

fn take_descriptors() -> Result<(), Fault> {
    let mut taken = Vec::new();
    loop {
        taken.push(File::open("/dev/null")?);
    }
}

fn leak() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1u8; 1 << 20]));
    }
}

/// Writes to the pipe of replies directly, without the library.
fn garbage() -> Result<(), Fault> {
    let wire = env::var(VARIABLE)?;
    let replies = wire.split(':').nth(2).ok_or("no pipe of replies")?;
    let mut pipe = OpenOptions::new().write(true).open(format!("/proc/self/fd/{replies}"))?;
    pipe.write_all(b"\x10\0\0\0no such message!")?;
    wait_for_ever()
}

fn wait_for_ever() -> ! {
    loop {
        thread::park();
    }
}
