//! The report of a launcher on the end of a command. It is the last part of the reply, after the
//! output of the command, so that the output need not be copied to make room.

use std::time::Duration;

use protocol::codec;
use serde::{Deserialize, Serialize};

use pool::{
    command::{Captured, Gap, Ran},
    exit::{Cause, Evidence, Peak, StartFault, Status, StopReason, StopRequest},
    job::Payload,
    signal::Signal,
};
use process::wait::Exit;

/// The longest time that a command can have run or used: a century.
const TIME_MAX: Duration = Duration::from_secs(100 * 366 * 86_400);
/// The most output that a command can have written, in bytes.
const OUTPUT_BYTES_MAX: u64 = 1 << 53;

/// How a command ended, as the launcher saw it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CommandReport {
    pub(super) pid: i32,
    pub(super) end: End,
    pub(super) wall: Duration,
    /// User and system time of the command and of the children it waited for.
    pub(super) cpu: Duration,
    /// User and system time of the command alone.
    pub(super) own_cpu: Duration,
    pub(super) peak_kib: u64,
    /// Whether the peak is the command's own, and not inherited from the launcher.
    pub(super) peak_exact: bool,
    pub(super) says_out_of_memory: bool,
    pub(super) kernel_oom: bool,
    /// Why the launcher stopped the command, if it did.
    pub(super) stopped: Option<Stop>,
    /// The lengths of the kept output, in bytes, which precedes the report.
    pub(super) written: [u64; 2],
    pub(super) gaps: [Gap; 2],
    /// The names of the processes that the command left behind.
    pub(super) left: Vec<String>,
    /// Whether a process that the command left behind still held its output open.
    pub(super) leaked: bool,
    /// Whether the launcher is to end after this command. Not part of the reply.
    #[serde(skip)]
    pub(super) is_last: bool,
}

/// The end of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum End {
    NotStarted(StartFault),
    Ended(Status),
}

impl Default for End {
    fn default() -> Self {
        Self::Ended(Status::Code(0))
    }
}

/// How the launcher stopped a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Stop {
    pub(super) reason: Reason,
    pub(super) killed: bool,
}

/// Why the launcher stopped a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Reason {
    Timeout,
    Memory,
    Shutdown,
}

impl CommandReport {
    pub(super) fn not_started(fault: StartFault) -> Self {
        Self { end: End::NotStarted(fault), ..Self::default() }
    }

    pub(super) fn ended(pid: i32, exit: Exit) -> Self {
        let Exit { status, cpu, peak_kib, switches: _ } = exit;
        Self { pid, end: End::Ended(status), cpu, peak_kib, ..Self::default() }
    }

    /// Whether this signal ended the command.
    pub(super) fn is_ended_by(&self, by: Signal) -> bool {
        matches!(self.end, End::Ended(Status::Signal { signal, .. }) if signal == by)
    }

    /// Whether the command was killed, and not by the launcher.
    pub(super) fn is_killed(&self) -> bool {
        self.is_ended_by(Signal::KILL) && !self.stopped.is_some_and(|stop| stop.killed)
    }

    pub(super) fn is_success(&self) -> bool {
        self.end == End::Ended(Status::Code(0))
    }

    /// Appends the report to the kept output.
    pub(super) fn append_to(&self, reply: &mut Vec<u8>) -> Result<(), codec::CodecError> {
        let start = reply.len();
        codec::encode(self, reply)?;
        let length = u32::try_from(reply.len() - start).unwrap_or(u32::MAX);
        reply.extend_from_slice(&length.to_le_bytes());
        Ok(())
    }

    /// Whether a command can have had these numbers. Others, which only a command can have caused that
    /// writes to the memory of its launcher, would overflow where they are added up.
    fn is_possible(&self) -> bool {
        let times = [self.wall, self.cpu, self.own_cpu];
        times.iter().all(|time| *time <= TIME_MAX)
            && self.gaps.iter().all(|gap| gap.bytes <= OUTPUT_BYTES_MAX)
    }

    fn evidence(&self) -> Option<Evidence> {
        let End::Ended(status) = self.end else { return None };
        Some(Evidence {
            status,
            wall: self.wall,
            cpu: self.cpu,
            own_cpu: self.own_cpu,
            peak: Peak { bytes: self.peak_kib.saturating_mul(1024), exact: self.peak_exact },
            says_out_of_memory: self.says_out_of_memory,
            kernel_oom: self.kernel_oom,
            left: self.left.clone(),
        })
    }
}

