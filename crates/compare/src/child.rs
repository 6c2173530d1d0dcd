//! Runs one way in a child process: reads its output over a pipe, samples its memory, and kills it
//! with all its descendants at the end. A child that crashes or hangs is a result, not an error.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Child, ChildStdout, Command, Stdio, id},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender},
    thread,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::memfd::{MFdFlags, memfd_create},
};

use pool::signal::Signal;
use process::{
    memory::MemorySampler,
    signals::{Request, signal_group},
    tree::ProcessTable,
    wait::{Exit, examine, pidfd, signal_if_same},
};

use super::{
    crossing,
    plan::{Plan, Way},
    role::Role,
};

/// Input of the loop that watches a child. The channel is bounded, so a child that writes faster
/// than the loop reads is slowed down.
#[derive(Debug)]
pub(super) enum Message {
    /// A line of the child with this number, and when it arrived.
    Line(u64, Instant, Vec<u8>),
    /// The child with this number closed its stdout.
    Closed(u64),
    /// A signal that asks this program to stop, among others.
    Request(Request),
}

/// Everything that was observed of one child.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) began: Instant,
    /// Lines from stdout, with the time at which each arrived.
    pub(super) lines: Vec<(Instant, Vec<u8>)>,
    /// When stdout was closed, or when the child was found to be stuck.
    pub(super) ended: Instant,
    pub(super) exit: Exit,
    /// Whether the child was killed because it wrote nothing for too long.
    pub(super) is_stuck: bool,
    /// Peak memory of all its processes together, as sampled.
    pub(super) memory_bytes: Option<u64>,
    /// Time spent serialising the jobs for it.
    pub(super) crossing: Duration,
    /// Beginning of its stderr, at most [`STDERR_BYTES_MAX`] bytes.
    pub(super) stderr: String,
}

/// How watching a child ended.
#[derive(Debug)]
pub(super) enum End {
    /// The child has ended.
    Completed(Observed),
    /// A signal asked this program to stop.
    Stopped(Signal),
}

/// A way that writes nothing for the time limit of a job is stuck. A supervisor enforces that limit
/// itself, so it gets this multiple of it.
const SUPERVISOR_TIMEOUT_FACTOR: u32 = 4;
const STDERR_BYTES_MAX: u64 = 4 << 10;
/// Time for the child to exit after it has closed its stdout.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

struct Running<'a> {
    number: u64,
    plan: &'a Plan,
    way: Way,
    child: Child,
    memory: PeakSampler,
    lines: Vec<(Instant, Vec<u8>)>,
}

/// Runs the jobs in this way. `number` tells the messages of this child from those of earlier ones.
pub(super) fn run(
    (number, way): (u64, Way),
    plan: &Plan,
    (sender, messages): (&SyncSender<Message>, &Receiver<Message>),
) -> io::Result<End> {
    let role = Role::Way { way, plan: plan.clone(), parent: id().cast_signed() };
    let [program, words @ ..] = role.to_words()?;
    let mut stderr = in_memory("stderr")?;
    let (jobs, crossing) = jobs(way, plan)?;
    let began = Instant::now();
    let mut child = Command::new(program)
        .args(words)
        // Resolving a backtrace would add to the measured cost of a panic.
        .env("RUST_BACKTRACE", "0")
        .process_group(0)
        .stdin(jobs)
        .stdout(Stdio::piped())
        .stderr(stderr.try_clone()?)
        .spawn()?;
    if let Some(stdout) = child.stdout.take() {
        forward_lines(number, stdout, sender.clone())?;
    }
    let (memory, lines) = (PeakSampler::new(child.id().cast_signed()), Vec::new());
    let mut running = Running { number, plan, way, child, memory, lines };
    let watched = running.watch(messages);
    let ended = Instant::now();
    let exit = running.end(watched.as_ref().is_ok_and(|reason| *reason == Reason::Closed));
    let reason = watched?;
    if let Reason::Stopped(signal) = reason {
        return Ok(End::Stopped(signal));
    }
    let mut written = Vec::new();
    stderr.rewind()?;
    stderr.take(STDERR_BYTES_MAX).read_to_end(&mut written)?;
    Ok(End::Completed(Observed {
        began,
        lines: running.lines,
        ended,
        exit: exit?,
        is_stuck: reason == Reason::Stuck,
        memory_bytes: running.memory.peak,
        crossing,
        stderr: String::from_utf8_lossy(&written).into_owned(),
    }))
}

/// Why watching a child ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    Closed,
    Stuck,
    Stopped(Signal),
}

