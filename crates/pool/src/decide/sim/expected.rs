//! The ends of attempts that the world expects in a step.

use crate::{
    event::WorkerId,
    exit::{Cause, ProtocolFault},
    job::{Attempt, AttemptEnd, Payload},
};

/// An attempt that ends in this step.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) id: u64,
    pub(super) attempt: u32,
    pub(super) worker: WorkerId,
    pub(super) end: Kind,
    /// Whether its worker has lied, so that the attempt may end differently.
    pub(super) perhaps: bool,
}

/// How an attempt ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Ok(Payload),
    Error,
    Timeout,
    Crashed,
    Requeued,
}

impl Kind {
    pub(super) fn of(attempt: &Attempt, ok: Option<&Payload>) -> Self {
        match Self::of_end(&attempt.end) {
            Self::Ok(none) => Self::Ok(ok.cloned().unwrap_or(none)),
            kind => kind,
        }
    }

    pub(super) fn of_end(end: &AttemptEnd) -> Self {
        match end {
            AttemptEnd::Ok => Self::Ok(Payload::copy(b"")),
            AttemptEnd::Error(_) => Self::Error,
            AttemptEnd::Timeout(_) => Self::Timeout,
            AttemptEnd::Crashed(death) => {
                let charged = match death.cause {
                    Cause::Protocol(fault) => charges(fault),
                    Cause::AskedToStop(_) | Cause::CpuLimit | Cause::Unobserved => false,
                    _ => true,
                };
                assert!(charged, "{:?} charges nobody", death.cause);
                Self::Crashed
            }
            AttemptEnd::Requeued(_) | AttemptEnd::Lost => Self::Requeued,
            AttemptEnd::Ran(ran) if ran.is_ok() => Self::Ok(Payload::copy(b"")),
            AttemptEnd::Ran(ran) => match ran.cause {
                Cause::Timeout => Self::Timeout,
                Cause::AskedToStop(_) => Self::Requeued,
                _ => Self::Error,
            },
        }
    }
}

/// Whether this fault is charged to the running job.
pub(super) fn charges(fault: ProtocolFault) -> bool {
    !matches!(fault, ProtocolFault::SecondReply { .. })
}
