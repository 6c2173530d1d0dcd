//! The cases, in the order in which they are played. Each group has a worker of its own.

use std::{borrow::Cow, time::Duration};

use pool::exit::StartFault;
use process::Program;
use protocol::wire::{self, Codec, ToWorker, WorkerHello};
use text::escape::visible_start;

use super::{
    Finding,
    peer::{Peer, Said},
};

/// The payload of a large job, in bytes: more than any pipe holds.
const LARGE_BYTES: usize = 3 << 20;
/// A version of the protocol that does not exist yet.
const OTHER_VERSION: u32 = 99;

/// A program and what it is checked with.
pub(super) struct Stage<'a> {
    pub(super) program: &'a Program,
    pub(super) payload: &'a [u8],
    pub(super) limit: Duration,
    pub(super) report: &'a mut dyn FnMut(Finding),
}

/// The sections of PROTOCOL.md.
mod section {
    pub(super) const DOES: &str = "What a worker does";
    pub(super) const PIPES: &str = "The pipes";
    pub(super) const FRAMES: &str = "Frames";
    pub(super) const HELLOS: &str = "Hellos";
    pub(super) const MESSAGES: &str = "Messages in JSON";
    pub(super) const RULES: &str = "The rules";
    pub(super) const RECORDER: &str = "The flight recorder";
}

impl Stage<'_> {
    pub(super) async fn play(mut self) -> Result<(), StartFault> {
        let Some(hello) = self.jobs().await? else { return Ok(()) };
        self.end_of_jobs().await?;
        if hello.codec == Codec::Bincode && can(&hello, wire::RECORDER) {
            self.recorder().await?;
        }
        self.other_version().await?;
        self.no_supervisor().await
    }

    fn tell(
        &mut self,
        case: &'static str,
        section: &'static str,
        result: Result<String, String>,
    ) -> bool {
        let is_ok = result.is_ok();
        (self.report)(Finding { case, section, result });
        is_ok
    }

    /// The hellos and jobs of every kind. Returns the worker's hello if it can be checked further.
    async fn jobs(&mut self) -> Result<Option<WorkerHello>, StartFault> {
        let mut peer = Peer::start(self.program, self.limit).await?;
        let hello = peer.greet().await;
        let shown = hello.as_ref().map(describe).map_err(Clone::clone);
        if !self.tell("hello", section::HELLOS, shown) {
            peer.stop().await;
            return Ok(None);
        }
        let binary: Vec<u8> = (0..=255).collect();
        let large = vec![b'x'; LARGE_BYTES];
        let mut id = 0;
        for (case, section, payload) in [
            ("one job", section::RULES, self.payload),
            ("an empty payload", section::MESSAGES, b"".as_slice()),
            ("a payload that is not text", section::MESSAGES, &binary),
            ("a payload in Unicode", section::MESSAGES, "añb 😀 \u{202e}\0\t\"\\\n".as_bytes()),
            ("a payload of 3 MiB", section::FRAMES, &large),
        ] {
            id += 1;
            let result = one_job(&mut peer, id, payload).await;
            if !self.tell(case, section, result) {
                // The stream may be out of step, so what follows would blame the wrong rule.
                peer.stop().await;
                return Ok(hello.ok());
            }
        }
        let result = in_pieces(&mut peer, id + 1, self.payload).await;
        let is_whole = self.tell("a job that arrives byte by byte", section::FRAMES, result);
        let result = match is_whole {
            true => several_jobs(&mut peer, id + 2, self.payload).await,
            false => Err("not tried, because of the fault before".into()),
        };
        if self.tell("three jobs at once, answered in order", section::RULES, result) {
            let result = ignored_messages(&mut peer, id + 5, self.payload, hello.as_ref().ok());
            let result = result.await;
            self.tell("messages that concern no job", section::MESSAGES, result);
            let result = bye(&mut peer).await;
            self.tell("bye", section::DOES, result);
            let result = nothing_left(&mut peer).await;
            self.tell("the end of its replies", section::PIPES, result);
        }
        peer.stop().await;
        Ok(hello.ok())
    }

    /// The end of the jobs pipe means the same as `bye`.
    async fn end_of_jobs(&mut self) -> Result<(), StartFault> {
        let mut peer = Peer::start(self.program, self.limit).await?;
        let result = async {
            peer.greet().await?;
            one_job(&mut peer, 1, self.payload).await?;
            peer.close_jobs();
            expect_end(&mut peer).await
        };
        let result = result.await;
        self.tell("the end of the jobs pipe", section::DOES, result);
        peer.stop().await;
        Ok(())
    }

    /// The worker notes its jobs, and starts none that was retracted.
    async fn recorder(&mut self) -> Result<(), StartFault> {
        let mut peer = Peer::start(self.program, self.limit).await?;
        let result = async {
            peer.greet().await?;
            for id in 1..=3 {
                one_job(&mut peer, id, self.payload).await?;
            }
            noted(&peer, 3)
        };
        let result = result.await;
        let keeps = self.tell("the recorder names the job", section::RECORDER, result);
        let result = match keeps {
            true => retracted(&mut peer, self.payload).await,
            false => Err("not tried, because of the fault before".into()),
        };
        self.tell("a retracted job is not started", section::RECORDER, result);
        peer.stop().await;
        Ok(())
    }

    /// A supervisor of another version gets a hello, and the worker exits.
    async fn other_version(&mut self) -> Result<(), StartFault> {
        let mut peer = Peer::start(self.program, self.limit).await?;
        let result = async {
            peer.send_hello(OTHER_VERSION).await?;
            let hello = peer.hello().await?;
            let status = peer.ended().await?;
            Ok(format!("it names version {} and exits ({})", hello.version, shown(status)))
        };
        let result = result.await;
        self.tell("a supervisor of another version", section::HELLOS, result);
        peer.stop().await;
        Ok(())
    }

    /// A supervisor that dies before its hello leaves no worker behind.
    async fn no_supervisor(&mut self) -> Result<(), StartFault> {
        let mut peer = Peer::start(self.program, self.limit).await?;
        peer.close_jobs();
        let result = peer.ended().await.map(|status| format!("it exits ({})", shown(status)));
        self.tell("a supervisor that dies before its hello", section::DOES, result);
        peer.stop().await;
        Ok(())
    }
}

