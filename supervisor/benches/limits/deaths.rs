//! Checks that no job is lost when a worker is killed from outside, and that only the job that was
//! running starts twice.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::Stdio,
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    command::{Live, Workspace},
    table::Table,
};

const ROUNDS: usize = 5;
const JOBS: usize = 1000;
/// Number of started jobs after which a worker is killed.
const STARTS: usize = 300;
const PAUSE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(5);

/// Numbers of jobs that a death harmed.
#[derive(Default)]
struct Harm {
    lost: usize,
    errors: usize,
    finished_twice: usize,
    started_twice: usize,
}

impl Harm {
    fn worst(self, other: &Self) -> Self {
        Self {
            lost: self.lost.max(other.lost),
            errors: self.errors.max(other.errors),
            finished_twice: self.finished_twice.max(other.finished_twice),
            started_twice: self.started_twice.max(other.started_twice),
        }
    }
}

/// Kills a worker while it runs jobs, and counts the jobs that are lost, failed or ran twice.
pub(crate) fn lost(workspace: &Workspace, table: &mut Table) {
    let rounds = (0..ROUNDS).map(|_| lost_round(workspace));
    let Harm { lost, errors, finished_twice, started_twice } =
        rounds.fold(Harm::default(), |worst, round| worst.worst(&round));
    for (name, count, most) in [
        ("worker killed at work: jobs lost, of 1000", lost, 0),
        ("  ended as errors", errors, 0),
        ("  finished twice", finished_twice, 0),
        ("  started twice", started_twice, 1),
    ] {
        let goal = format!("<= {most}, worst of {ROUNDS} rounds");
        table.plain(name, [&count.to_string(), &most.to_string(), "-"], &goal, count <= most);
    }
}

fn lost_round(workspace: &Workspace) -> Harm {
    let [starts, ends] = ["starts", "ends"].map(|name| workspace.path(name));
    for log in [&starts, &ends] {
        File::create(log).unwrap();
    }
    let input = workspace.input("lost", |out| {
        for id in 0..JOBS {
            let (starts, ends) = (starts.display(), ends.display());
            writeln!(out, "log {starts} {id};sleep 2;log {ends} {id}").unwrap();
        }
    });
    let mut command = workspace.supervisor(&["-w", "2", "--deadline", "20s"], &input, &["work"]);
    let replies = workspace.path("replies");
    command.stdout(File::create(&replies).unwrap());
    let mut run = Live::start(&mut command);
    let victim = loop {
        let log = entries(&starts);
        if log.len() >= STARTS {
            break log[log.len() - 1].1;
        }
        assert!(run.0.try_wait().unwrap().is_none(), "{STARTS} jobs start");
        thread::sleep(Duration::from_millis(1));
    };
    kill(victim, Signal::SIGKILL).unwrap();
    let ended_well = run.succeeds();
    // Without a summary, all jobs count as lost.
    let (jobs, ok) = workspace.tally().unwrap_or_default();
    let replies = fs::read_to_string(&replies).unwrap();
    let replied = counted(replies.lines().filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()));
    let twice = |log: &Path| above_one(&counted(entries(log).into_iter().map(|entry| entry.0)));
    let errors = jobs - ok;
    Harm {
        lost: JOBS.saturating_sub(replied.len() + errors),
        errors: errors.max(usize::from(!ended_well)),
        finished_twice: twice(&ends).max(above_one(&replied)),
        started_twice: twice(&starts),
    }
}

/// Returns the complete lines of a log: a job and its process.
fn entries(log: &Path) -> Vec<(usize, Pid)> {
    let text = fs::read_to_string(log).unwrap();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let entry = |line: &str| {
        let (id, pid) = line.split_once(' ')?;
        Some((id.parse().ok()?, Pid::from_raw(pid.parse().ok()?)))
    };
    whole.lines().map(|line| entry(line).expect("a job and a process")).collect()
}

/// Counts how often each id occurs.
fn counted(ids: impl Iterator<Item = usize>) -> HashMap<usize, usize> {
    let mut counts = HashMap::new();
    for id in ids {
        *counts.entry(id).or_default() += 1;
    }
    counts
}

fn above_one(counts: &HashMap<usize, usize>) -> usize {
    counts.values().filter(|count| **count > 1).count()
}

/// Kills an idle worker, and then runs ten jobs, one after the other.
pub(crate) fn idle(workspace: &Workspace, table: &mut Table) {
    const AFTER: usize = 10;
    let fewest = (0..ROUNDS).map(|_| idle_round(workspace, AFTER)).min().unwrap();
    let goal = format!("{AFTER}, fewest of {ROUNDS} rounds");
    let name = "worker killed while idle: jobs done, of 10";
    table.plain(name, [&fewest.to_string(), &AFTER.to_string(), "-"], &goal, fewest == AFTER);
}

fn idle_round(workspace: &Workspace, jobs: usize) -> usize {
    let log = workspace.path("idle");
    File::create(&log).unwrap();
    let mut command = workspace.supervisor(&["-w", "2"], "-", &["work"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut run = Live::start(&mut command);
    let mut input = run.0.stdin.take().unwrap();
    let replies = lines(run.0.stdout.take().unwrap());
    let mut is_done = |job: &str| {
        // If the supervisor is gone, the write fails.
        let sent = writeln!(input, "{job}").and_then(|()| input.flush());
        sent.is_ok() && replies.recv_timeout(PATIENCE).is_ok_and(|reply| reply == job)
    };
    assert!(is_done(&format!("log {} 0", log.display())), "the first job succeeds");
    thread::sleep(PAUSE);
    kill(entries(&log)[0].1, Signal::SIGKILL).unwrap();
    thread::sleep(PAUSE);
    let done = (0..jobs).filter(|number| is_done(&format!("job {number}"))).count();
    drop(input);
    if run.succeeds() { done } else { 0 }
}

/// Reads lines of a pipe on a thread, and sends each one as soon as it is complete.
fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