/// Parses the reply of a launcher; `None` if it is not one.
pub(crate) fn read(reply: Payload) -> Option<Ran> {
    let bytes = reply.as_bytes();
    let (rest, length) = bytes.split_last_chunk::<4>()?;
    let at = rest.len().checked_sub(u32::from_le_bytes(*length) as usize)?;
    let report: CommandReport = codec::decode(&rest[at..]).ok()?;
    let [stdout, stderr] = report.written.map(|length| usize::try_from(length).ok());
    let (stdout, both) = (stdout?, stdout?.checked_add(stderr?)?);
    if both != at || !report.is_possible() {
        return None;
    }
    let why = |reason| match reason {
        Reason::Timeout => StopReason::Timeout,
        Reason::Memory => StopReason::Memory,
        Reason::Shutdown => StopReason::Shutdown,
    };
    Some(Ran {
        pid: report.pid,
        cause: match report.end {
            End::NotStarted(fault) => Cause::CouldNotStart(fault),
            End::Ended(_) => Cause::Exit,
        },
        evidence: report.evidence(),
        asked: report
            .stopped
            .map(|stop| StopRequest { why: why(stop.reason), killed: stop.killed }),
        output: Captured::new(reply, [0..stdout, stdout..both], report.gaps),
        leaked: report.leaked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fuzz::{Checked, Did, Target};
    use pool::{command::Gap, exit::StartStep};
    use proptest::prelude::*;

    fn reply(report: &CommandReport, written: [&[u8]; 2]) -> Vec<u8> {
        let mut reply = written.concat();
        let written = written.map(|bytes| bytes.len() as u64);
        CommandReport { written, ..report.clone() }.append_to(&mut reply).unwrap();
        reply
    }

    #[test]
    fn a_report_survives_the_reply() {
        let end = End::Ended(Status::Signal { signal: Signal::SEGV, core: true });
        let (wall, left) = (Duration::from_millis(7), vec!["sleep".to_owned()]);
        let report =
            CommandReport { pid: 7, end, wall, left, leaked: true, ..CommandReport::default() };
        let ran = read(Payload::copy(&reply(&report, [b"out", b"error"]))).unwrap();
        assert_eq!((ran.output.stdout(), ran.output.stderr()), (&b"out"[..], &b"error"[..]));
        let left = &ran.evidence.as_ref().unwrap().left;
        assert_eq!((ran.pid, ran.leaked, left.as_slice()), (7, true, &["sleep".to_owned()][..]));
        let status = Status::Signal { signal: Signal::SEGV, core: true };
        assert_eq!(ran.evidence.unwrap().status, status);
        assert!(!report.is_killed());
    }

    proptest! {
        #[test]
        fn a_corrupt_reply_is_no_report(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            (at, value) in any::<(prop::sample::Index, u8)>(),
        ) {
            let _ = read(Payload::copy(&bytes));
            let mut corrupt = reply(&CommandReport::default(), [&bytes, b"x"]);
            let at = at.index(corrupt.len());
            corrupt[at] = value;
            if let Some(ran) = read(Payload::copy(&corrupt)) {
                prop_assert!(ran.output.stdout().len() <= corrupt.len());
            }
        }
    }

    fn reports() -> Target {
        let (wall, left) = (Duration::from_millis(7), vec!["sleep".to_owned()]);
        let gaps = [Gap { at: 3, bytes: 1000 }, Gap::default()];
        let ended = CommandReport { pid: 7, wall, left, gaps, ..CommandReport::default() };
        let fault = StartFault { step: StartStep::Exec, errno: 2 };
        let not_started = CommandReport::not_started(fault);
        let stop = Stop { reason: Reason::Timeout, killed: true };
        let stopped = CommandReport { stopped: Some(stop), ..CommandReport::default() };
        let impossible = CommandReport { wall: Duration::MAX, ..CommandReport::default() };
        // The length of the name is 16 MiB more.
        let mut lying = reply(&ended, [b"", b""]);
        let name = lying.windows(5).position(|part| part == b"sleep").unwrap();
        lying[name - 5] = 1;
        let seeds = vec![
            lying,
            reply(&impossible, [b"", b""]),
            reply(&ended, [b"output", b"errors"]),
            reply(&not_started, [b"", b""]),
            reply(&stopped, [b"output", b""]),
        ];
        Target { name: "reports", seeds, words: &[] }
    }

    /// The numbers of a report can be added up, and its output lies within the reply.
    fn check(input: &[u8], read: impl Fn(Payload) -> Option<Ran>) -> Checked {
        let Some(ran) = read(Payload::copy(input)) else { return Ok(Did::Refuse) };
        let century = Duration::from_secs(100 * 366 * 86_400);
        let times = ran.evidence.iter().flat_map(|it| [it.wall, it.cpu, it.own_cpu]);
        let output = [ran.output.stdout(), ran.output.stderr()];
        let lengths = output.map(|bytes| bytes.len() as u64).into_iter().zip(ran.output.gaps());
        if times.into_iter().any(|time| time > century)
            || lengths.into_iter().any(|(kept, gap)| kept.checked_add(gap.bytes).is_none())
            || output.concat().len() > input.len()
        {
            return Err(format!("it is a report: {ran:?}"));
        }
        Ok(Did::Accept)
    }

    #[test]
    fn any_bytes_are_a_possible_report_or_refused() {
        reports().fuzz(|input| check(input, read));
    }

    #[test]
    fn a_report_with_an_impossible_time_would_be_found() {
        reports().finds(|input| {
            check(input, |reply| {
                let mut ran = read(reply)?;
                if let Some(evidence) = ran.evidence.as_mut().filter(|_| ran.leaked) {
                    evidence.cpu = Duration::MAX;
                }
                Some(ran)
            })
        });
    }
}