fn can(hello: &WorkerHello, capability: &str) -> bool {
    hello.capabilities.iter().any(|known| known == capability)
}

fn describe(hello: &WorkerHello) -> String {
    let codec = match hello.codec {
        Codec::Bincode => "bincode",
        Codec::Json => "json",
    };
    let able = match &hello.capabilities[..] {
        [] => "no capabilities".to_owned(),
        all => visible_start(all.join(", ").as_bytes(), 80),
    };
    format!("{codec}, {able}")
}

fn shown(status: pool::exit::Status) -> String {
    status.signal_text().unwrap_or_else(|| format!("code {}", status.shell_code()))
}

fn job(id: u64, payload: &[u8]) -> ToWorker<'_> {
    ToWorker::Job { id, attempt: 1, payload: Cow::Borrowed(payload) }
}

async fn one_job(peer: &mut Peer, id: u64, payload: &[u8]) -> Result<String, String> {
    peer.send(&job(id, payload)).await?;
    reply(peer, id).await
}

/// Reads the reply to this job, over messages about it.
async fn reply(peer: &mut Peer, job: u64) -> Result<String, String> {
    let mut others = Vec::new();
    loop {
        match peer.message().await? {
            Said::Reply { id, attempt, .. } if (id, attempt) != (job, 1) => {
                return Err(format!(
                    "a reply to job {id}, attempt {attempt}, instead of job {job}, attempt 1"
                ));
            }
            Said::Reply { failure: Some(message), .. } => {
                let message = visible_start(message.as_bytes(), 80);
                return Ok(format!("the job failed: {message}{}", listed(&others)));
            }
            Said::Reply { bytes, .. } => {
                return Ok(format!("{bytes} bytes{}", listed(&others)));
            }
            Said::About { id, what } if id != job => {
                return Err(format!("\"{what}\" names job {id}, while job {job} runs"));
            }
            Said::About { what, .. } if others.contains(&what) => {}
            Said::About { what, .. } => others.push(what),
            Said::Bye => return Err(format!("\"bye\" instead of a reply to job {job}")),
            Said::End => {
                let status = peer.ended().await.map_or_else(|fault| fault, shown);
                return Err(format!("its replies ended without one to job {job}: {status}"));
            }
        }
    }
}

