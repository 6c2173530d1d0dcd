//! The proportional shares of memory that several processes hold together.

use crate::proc::Fields;

/// Bytes held by processes, without memory that files back, such as code: the kernel drops that
/// when it needs the room.
#[derive(Clone, Copy, Default)]
pub(super) struct Shares {
    /// Proportional shares of anonymous memory (the process's own, or inherited at a fork) and of all
    /// memory in swap.
    anonymous: u64,
    /// Proportional shares of memory that is mapped to be shared.
    shared: u64,
    /// The largest amount of shared memory that one of the processes has mapped, not divided by the
    /// number of processes that share it.
    largest_shared: u64,
}

impl Shares {
    /// Reads the shares of a process. Where this process may not read them, `resident` bytes count
    /// as its own.
    pub(super) fn of(pid: i32, resident: u64) -> Self {
        let own = |anonymous| Self { anonymous, ..Self::default() };
        let Some(rollup) = Fields::smaps_rollup(pid) else { return own(resident) };
        // Before Linux 5.4 there is only the sum.
        let parts = rollup.bytes("Pss_Anon").zip(rollup.bytes("Pss_Shmem"));
        match (parts, rollup.bytes("Pss")) {
            (Some((anonymous, shared)), _) => {
                let largest_shared = resident_shared(pid).unwrap_or(shared);
                let swapped = rollup.bytes("SwapPss").unwrap_or(0);
                Self { anonymous: anonymous + swapped, shared, largest_shared }
            }
            (None, Some(sum)) => own(sum),
            (None, None) => own(resident),
        }
    }

    /// What these processes hold together.
    pub(super) fn sum(all: impl Iterator<Item = Self>) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            anonymous: sum.anonymous + one.anonymous,
            shared: sum.shared + one.shared,
            largest_shared: sum.largest_shared.max(one.largest_shared),
        })
    }

    /// What the processes hold together, as read.
    pub(super) fn total(self) -> u64 {
        self.anonymous + self.shared
    }

    /// A lower bound of what the processes hold together, whatever they began to share while the
    /// shares were read.
    pub(super) fn least(self) -> u64 {
        self.anonymous + self.largest_shared
    }
}

/// proc_pid_status(5): resident shared memory.
fn resident_shared(pid: i32) -> Option<u64> {
    Fields::status(pid)?.bytes("RssShmem")
}
