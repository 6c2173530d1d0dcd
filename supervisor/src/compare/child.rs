//! How is a way run? In a process of its own, heard over a pipe, weighed while it runs, and killed
//! with all that it has started: whatever it does to itself is a result.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    os::{fd::AsFd, unix::process::CommandExt},
    process::{self, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender},
    thread,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::memfd::{MFdFlags, memfd_create},
};

use super::{
    crossing,
    part::Part,
    plan::{Plan, Way},
};
use ::process::{
    memory::MemorySampler,
    signals::{Request, signal_group},
    tree::ProcessTable,
    wait::{Exit, examine, pidfd, signal_if_same},
};
use pool::signal::Signal;

/// News that reach whoever compares. They wait for their turn: who tells faster than we hear,
/// is heard later.
#[derive(Debug)]
pub(super) enum News {
    /// Of the way of this number: a line, and when it came.
    Line(u64, Instant, Vec<u8>),
    /// It has closed its output.
    Silence(u64),
    /// Somebody wants something of us.
    Request(Request),
}

/// What was heard and seen of a way.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) began: Instant,
    /// What it told, and when.
    pub(super) lines: Vec<(Instant, Vec<u8>)>,
    /// When it fell silent, or was found to be.
    pub(super) ended: Instant,
    pub(super) exit: Exit,
    /// It was killed since it told nothing any more.
    pub(super) is_stuck: bool,
    /// The most that its processes held together, as far as it was seen.
    pub(super) memory_bytes: Option<u64>,
    /// What it took to write the jobs for it.
    pub(super) crossing: Duration,
    /// What it said on standard error, at most so much.
    pub(super) complaint: String,
}

/// The end of one, or the reason to end it all.
#[derive(Debug)]
pub(super) enum End {
    Heard(Heard),
    Stopped(Signal),
}

/// A way that is silent for its jobs' time limit is stuck. A supervisor has its own limits, and
/// this is for one that fails to keep them.
const SUPERVISOR_PATIENCE: u32 = 4;
/// What is kept of a complaint.
const COMPLAINT_BYTES: u64 = 4 << 10;
/// To end, once all is said.
const LAST_BREATH: Duration = Duration::from_secs(5);

struct Running<'a> {
    number: u64,
    plan: &'a Plan,
    way: Way,
    child: process::Child,
    scale: Scale,
    lines: Vec<(Instant, Vec<u8>)>,
}

/// Runs the jobs in this way. `number` tells it from all others that say `news`.
pub(super) fn run(
    (number, way): (u64, Way),
    plan: &Plan,
    (told, news): (&SyncSender<News>, &Receiver<News>),
) -> io::Result<End> {
    let part = Part::Way { way, plan: plan.clone(), parent: process::id().cast_signed() };
    let [program, words @ ..] = part.to_words()?;
    let mut complaint = in_memory("complaint")?;
    let (jobs, crossing) = jobs(way, plan)?;
    let began = Instant::now();
    let mut child = Command::new(program)
        .args(words)
        // A panic is to cost what it costs, and not the search for its place.
        .env("RUST_BACKTRACE", "0")
        .process_group(0)
        .stdin(jobs)
        .stdout(Stdio::piped())
        .stderr(complaint.try_clone()?)
        .spawn()?;
    if let Some(stdout) = child.stdout.take() {
        hear(number, stdout, told.clone())?;
    }
    let (scale, lines) = (Scale::new(child.id().cast_signed()), Vec::new());
    let mut running = Running { number, plan, way, child, scale, lines };
    let followed = running.follow(news);
    let ended = Instant::now();
    let exit = running.end(followed.as_ref().is_ok_and(|why| *why == Why::Silence));
    let why = followed?;
    if let Why::Stopped(signal) = why {
        return Ok(End::Stopped(signal));
    }
    let mut said = Vec::new();
    complaint.rewind()?;
    complaint.take(COMPLAINT_BYTES).read_to_end(&mut said)?;
    Ok(End::Heard(Heard {
        began,
        lines: running.lines,
        ended,
        exit: exit?,
        is_stuck: why == Why::Stuck,
        memory_bytes: running.scale.peak,
        crossing,
        complaint: String::from_utf8_lossy(&said).into_owned(),
    }))
}