fn listed(others: &[&str]) -> String {
    if others.is_empty() { String::new() } else { format!("; it sent {}", others.join(", ")) }
}

async fn in_pieces(peer: &mut Peer, id: u64, payload: &[u8]) -> Result<String, String> {
    for byte in peer.encode(&job(id, payload))? {
        peer.write(&[byte]).await?;
        tokio::task::yield_now().await;
    }
    reply(peer, id).await
}

async fn several_jobs(peer: &mut Peer, first: u64, payload: &[u8]) -> Result<String, String> {
    let mut all = Vec::new();
    for id in first..first + 3 {
        all.extend(peer.encode(&job(id, payload))?);
    }
    peer.write(&all).await?;
    for id in first..first + 3 {
        reply(peer, id).await?;
    }
    Ok("in order".into())
}

/// `resume`, and `cancel` of a job that has ended, mean nothing to a worker that runs no job.
async fn ignored_messages(
    peer: &mut Peer,
    id: u64,
    payload: &[u8],
    hello: Option<&WorkerHello>,
) -> Result<String, String> {
    peer.send(&ToWorker::Resume).await?;
    if hello.is_some_and(|hello| can(hello, wire::CANCELS)) {
        peer.send(&ToWorker::Cancel { id: id - 1, reason: "timeout".into() }).await?;
    }
    one_job(peer, id, payload).await.map(|_| "ignored".into())
}

async fn bye(peer: &mut Peer) -> Result<String, String> {
    peer.send(&ToWorker::Bye).await?;
    let status = peer.ended().await?;
    match status.is_success() {
        true => Ok("it exits with code 0".into()),
        false => Err(format!("it ends with {}, and nothing was wrong", shown(status))),
    }
}

async fn expect_end(peer: &mut Peer) -> Result<String, String> {
    let status = peer.ended().await?;
    match status.is_success() {
        true => Ok("it exits with code 0".into()),
        false => Err(format!("it ends with {}, and nothing was wrong", shown(status))),
    }
}

/// After the end of the worker, nobody holds its replies open, and nothing is left in them.
async fn nothing_left(peer: &mut Peer) -> Result<String, String> {
    match peer.message().await {
        Ok(Said::End) => Ok("closed".into()),
        Ok(Said::Bye) => Ok("closed after its bye".into()),
        Ok(said) => Err(format!("it sent a message that answers nothing: {said:?}")),
        Err(fault) if fault.starts_with("it sends nothing") => {
            Err("a child process holds the replies pipe open: set FD_CLOEXEC on its descriptors"
                .into())
        }
        Err(fault) => Err(fault),
    }
}

/// Checks what the recorder of an idle worker says after `jobs` jobs.
fn noted(peer: &Peer, jobs: u64) -> Result<String, String> {
    let (running, _) = peer.recorder.running();
    if running != jobs {
        return Err(format!("`gate` has seq {running} after {jobs} jobs"));
    }
    let mut tail = Vec::new();
    match peer.recorder.tail(peer.received, &mut tail) {
        Some(()) if tail.is_empty() => Ok(format!("seq {jobs}")),
        Some(()) => Err(format!("`filled` is {} although all replies were written", tail.len())),
        None => Err(format!(
            "`base` does not match the {} bytes that it has written, hello included",
            peer.received
        )),
    }
}

async fn retracted(peer: &mut Peer, payload: &[u8]) -> Result<String, String> {
    let started = peer.recorder.retract();
    if started != Some(3) {
        return Err(format!("a retraction reads seq {started:?} instead of 3"));
    }
    peer.send(&job(4, payload)).await?;
    peer.send(&ToWorker::Resume).await?;
    // The reply to this job shows that the one before it was dropped.
    one_job(peer, 5, payload).await?;
    let (running, is_retracted) = peer.recorder.running();
    match (running, is_retracted) {
        (5, false) => Ok("and the one after `resume` is".into()),
        (5, true) => Err("`resume` did not clear the lowest bit of `gate`".into()),
        (other, _) => Err(format!("`gate` has seq {other} for the fifth job frame")),
    }
}
