//! Judges from evidence why a process ended. The exit status alone is ambiguous: a program that
//! runs out of memory may end with code 1, or by SIGABRT, SIGSEGV, SIGTRAP or SIGKILL.

use std::time::Duration;

use super::policy::Policy;
use crate::{
    command::Ran,
    exit::{Cause, Certainty, Evidence, Sender, Status, StopReason, StopRequest},
    limits::{Limits, Resource},
    signal::Signal,
};

/// The circumstances of an end: the limits of the process, and how the supervisor tried to stop it.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The limits in force.
    pub limits: &'a Limits,
    /// The stop signal.
    pub stop_signal: Signal,
    /// The supervisor's request to stop, if this process received one.
    pub asked: Option<StopRequest>,
}

/// Judges the end of a process.
#[must_use]
pub fn cause(evidence: &Evidence, circumstances: Circumstances<'_>) -> Cause {
    if let Some(asked) = obeyed(evidence.status, circumstances) {
        return of_asked(asked);
    }
    if let Some(certainty) = memory(evidence, circumstances.limits) {
        return Cause::Memory(certainty);
    }
    match evidence.status {
        Status::Signal { .. } if cpu_limit(evidence, circumstances.limits) => Cause::CpuLimit,
        Status::Signal { signal, .. } if signal.is_own_fault() => Cause::Signal(Sender::Itself),
        Status::Signal { .. } => Cause::Signal(Sender::Outside),
        Status::Code(_) => Cause::Exit,
    }
}

/// Judges the end of a command, which its launcher stopped if anybody did.
#[must_use]
pub fn of_command(ran: &Ran, policy: &Policy) -> Cause {
    let (limits, stop_signal) = (&policy.limits, policy.stop_signal);
    match &ran.evidence {
        Some(evidence) => cause(evidence, Circumstances { limits, stop_signal, asked: ran.asked }),
        // The command never ran, and the launcher says why.
        None => ran.cause,
    }
}

/// The cause of a requested end: the fault of the process for which it was stopped, or the request.
#[must_use]
pub fn of_asked(asked: StopRequest) -> Cause {
    match asked.why {
        StopReason::Timeout => Cause::Timeout,
        StopReason::Memory => Cause::Memory(Certainty::Sure),
        StopReason::Protocol(fault) => Cause::Protocol(fault),
        _ => Cause::AskedToStop(asked),
    }
}

/// The request that a process obeyed, if it did: it ended by any exit, or by exactly the signal
/// that it was sent. A crash during the stop is still a crash.
fn obeyed(status: Status, circumstances: Circumstances<'_>) -> Option<StopRequest> {
    let asked = circumstances.asked?;
    match status {
        Status::Code(_) => Some(StopRequest { killed: false, ..asked }),
        Status::Signal { signal: Signal::KILL, .. } if asked.killed => Some(asked),
        Status::Signal { signal, .. } if signal == circumstances.stop_signal => {
            Some(StopRequest { killed: false, ..asked })
        }
        Status::Signal { .. } => None,
    }
}

/// Memory is the cause only if a limit is set or the kernel counted an OOM kill.
fn memory(evidence: &Evidence, limits: &Limits) -> Option<Certainty> {
    if evidence.status.is_success() {
        return None;
    }
    let killed = matches!(evidence.status, Status::Signal { signal: Signal::KILL, .. });
    if killed && evidence.kernel_oom {
        return Some(Certainty::Likely);
    }
    let limit = limits.memory()?;
    // A failed allocation does not add to the peak, so the peak may stay below the limit.
    let near = evidence.peak.exact && evidence.peak.bytes >= limit / 8 * 7;
    let by_itself = evidence.status.signal().is_none_or(Signal::is_own_fault);
    match (evidence.says_out_of_memory, near) {
        (true, true) => Some(Certainty::Sure),
        (true, false) => Some(Certainty::Likely),
        (false, true) if by_itself => Some(Certainty::Likely),
        (false, _) => None,
    }
}

