//! Measures the most that pipes and spawns allow, with loops that have neither pool nor protocol.
//!
//! The loops are ports of C programs of the same names. Each one runs in its own process, which forks
//! before it has any thread. To run one by hand: `jobs limit pipeline 10000000`, `jobs limit epoll
//! 200000`, and so on.

mod bulk;
mod child;
pub(crate) mod command;
pub(crate) mod commands;
pub(crate) mod deaths;
mod epoll;
pub(crate) mod memory;
pub(crate) mod mixed;
mod pipeline;
mod poll;
pub(crate) mod recorded;
mod spawn;
pub(crate) mod table;
pub(crate) mod watched;

use std::{
    env,
    fs::File,
    process::Command,
    time::{Duration, Instant},
};

use self::command::{Ran, Workspace};

pub(crate) const WORD: &str = "limit";

/// A reference loop and its number of jobs.
#[derive(Clone, Copy)]
pub(crate) enum Limit<'a> {
    /// Two children with 64 frames in flight each, written in batches. The second value is the
    /// microseconds of spinning per job.
    Pipeline(usize, u64),
    /// Two children with one frame in flight each.
    Epoll(usize),
    /// Two children with 1 MiB in flight each.
    Bulk(usize),
    /// Two children with 1 MiB in flight each, read from the file of the supervisor's jobs.
    BulkFile(usize),
    /// Processes of a program, two at a time.
    Spawn(usize, &'a str),
}

impl Limit<'_> {
    /// Returns the jobs per second on this machine now, and the time that the process used.
    pub(crate) fn measure(self, workspace: &Workspace) -> (f64, Ran) {
        let words = match self {
            Self::Pipeline(jobs, spin) => {
                vec!["pipeline".into(), jobs.to_string(), spin.to_string()]
            }
            Self::Epoll(jobs) => vec!["epoll".into(), jobs.to_string()],
            Self::Bulk(jobs) => vec!["bulk".into(), jobs.to_string()],
            Self::BulkFile(jobs) => {
                let file = workspace.blocks(jobs).display().to_string();
                vec!["bulk".into(), jobs.to_string(), file]
            }
            Self::Spawn(jobs, program) => {
                vec!["spawn".into(), jobs.to_string(), program.to_owned()]
            }
        };
        let mut command = Command::new(env::current_exe().unwrap());
        let ran = workspace.run(command.arg(WORD).args(words));
        (workspace.stdout().trim().parse().expect("a rate"), ran)
    }
}

/// Runs a loop in this process and prints its jobs per second.
pub(crate) fn main(words: &[String]) {
    let number = |at: usize| words.get(at).map_or(0, |word| word.parse().expect("a number"));
    let jobs = number(1);
    let count = usize::try_from(jobs).unwrap();
    let took = match words.first().map(String::as_str) {
        Some("pipeline") => pipeline::run(count, Duration::from_micros(number(2))),
        Some("epoll") => epoll::run(count),
        Some("bulk") => bulk::run(count, words.get(2).map(|file| File::open(file).unwrap())),
        Some("spawn") => spawn::run(count, &words[2]),
        _ => panic!(
            "limit pipeline JOBS [MICROSECONDS] | epoll JOBS | bulk JOBS [FILE] | \
             spawn JOBS PROGRAM"
        ),
    };
    println!("{}", count as f64 / took.as_secs_f64());
}

/// Size of a frame in bytes: length, number, and a payload of 16 bytes.
const FRAME: usize = 24;
const LENGTH: u32 = 16;

fn frame(id: usize) -> [u8; FRAME] {
    let mut frame = [id.to_le_bytes()[0]; FRAME];
    frame[..4].copy_from_slice(&LENGTH.to_le_bytes());
    frame[4..8].copy_from_slice(&u32::try_from(id).unwrap().to_le_bytes());
    frame
}

fn id(frame: &[u8]) -> u32 {
    u32::from_le_bytes([frame[4], frame[5], frame[6], frame[7]])
}

fn spin(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {}
}
