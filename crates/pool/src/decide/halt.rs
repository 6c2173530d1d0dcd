//! Decides when `--halt` and `--max-fail` stop a run: when enough jobs have ended in the given way.

use crate::{
    event::Tally,
    rules::{Halt, HaltCount, HaltWhen},
};

/// A percentage applies once this number of jobs has ended, as in GNU parallel.
const SHARE_OF_MIN: u64 = 3;

/// Whether the tally reaches the threshold of the halt.
pub(super) fn is_due(halt: Halt, tally: Tally) -> bool {
    let bad = tally.failed + tally.crashed;
    let ended = match halt.when {
        HaltWhen::Fail => bad,
        HaltWhen::Success => tally.ok,
        HaltWhen::Done => tally.ok + bad,
    };
    match halt.count {
        HaltCount::Number(number) => ended >= number,
        HaltCount::Percent(percent) => {
            let all = tally.ok + bad;
            all >= SHARE_OF_MIN && ended * 100 >= all * percent
        }
    }
}

/// Whether a halt that is due has what was wanted of the run, rather than a reason to give it up.
pub(super) fn is_goal(halt: Halt, tally: Tally) -> bool {
    match halt.when {
        HaltWhen::Success => true,
        HaltWhen::Done => !tally.has_failures(),
        HaltWhen::Fail => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_shares_are_reached() {
        let tally = Tally { ok: 6, failed: 1, crashed: 1, ..Tally::default() };
        for (when, count, due) in [
            (HaltWhen::Fail, HaltCount::Number(2), true),
            (HaltWhen::Fail, HaltCount::Number(3), false),
            (HaltWhen::Success, HaltCount::Number(6), true),
            (HaltWhen::Done, HaltCount::Number(9), false),
            (HaltWhen::Fail, HaltCount::Percent(25), true),
            (HaltWhen::Fail, HaltCount::Percent(26), false),
        ] {
            assert_eq!(is_due(Halt { now: false, when, count }, tally), due, "{when:?} {count:?}");
        }
        let early = Tally { failed: 2, ..Tally::default() };
        let all = Halt { now: false, when: HaltWhen::Fail, count: HaltCount::Percent(100) };
        assert!(!is_due(all, early));
    }
}
