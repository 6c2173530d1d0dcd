//! How a simulated process or command ended.

use std::time::Duration;

use crate::{
    command::{Captured, Ran},
    decide::Answer,
    exit::{Cause, Evidence, Peak, Status, StopReason, StopRequest},
};

/// Converts the answer of a worker into the answer of a launcher whose command ended likewise.
pub(super) fn ran(answer: &Answer, cancelled: bool) -> Answer {
    let code = u8::from(!matches!(answer, Answer::Done(_)));
    let asked = StopRequest { why: StopReason::Timeout, killed: false };
    Answer::Ran(Box::new(Ran {
        pid: 9,
        cause: Cause::Exit,
        evidence: Some(evidence(Status::Code(code))),
        asked: cancelled.then_some(asked),
        output: Captured::none(),
        leaked: false,
    }))
}

pub(super) fn evidence(status: Status) -> Evidence {
    Evidence {
        status,
        wall: Duration::ZERO,
        cpu: Duration::ZERO,
        own_cpu: Duration::ZERO,
        cpu_limit: None,
        peak: Peak { bytes: 0, exact: true },
        says_out_of_memory: false,
        kernel_oom: false,
        left: Vec::new(),
    }
}
