//! The random parameters of a world: its policy, and how its processes behave.

use std::time::Duration;

use super::Chance;
use crate::{
    decide::Policy,
    limits::Limits,
    rules::{
        Halt, HaltCount, HaltWhen, Intensity, JobRules, Prefetch, Recycle, RecycleFailures,
        Repeats, Restart, RetryOn, Roll,
    },
    signal::Signal,
};

/// The behaviour that all processes of a world have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nature {
    pub(super) jobs: bool,
    pub(super) has_timeout: bool,
    /// Whether the workers are launchers.
    pub(super) launches: bool,
    /// Whether replies carry a measurement of the worker's memory.
    pub(super) sampled: bool,
    /// A process misbehaves in one of this number of steps.
    pub(super) trouble: u64,
    /// One of this number of starts fails.
    pub(super) stillborn: u64,
    /// For one of this number of ends, another process collects the exit status.
    pub(super) stolen: u64,
    /// One of this number of jobs makes a frame that is too long.
    pub(super) bulky: u64,
    /// After one of this number of jobs, a worker fails all further ones at once.
    pub(super) breaks: u64,
    /// Whether every job fails in every worker.
    pub(super) hopeless: bool,
    /// Each job whose number is a multiple of this kills its worker before the worker notes that it
    /// begins it.
    pub(super) poison: u64,
    /// Whether processes end only by signals from outside.
    pub(super) killed: bool,
    /// One of this number of workers never says hello.
    pub(super) silent: u64,
    /// Whether some processes break the protocol.
    pub(super) vile: bool,
    /// Whether all processes behave well from now on, so that the run ends.
    pub(super) obedient: bool,
}

impl Nature {
    pub(super) fn new(policy: &Policy, chance: &mut Chance) -> Self {
        let rules = policy.jobs.as_ref();
        Self {
            jobs: rules.is_some(),
            has_timeout: rules.is_some_and(|rules| rules.timeout.is_some()),
            launches: rules.is_some() && chance.one_in(4),
            sampled: rules.is_some_and(|rules| rules.recycle.resident_bytes.is_some()),
            trouble: chance.pick(&[u64::MAX, 1000, 200, 60, 20]),
            breaks: chance.pick(&[u64::MAX, u64::MAX, 10, 3]),
            hopeless: chance.one_in(5),
            poison: chance.pick(&[u64::MAX, u64::MAX, 17, 3]),
            killed: rules.is_some() && chance.one_in(8),
            stillborn: if rules.is_some() { chance.pick(&[1000, 30, 3]) } else { 10 },
            stolen: chance.pick(&[u64::MAX, 100, 5]),
            bulky: chance.pick(&[u64::MAX, 100, 5]),
            silent: chance.pick(&[1000, 10, 2]),
            vile: chance.one_in(3),
            obedient: false,
        }
    }
}

pub(super) fn policy(has_jobs: bool, chance: &mut Chance) -> Policy {
    let rules = has_jobs.then(|| rules(chance));
    let restart = [Restart::Never, Restart::OnFailure, Restart::Always, Restart::Always];
    let limits = if has_jobs && chance.one_in(2) { "cpu=2,data=64M" } else { "" };
    let memory = (chance.one_in(3) && (!has_jobs || !limits.is_empty())).then_some(64 << 20);
    Policy {
        workers: u32::try_from(1 + chance.below(6)).unwrap(),
        restart: if has_jobs { Restart::Always } else { chance.pick(&restart) },
        intensity: Intensity {
            crashes: chance.pick(&[1, 3, 10]),
            period: chance.pick(&[Duration::from_secs(1), Duration::from_secs(300)]),
        },
        roll: chance.pick(&[Roll::StartFirst, Roll::StopFirst]),
        grace: Duration::from_millis(chance.below(12_000)),
        runs_commands: false,
        stop_signal: Signal::TERM,
        limits: Limits::gather(&[limits.parse().unwrap_or_default()], memory),
        jobs: rules,
        job_bytes_max: 1000,
    }
}

fn rules(chance: &mut Chance) -> JobRules {
    let ms = Duration::from_millis;
    let (few, age) = (1 + chance.below(10), ms(100 + chance.below(20_000)));
    let count = chance.pick(&[HaltCount::Number(few), HaltCount::Percent(40)]);
    let when = chance.pick(&[HaltWhen::Fail, HaltWhen::Success, HaltWhen::Done]);
    let halt = Halt { now: chance.one_in(2), when, count };
    let (timeout, deadline) = (ms(1 + chance.below(2000)), ms(chance.below(100_000)));
    let depth = Prefetch::Fixed(u32::try_from(few).unwrap());
    let repeats = [Repeats::Allowed, Repeats::Allowed, Repeats::ThisRunOnly, Repeats::Never];
    let repeats = chance.pick(&repeats);
    let retries = |below: u64| if repeats == Repeats::Never { 0 } else { below };
    JobRules {
        repeats,
        retries: u32::try_from(retries(chance.below(4))).unwrap(),
        retry_delay: chance.pick(&[Duration::ZERO, ms(10), ms(1000)]),
        retry_on: RetryOn {
            error: !chance.one_in(4),
            panic: !chance.one_in(4),
            timeout: !chance.one_in(4),
        },
        crash_retries: u32::try_from(retries(chance.below(3))).unwrap(),
        timeout: chance.one_in(2).then_some(timeout),
        deadline: chance.one_in(10).then_some(deadline),
        prefetch: chance.pick(&[Prefetch::Auto, Prefetch::Ahead, depth, depth]),
        delay: if chance.one_in(10) { ms(chance.below(50)) } else { Duration::ZERO },
        halt: chance.one_in(8).then_some(halt),
        start_timeout: chance.pick(&[ms(200), ms(5000), ms(30_000)]),
        recycle: Recycle {
            jobs: chance.one_in(4).then_some(few),
            resident_bytes: chance.one_in(4).then_some(60),
            age: chance.one_in(4).then_some(age),
            failures: chance.pick(&[
                RecycleFailures::Auto,
                RecycleFailures::Auto,
                RecycleFailures::After(3),
                RecycleFailures::Never,
            ]),
        },
    }
}
