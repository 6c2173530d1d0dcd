//! How does a launcher tell how a command ended? In its reply: what the command wrote, and
//! behind that a few words on its end, so that the output need not be copied to make room.

use std::time::Duration;

use protocol::codec;
use serde::{Deserialize, Serialize};

use pool::{
    command::{Captured, Gap, Ran},
    exit::{Asked, Cause, Evidence, Peak, StartFault, Status, StopReason},
    job::Payload,
    signal::Signal,
};

/// How a command ended, in a launcher's words.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(super) pid: i32,
    pub(super) end: End,
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    /// Without that of its children.
    pub(super) own_cpu: Duration,
    pub(super) peak_kib: u64,
    pub(super) peak_exact: bool,
    pub(super) says_out_of_memory: bool,
    pub(super) kernel_oom: bool,
    pub(super) asked: Option<Why>,
    pub(super) killed: bool,
    /// The lengths of what it wrote, as it stands before this.
    pub(super) written: [u64; 2],
    pub(super) gaps: [Gap; 2],
    pub(super) left: Vec<String>,
    pub(super) leaked: bool,
    /// The launcher is asked to end: for itself alone.
    #[serde(skip)]
    pub(super) is_last: bool,
}

/// The kernel's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum End {
    NotStarted(StartFault),
    Code(u8),
    Signal { number: i32, core: bool },
}

impl Default for End {
    fn default() -> Self {
        Self::Code(0)
    }
}

/// Why a command was to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Why {
    Timeout,
    Memory,
    Stop,
}

impl Report {
    pub(super) fn not_started(fault: StartFault) -> Self {
        Self { end: End::NotStarted(fault), ..Self::default() }
    }

    /// Whether this signal ended it.
    pub(super) fn is_ended_by(&self, signal: Signal) -> bool {
        matches!(self.end, End::Signal { number, .. } if number == signal.number())
    }

    /// Whether somebody killed it who was not us.
    pub(super) fn is_killed(&self) -> bool {
        self.is_ended_by(Signal::KILL) && !self.killed
    }

    pub(super) fn is_success(&self) -> bool {
        self.end == End::Code(0)
    }

    /// Appends it to what the command wrote.
    pub(super) fn append_to(&self, reply: &mut Vec<u8>) -> Result<(), codec::CodecError> {
        let start = reply.len();
        codec::encode(self, reply)?;
        let length = u32::try_from(reply.len() - start).unwrap_or(u32::MAX);
        reply.extend_from_slice(&length.to_le_bytes());
        Ok(())
    }

    fn evidence(&self) -> Option<Evidence> {
        let status = match self.end {
            End::NotStarted(_) => return None,
            End::Code(code) => Status::Code(code),
            End::Signal { number, core } => {
                Status::Signal { signal: Signal::from_number(number)?, core }
            }
        };
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

/// Reads a launcher's reply; `None` where it is none.
pub(crate) fn read(reply: Payload) -> Option<Ran> {
    let bytes = reply.as_bytes();
    let (rest, length) = bytes.split_last_chunk::<4>()?;
    let at = rest.len().checked_sub(u32::from_le_bytes(*length) as usize)?;
    let report: Report = codec::decode(&rest[at..]).ok()?;
    let [stdout, stderr] = report.written.map(|length| usize::try_from(length).ok());
    let (stdout, both) = (stdout?, stdout?.checked_add(stderr?)?);
    if both != at {
        return None;
    }
    let why = |why| match why {
        Why::Timeout => StopReason::Timeout,
        Why::Memory => StopReason::Memory,
        Why::Stop => StopReason::Shutdown,
    };
    Some(Ran {
        pid: report.pid,
        cause: match report.end {
            End::NotStarted(fault) => Cause::CouldNotStart(fault),
            _ => Cause::Exit,
        },
        evidence: report.evidence(),
        asked: report.asked.map(|asked| Asked { why: why(asked), killed: report.killed }),
        output: Captured::new(reply, [0..stdout, stdout..both], report.gaps),
        leaked: report.leaked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reply(report: &Report, written: [&[u8]; 2]) -> Vec<u8> {
        let mut reply = written.concat();
        let written = written.map(|bytes| bytes.len() as u64);
        Report { written, ..report.clone() }.append_to(&mut reply).unwrap();
        reply
    }

    #[test]
    fn what_a_launcher_says_is_read_back() {
        let end = End::Signal { number: 11, core: true };
        let (wall, left) = (Duration::from_millis(7), vec!["sleep".to_owned()]);
        let report = Report { pid: 7, end, wall, left, leaked: true, ..Report::default() };
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
        fn nonsense_is_no_report(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            (at, value) in any::<(prop::sample::Index, u8)>(),
        ) {
            let _ = read(Payload::copy(&bytes));
            let mut true_one = reply(&Report::default(), [&bytes, b"x"]);
            let at = at.index(true_one.len());
            true_one[at] = value;
            if let Some(ran) = read(Payload::copy(&true_one)) {
                prop_assert!(ran.output.stdout().len() <= true_one.len());
            }
        }
    }
}