/// Why there is nothing more to be heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    Silence,
    Stuck,
    Stopped(Signal),
}

impl Running<'_> {
    fn follow(&mut self, news: &Receiver<News>) -> io::Result<Why> {
        let mut heard = Instant::now();
        loop {
            let deadline = heard + self.patience();
            let next = self.scale.next.min(deadline);
            match news.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(News::Line(number, at, line)) if number == self.number => {
                    heard = at;
                    self.lines.push((at, line));
                }
                Ok(News::Silence(number)) if number == self.number => return Ok(Why::Silence),
                // The last words of one that was killed.
                Ok(News::Line(..) | News::Silence(_)) => {}
                Ok(News::Request(request)) => {
                    if let Some(signal) = request.stop_signal() {
                        return Ok(Why::Stopped(signal));
                    }
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= deadline => {
                    return Ok(Why::Stuck);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
            self.scale.weigh_if_due();
        }
    }

    fn patience(&self) -> Duration {
        let times = if self.way.is_isolated() { SUPERVISOR_PATIENCE } else { 1 };
        self.plan.timeout * times
    }

    /// Kills all of it that is still there, and reaps it.
    fn end(&mut self, ends_by_itself: bool) -> io::Result<Exit> {
        let pid = self.child.id().cast_signed();
        let pidfd = pidfd(pid)?;
        let limit = PollTimeout::try_from(LAST_BREATH).unwrap_or(PollTimeout::NONE);
        if ends_by_itself {
            poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], limit)?;
        }
        // Before the leader is gone, and its children with it to another parent.
        let census = ProcessTable::read();
        let others = census.descendants(pid);
        signal_group(pid, Signal::KILL);
        poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        let exit = examine(&pidfd)?;
        others.into_iter().for_each(|other| signal_if_same(other, Signal::KILL));
        self.child.wait()?;
        exit.ok_or_else(|| io::Error::other("a process that had ended was not there to be seen"))
    }
}

/// Standard input: for a supervisor its jobs, all there from the start.
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

/// Passes on each line as it comes.
fn hear(number: u64, from: ChildStdout, to: SyncSender<News>) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let listen = move || {
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let line = std::mem::take(&mut line);
            if to.send(News::Line(number, Instant::now(), line)).is_err() {
                return;
            }
        }
        let _ = to.send(News::Silence(number));
    };
    thread::Builder::new().name("compare-listen".into()).spawn(listen).map(drop)
}

/// Weighs a tree of processes now and then: often at first, never so often that it shows.
struct Scale {
    pid: i32,
    began: Instant,
    next: Instant,
    peak: Option<u64>,
    scales: MemorySampler,
}

impl Scale {
    const SOONEST: Duration = Duration::from_millis(2);
    const LATEST: Duration = Duration::from_millis(100);
    /// Of the time, a twentieth at most.
    const SHARE: u32 = 20;
    /// Of the time that has passed, an eighth goes by until the next look.
    const GROWTH: u32 = 8;

    fn new(pid: i32) -> Self {
        let began = Instant::now();
        let (next, scales) = (began + Self::SOONEST, MemorySampler::default());
        Self { pid, began, next, peak: None, scales }
    }

    fn weigh_if_due(&mut self) {
        let begun = Instant::now();
        if begun < self.next {
            return;
        }
        self.scales.refresh();
        let bytes = self.scales.proportional_bytes(self.pid);
        // Nothing is not the weight of a process, but what remains of one that has ended.
        self.peak = self.peak.max(Some(bytes).filter(|bytes| *bytes > 0));
        let now = Instant::now();
        let pause = ((now - self.began) / Self::GROWTH).clamp(Self::SOONEST, Self::LATEST);
        self.next = now + pause.max((now - begun) * Self::SHARE);
    }
}
