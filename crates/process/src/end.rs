//! How a process ended, in words for people.

use pool::exit::{Cause, Evidence, Sender};

/// The end of a process in full: `code 137 (SIGKILL, outside)`.
#[must_use]
pub fn describe(cause: Cause, evidence: Option<&Evidence>) -> String {
    let Some(evidence) = evidence else { return cause.to_string() };
    let code = evidence.status.shell_code();
    match details(cause, Some(evidence)).as_str() {
        "" => format!("code {code}"),
        details => format!("code {code} ({details})"),
    }
}

/// What the exit code does not say: the signal that ended the process, if one did, and the cause
/// where that adds something. Empty if there is nothing to add.
#[must_use]
pub fn details(cause: Cause, evidence: Option<&Evidence>) -> String {
    let signal = evidence.and_then(|evidence| evidence.status.signal_text());
    let cause = match cause {
        Cause::Exit | Cause::Signal(Sender::Itself) => None,
        cause => Some(cause.to_string()),
    };
    signal.into_iter().chain(cause).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pool::{
        exit::{Certainty, Peak, Status},
        signal::Signal,
    };

    use super::*;

    #[test]
    fn an_end_is_described_by_its_code_and_what_is_known_of_it() {
        let killed = Status::Signal { signal: Signal::KILL, core: false };
        let segv = Status::Signal { signal: Signal::SEGV, core: true };
        for (status, cause, words) in [
            (Status::Code(3), Cause::Exit, "code 3"),
            (killed, Cause::Signal(Sender::Outside), "code 137 (SIGKILL, outside)"),
            (segv, Cause::Signal(Sender::Itself), "code 139 (SIGSEGV, core dumped)"),
            (Status::Code(1), Cause::Memory(Certainty::Sure), "code 1 (memory (sure))"),
        ] {
            let evidence = Evidence {
                status,
                wall: Duration::ZERO,
                cpu: Duration::ZERO,
                own_cpu: Duration::ZERO,
                peak: Peak { bytes: 0, exact: true },
                says_out_of_memory: false,
                kernel_oom: false,
                left: Vec::new(),
            };
            assert_eq!(describe(cause, Some(&evidence)), words);
        }
    }
}
