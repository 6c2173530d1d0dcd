//! `stamp FILE`: sleeps as long as each job asks, and appends the times of its start and end to FILE.
//!
//! A job is `ID MICROSECONDS`. A line of FILE is `ID START END`, in nanoseconds of the monotonic
//! clock. The reply is the payload.

#![expect(unsafe_code, reason = "reads the monotonic clock, which other processes share")]

use std::{env, fs::OpenOptions, io::Write, thread, time::Duration};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = env::args_os().nth(1).ok_or("which file?")?;
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    worker::serve(move |job| {
        let began = now();
        let text = job.text().map_err(|fault| fault.to_string())?;
        let (id, time) = text.split_once(' ').ok_or("`ID MICROSECONDS`")?;
        let time = time.parse().map_err(|fault| format!("`{time}`: {fault}"))?;
        thread::sleep(Duration::from_micros(time));
        // One write, since other workers append to the same file.
        let line = format!("{id} {began} {}\n", now());
        file.write_all(line.as_bytes()).map_err(|fault| fault.to_string())?;
        Ok::<_, String>(text.as_bytes().to_vec())
    })?;
    Ok(())
}

fn now() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime writes to the timespec that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