/// The kernel sends SIGXCPU at the soft limit, and SIGKILL at the hard limit if the program ignores
/// SIGXCPU.
fn cpu_limit(evidence: &Evidence, limits: &Limits) -> bool {
    let given = limits.get(Resource::Cpu).map(Duration::from_secs);
    let Some(limit) = evidence.cpu_limit.or(given) else { return false };
    match evidence.status {
        Status::Signal { signal: Signal::XCPU, .. } => true,
        // For its limit the kernel counts whole ticks, which may be more than it measures.
        Status::Signal { signal: Signal::KILL, .. } => evidence.own_cpu >= limit * 3 / 4,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Peak;

    const MIB: u64 = 1 << 20;

    fn killed_by(signal: Signal) -> Status {
        Status::Signal { signal, core: false }
    }

    /// An end with a peak of `peak_mib` MiB and `cpu_s` s of CPU time; `says` sets whether the
    /// program's last output says that memory ran out.
    fn end(status: Status, peak_mib: u64, cpu_s: u64, says: bool) -> Evidence {
        Evidence {
            status,
            wall: Duration::from_secs(9),
            cpu: Duration::from_secs(9),
            own_cpu: Duration::from_secs(cpu_s),
            cpu_limit: None,
            peak: Peak { bytes: peak_mib * MIB, exact: true },
            says_out_of_memory: says,
            kernel_oom: false,
            left: Vec::new(),
        }
    }

    #[test]
    fn ends_are_judged_by_the_evidence() {
        use Certainty::{Likely, Sure};
        let limited = |status, cpu_s, limit_s| Evidence {
            cpu_limit: Some(Duration::from_secs(limit_s)),
            ..end(status, 9, cpu_s, false)
        };
        let (code, fault, kill) =
            (Status::Code(1), killed_by(Signal::SEGV), killed_by(Signal::KILL));
        let cases = [
            ("", end(code, 9, 0, false), Cause::Exit),
            ("", end(Status::Code(0), 9, 0, true), Cause::Exit),
            ("", end(code, 9, 0, true), Cause::Exit),
            ("", end(fault, 9, 0, false), Cause::Signal(Sender::Itself)),
            ("", end(kill, 9, 0, false), Cause::Signal(Sender::Outside)),
            ("", end(killed_by(Signal::TERM), 9, 0, false), Cause::Signal(Sender::Outside)),
            ("", Evidence { kernel_oom: true, ..end(kill, 9, 0, false) }, Cause::Memory(Likely)),
            ("data=64M", end(code, 63, 0, true), Cause::Memory(Sure)),
            ("as=64M", end(killed_by(Signal::ABRT), 63, 0, true), Cause::Memory(Sure)),
            ("data=64M", end(code, 9, 0, true), Cause::Memory(Likely)),
            ("data=64M", end(fault, 63, 0, false), Cause::Memory(Likely)),
            ("data=64M", end(code, 63, 0, false), Cause::Memory(Likely)),
            ("data=64M", end(code, 40, 0, false), Cause::Exit),
            (
                "data=64M",
                end(killed_by(Signal::TERM), 63, 0, false),
                Cause::Signal(Sender::Outside),
            ),
            ("data=64M", end(Status::Code(0), 63, 0, false), Cause::Exit),
            ("data=64M", end(kill, 63, 0, false), Cause::Signal(Sender::Outside)),
            ("cpu=2", end(killed_by(Signal::XCPU), 9, 2, false), Cause::CpuLimit),
            ("cpu=2", end(kill, 9, 3, false), Cause::CpuLimit),
            ("cpu=2", end(kill, 9, 1, false), Cause::Signal(Sender::Outside)),
            ("", end(killed_by(Signal::XCPU), 9, 2, false), Cause::Signal(Sender::Itself)),
            ("", limited(killed_by(Signal::XCPU), 2, 2), Cause::CpuLimit),
            ("", limited(kill, 2, 2), Cause::CpuLimit),
            ("", limited(kill, 1, 2), Cause::Signal(Sender::Outside)),
            ("cpu=1", limited(kill, 1, 2), Cause::Signal(Sender::Outside)),
        ];
        for (limits, evidence, expected) in cases {
            let limits = limits.parse().unwrap_or_default();
            let circumstances =
                Circumstances { limits: &limits, stop_signal: Signal::TERM, asked: None };
            assert_eq!(cause(&evidence, circumstances), expected, "{limits:?} {evidence:?}");
        }
    }

    #[test]
    fn only_an_end_that_was_asked_for_counts_as_obeyed() {
        let polite = StopRequest { why: StopReason::Shutdown, killed: false };
        let killed = StopRequest { killed: true, ..polite };
        let obeyed = |asked| Cause::AskedToStop(asked);
        for (asked, status, expected) in [
            (polite, Status::Code(0), obeyed(polite)),
            (polite, Status::Code(3), obeyed(polite)),
            (polite, killed_by(Signal::TERM), obeyed(polite)),
            (polite, killed_by(Signal::KILL), Cause::Signal(Sender::Outside)),
            (polite, killed_by(Signal::SEGV), Cause::Signal(Sender::Itself)),
            (killed, killed_by(Signal::KILL), obeyed(killed)),
            (killed, killed_by(Signal::TERM), obeyed(polite)),
            (killed, Status::Code(0), obeyed(polite)),
        ] {
            let circumstances = Circumstances {
                limits: &Limits::default(),
                stop_signal: Signal::TERM,
                asked: Some(asked),
            };
            assert_eq!(
                cause(&end(status, 9, 0, false), circumstances),
                expected,
                "{asked:?} {status:?}"
            );
        }
    }
}
