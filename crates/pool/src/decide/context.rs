//! The context that all rules of one step share: the current time, the policy, the phase of the
//! run, the ledger, and the list of actions.

use super::{
    action::Actions,
    health::Health,
    history::Disposition,
    input::Tick,
    ledger::{JobKey, Ledger},
    memory_watch::MemoryWatch,
    policy::Policy,
    shutdown::Urgency,
};
use crate::{
    event::{Again, Event},
    exit::StartFault,
    job::{Attempt, JobEnd},
    rules::Repeats,
};

/// The context of one step.
pub(super) struct StepContext<'a> {
    pub(super) now: Tick,
    pub(super) policy: &'a Policy,
    /// The run is ending: nothing is started or sent.
    pub(super) is_stopping: bool,
    /// How much time the shutdown leaves to running jobs; `None` without a shutdown.
    pub(super) urgency: Urgency,
    pub(super) contact: &'a mut Contact,
    pub(super) health: &'a mut Health,
    /// Present if memory is limited.
    pub(super) memory: Option<&'a mut MemoryWatch>,
    pub(super) ledger: &'a mut Ledger,
    pub(super) actions: &'a mut Actions,
}

/// Whether the program has shown that it can be executed, and that it speaks the protocol.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Contact {
    /// When a worker's program was first executed.
    pub(super) first_run: Option<Tick>,
    pub(super) speech: Speech,
}

/// Whether any worker has spoken the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Speech {
    #[default]
    Awaited,
    /// No worker has, and [`Event::StillSilent`] was reported.
    Missed,
    Heard,
}

impl StepContext<'_> {
    pub(super) fn emit(&mut self, event: Event) {
        self.actions.emit(event);
    }

    /// Whether a start failed for a permanent reason, and no start of the run has succeeded.
    pub(super) fn is_hopeless(&self, fault: StartFault) -> bool {
        self.contact.first_run.is_none() && !fault.is_transient()
    }

    /// Adds a failed attempt to the history of a job in flight, and retries or settles the job.
    pub(super) fn file(&mut self, key: JobKey, attempt: Attempt) {
        let Some(rules) = &self.policy.jobs else { return };
        let id = self.ledger.id(key);
        let again = match self.ledger.add_attempt(key, attempt.clone(), rules) {
            Disposition::Settled(end) => return self.ledger.give_up(key, end, self.actions),
            // This run starts no further attempt. A run that continues it finds the job unfinished,
            // unless an attempt must not be repeated.
            Disposition::Retry(again) if self.is_stopping => {
                let is_final = again == Again::Next && rules.repeats != Repeats::Allowed;
                let end = if is_final { JobEnd::Failed } else { JobEnd::NotRun };
                return self.ledger.give_up(key, end, self.actions);
            }
            Disposition::Retry(again) => again,
        };
        self.ledger.count_retry();
        match again {
            Again::After(delay) => self.ledger.wait(key, self.now + delay),
            Again::Alone | Again::Next => self.ledger.enqueue(key),
        }
        self.emit(Event::Retried { id, attempt, again });
    }
}