impl Running<'_> {
    fn watch(&mut self, messages: &Receiver<Message>) -> io::Result<Reason> {
        let mut last_line = Instant::now();
        loop {
            let deadline = last_line + self.patience();
            let next = self.memory.next.min(deadline);
            match messages.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Message::Line(number, at, line)) if number == self.number => {
                    last_line = at;
                    self.lines.push((at, line));
                }
                Ok(Message::Closed(number)) if number == self.number => return Ok(Reason::Closed),
                // Late output of an earlier child that was killed.
                Ok(Message::Line(..) | Message::Closed(_)) => {}
                Ok(Message::Request(request)) => {
                    if let Some(signal) = request.stop_signal() {
                        return Ok(Reason::Stopped(signal));
                    }
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => {
                    return Ok(Reason::Stuck);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
            self.memory.sample_if_due();
        }
    }

    fn patience(&self) -> Duration {
        let times = if self.way.is_isolated() { SUPERVISOR_TIMEOUT_FACTOR } else { 1 };
        self.plan.timeout * times
    }

    /// Kills what is left of the child and its descendants, and reaps the child. With `exits`, the
    /// child first gets [`EXIT_TIMEOUT`] to exit by itself.
    fn end(&mut self, exits: bool) -> io::Result<Exit> {
        let pid = self.child.id().cast_signed();
        let pidfd = pidfd(pid)?;
        let limit = PollTimeout::try_from(EXIT_TIMEOUT).unwrap_or(PollTimeout::NONE);
        if exits {
            poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], limit)?;
        }
        // Taken while the child exists: afterwards its children are reparented.
        let table = ProcessTable::read();
        let others = table.descendants(pid);
        signal_group(pid, Signal::KILL);
        poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        let exit = examine(&pidfd)?;
        others.into_iter().for_each(|other| signal_if_same(other, Signal::KILL));
        self.child.wait()?;
        exit.ok_or_else(|| io::Error::other("a process that had ended was not there to be seen"))
    }
}

/// Returns the stdin of a way, and the time spent serialising jobs for it. A supervisor reads its
/// jobs from stdin; all of them are there from the start.
fn jobs(way: Way, plan: &Plan) -> io::Result<(Stdio, Duration)> {
    if !way.is_isolated() {
        return Ok((Stdio::null(), Duration::ZERO));
    }
    let mut file = in_memory("jobs")?;
    let took = crossing::write_all(plan, &file)?;
    file.rewind()?;
    Ok((file.into(), took))
}

fn in_memory(name: &str) -> io::Result<File> {
    Ok(memfd_create(name, MFdFlags::MFD_CLOEXEC)?.into())
}

/// Forwards each line to the channel, from a thread of its own.
fn forward_lines(number: u64, from: ChildStdout, to: SyncSender<Message>) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let forward = move || {
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let line = std::mem::take(&mut line);
            if to.send(Message::Line(number, Instant::now(), line)).is_err() {
                return;
            }
        }
        let _ = to.send(Message::Closed(number));
    };
    thread::Builder::new().name("compare-lines".into()).spawn(forward).map(drop)
}

/// Samples the memory of a process tree: often at first, then less often, and never so often that
/// sampling distorts the figures.
struct PeakSampler {
    pid: i32,
    began: Instant,
    next: Instant,
    peak: Option<u64>,
    sampler: MemorySampler,
}

impl PeakSampler {
    const PAUSE_MIN: Duration = Duration::from_millis(2);
    const PAUSE_MAX: Duration = Duration::from_millis(100);
    /// A pause lasts at least this many times as long as the sample before it, so that sampling
    /// takes a twentieth of the time at most.
    const PAUSE_FACTOR: u32 = 20;
    /// A pause lasts at least the elapsed time divided by this.
    const GROWTH: u32 = 8;

    fn new(pid: i32) -> Self {
        let began = Instant::now();
        let (next, sampler) = (began + Self::PAUSE_MIN, MemorySampler::default());
        Self { pid, began, next, peak: None, sampler }
    }

    fn sample_if_due(&mut self) {
        let begun = Instant::now();
        if begun < self.next {
            return;
        }
        self.sampler.refresh();
        let bytes = self.sampler.proportional_bytes(self.pid);
        // Zero is what the kernel reports of a process that has ended.
        self.peak = self.peak.max(Some(bytes).filter(|bytes| *bytes > 0));
        let now = Instant::now();
        let pause = ((now - self.began) / Self::GROWTH).clamp(Self::PAUSE_MIN, Self::PAUSE_MAX);
        self.next = now + pause.max((now - begun) * Self::PAUSE_FACTOR);
    }
}
