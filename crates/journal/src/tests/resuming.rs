//! Tests that no finished job runs again and every other job runs once, however the input was
//! edited.

use std::collections::{BTreeMap, BTreeSet};

use pool::limits::Limits;
use proptest::prelude::*;

use super::super::{
    Header, Ranges, Recorded, State,
    identity::Digest,
    resume::{Changed, Counts, Decision, Resume, compare},
};

const STATES: [State; 4] = [State::Waiting, State::Ok, State::Failed, State::Crashed];

fn recorded(jobs: &[(u8, State)], sent: &BTreeSet<u64>) -> Recorded {
    let mut ranges = Ranges::default();
    sent.iter().for_each(|job| ranges.add(*job, *job, drop));
    Recorded {
        digests: jobs.iter().zip(1..).map(|((word, _), job)| (digest(*word), job)).collect(),
        states: jobs.iter().map(|(_, state)| *state).collect(),
        sent: ranges,
        ..Recorded::default()
    }
}

fn digest(word: u8) -> Digest {
    Digest::of(&[word])
}

#[test]
fn the_counts_of_an_edited_input_are_right() {
    let all: Vec<_> = (0..100).map(|word| (word, State::Ok)).collect();
    let sent = (1..=100).collect();
    let mut resume = Resume::new(recorded(&all, &sent), false);
    // Three lines are gone, two are new, and the order is different.
    let input: Vec<u8> = (3..102).rev().collect();
    for word in &input {
        resume.next(&digest(*word));
    }
    assert_eq!(resume.counts().to_string(), "97 done, 2 new, 3 gone");
    assert_eq!(resume.gone().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 3]));
    resume.rewind();
    assert_eq!(resume.counts(), Counts { gone: 100, ..Counts::default() });
    assert_eq!(resume.next(&digest(200)), Decision::New { job: 101 });

    let some = [(1, State::Failed), (2, State::Waiting), (3, State::Crashed)];
    let mut resume = Resume::new(recorded(&some, &BTreeSet::new()), false);
    for word in 1..4 {
        resume.next(&digest(word));
    }
    assert_eq!(resume.counts().to_string(), "0 done, 2 failed, 1 to run again, 0 new, 0 gone");
}

#[test]
fn another_directory_is_a_change_unless_the_journal_does_not_know_its_own() {
    let header = |settings: &[(&str, &str)]| Header {
        program: vec!["gzip".into()],
        digest: None,
        settings: settings.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect(),
        limits: Limits::default(),
    };
    let changes = |before: &[(&str, &str)], now: &[(&str, &str)]| {
        let found = compare(&header(before), &header(now), false).err();
        let found = found.map(|changed| changed.0).unwrap_or_default();
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let (a, b) = (("directory", "/a"), ("directory", "/b"));
    assert_eq!(changes(&[a], &[b]), ["directory: was /a, is /b"]);
    assert!(changes(&[a], &[a]).is_empty());
    assert!(changes(&[], &[b]).is_empty());
    // What counts is where the jobs are done.
    let fixed = ("--cwd", "/c");
    assert!(changes(&[a, fixed], &[b, fixed]).is_empty());
    let below = ("--cwd", "c");
    assert_eq!(changes(&[a, below], &[b, below]), ["directory: was /a/c, is /b/c"]);
}

#[test]
fn a_changed_program_or_setting_is_refused_unless_accepted() {
    let header = |program: &[&str], settings: &[(&str, &str)]| Header {
        program: program.iter().map(|word| (*word).into()).collect(),
        digest: Some(Digest::of(b"ELF")),
        settings: settings.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect(),
        ..Header::default()
    };
    let before = header(&["worker", "a b"], &[("--timeout", "30s"), ("--retries", "2")]);
    assert_eq!(compare(&before, &before.clone(), false), Ok(Vec::new()));
    let now = header(&["worker", "a", "b"], &[("--timeout", "1m"), ("--memory", "1\u{1b}G")]);
    let Err(Changed(found)) = compare(&before, &now, false) else { panic!("accepted") };
    assert_eq!(compare(&before, &now, true), Ok(found.clone()));
    assert_eq!(
        Changed(found).to_string(),
        "the journal belongs to another run:\n  program: was [\"worker\", \"a b\"], is [\"worker\", \"a\", \"b\"]\
         \n  --memory: was not set, is 1^[G\n  --retries: was 2, is not set\n  --timeout: was 30s, is 1m\
         \nrun it as before, name another file, or continue with --accept-change"
    );
    let rebuilt = Header { digest: Some(Digest::of(b"other")), ..before.clone() };
    let Err(Changed(found)) = compare(&before, &rebuilt, false) else { panic!("accepted") };
    assert_eq!((found.len(), found[0].name.as_str()), (1, "the program's file"));
}

proptest! {
    #[test]
    fn finished_jobs_are_not_run_and_all_others_run_once(
        jobs in prop::collection::vec((0u8..20, prop::sample::select(STATES.to_vec())), 0..60),
        sent in prop::collection::btree_set(1u64..61, 0..40),
        input in prop::collection::vec(0u8..25, 0..60),
        retry_failed in any::<bool>(),
    ) {
        let mut resume = Resume::new(recorded(&jobs, &sent), retry_failed);
        let is_run = |state| match state {
            State::Waiting | State::Unfinished => true,
            State::Ok => false,
            _ => retry_failed,
        };
        let mut left: BTreeMap<u8, u64> = BTreeMap::new();
        jobs.iter().for_each(|(word, _)| *left.entry(*word).or_default() += 1);
        let mut met = BTreeSet::new();
        for word in &input {
            let turn = resume.next(&digest(*word));
            let (job, runs) = match turn {
                Decision::New { job } => (job, true),
                Decision::Again { job, lost } => { prop_assert_eq!(lost, 0); (job, true) }
                Decision::Settled { job, .. } => (job, false),
            };
            prop_assert!(met.insert(job), "job {} was met twice", job);
            let recorded = usize::try_from(job - 1).ok().and_then(|index| jobs.get(index));
            let known = left.get_mut(word).filter(|left| **left > 0);
            prop_assert_eq!(recorded.is_some(), known.is_some());
            known.into_iter().for_each(|left| *left -= 1);
            if let Some((recorded, state)) = recorded {
                prop_assert_eq!((recorded, runs), (word, is_run(*state)));
                if let Decision::Settled { state: decided, unsent, .. } = turn {
                    prop_assert_eq!((decided, unsent), (*state, !sent.contains(&job)));
                }
            }
        }
        let counts = resume.counts();
        let met_all = counts.done + counts.failed + counts.again + counts.new;
        prop_assert_eq!(met_all, input.len() as u64);
        prop_assert_eq!(counts.gone, left.values().sum::<u64>());
        let unsent: Vec<u64> = resume.unsent().collect();
        let expected: Vec<u64> = jobs
            .iter()
            .zip(1..)
            .filter(|((_, state), job)| !is_run(*state) && !sent.contains(job))
            .map(|(_, job)| job)
            .collect();
        prop_assert_eq!(&unsent, &expected);
        let gone: BTreeSet<u64> = resume.gone().collect();
        let expected: Vec<u64> = expected.into_iter().filter(|job| gone.contains(job)).collect();
        let is_fresh = resume.is_fresh();
        prop_assert_eq!(resume.finish(), expected);
        prop_assert_eq!((resume.counts(), resume.is_fresh()), (counts, is_fresh));
    }
}
