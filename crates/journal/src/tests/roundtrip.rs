//! Tests that a journal reads back what was written.

use std::{collections::BTreeMap, fs, time::Duration};

use proptest::prelude::*;

use super::{
    super::{
        Account, Attempted, Error, Header, OnLost, Opened, Reader, Record, Recorded, Settled,
        State, Sync,
        resume::{Decision, Resume},
    },
    ENDING, Place, attempt, begin, begin_with, done, job, started,
};
use crate::identity::Digest;
use pool::{
    command::{Captured, Gap, Ran},
    event::WorkerId,
    exit::{
        Cause, Certainty, Detail, Evidence, Peak, ProtocolFault, Sender, Status, StopReason,
        StopRequest,
    },
    job::{Attempt, AttemptEnd, Death, Failure, FailureKind, JobEnd, Payload},
    limits::{Limits, Resource},
    signal::Signal,
};

fn accounts(path: &std::path::Path) -> Vec<Account> {
    let (reader, mut found) = (Reader::open(path).unwrap(), Vec::new());
    reader
        .accounts(|account| {
            found.push(account);
            true
        })
        .unwrap();
    found
}

#[test]
fn a_journal_reads_back_what_was_recorded() {
    let place = Place::new();
    let path = place.path("journal");
    let opened = Opened::new(&path, Sync::Always).unwrap();
    let mut header = Header {
        program: vec!["worker".into(), "a b".into()],
        digest: Some(Digest::of(b"ELF")),
        settings: BTreeMap::from([("--timeout".into(), "30s".into())]),
        limits: Limits::default(),
    };
    header.limits.set(Resource::OpenFiles, 64);
    let (mut store, recorded) = opened.begin(header.clone(), ENDING.at, OnLost::Rerun).unwrap();
    assert!(recorded.states.is_empty());
    let crashed = AttemptEnd::Crashed(Box::new(Death {
        cause: Cause::Memory(Certainty::Sure),
        evidence: None,
        last_output: b"oh \xff".to_vec(),
    }));
    let parked = attempt(2, crashed);
    let records = [
        vec![job(1, b"one"), started(1, 1), job(2, b""), started(2, 1)],
        vec![
            done(1, b"1"),
            Record::Ended { job: 2, attempt: attempt(1, AttemptEnd::Lost), settles: None },
        ],
        vec![started(2, 2)],
        vec![Record::Ended { job: 2, attempt: parked.clone(), settles: Some(Settled::Crashed) }],
        vec![Record::Sent { first: 1, last: 1 }, job(3, b"three"), started(3, 1)],
    ];
    records.iter().for_each(|records| store.append(records).unwrap());

    // Read while it is being written.
    let reader = Reader::open(&path).unwrap();
    assert!(reader.is_live() && reader.verify().unwrap().is_empty());
    let (runs, recorded) = reader.read().unwrap();
    assert_eq!((&runs[0].header, runs[0].started, runs[0].ended), (&header, ENDING.at, None));
    assert_eq!(recorded.states, [State::Ok, State::Crashed, State::Running]);
    assert!(recorded.sent.contains(1) && !recorded.sent.contains(2));
    let found = accounts(&path);
    assert_eq!(found.iter().map(Account::state).collect::<Vec<_>>(), recorded.states);
    let outcome = found[1].clone().into_outcome().unwrap();
    assert_eq!((outcome.id, outcome.end, outcome.last), (2, JobEnd::Crashed, Some(parked)));
    assert_eq!((outcome.payload, outcome.earlier.len()), (Payload::copy(b""), 1));
    assert_eq!(reader.account(3).unwrap().unwrap().into_outcome(), None);
    assert_eq!(reader.account(4).unwrap(), None);

    drop(reader);
    store.close(ENDING).unwrap();
    let reader = Reader::open(&path).unwrap();
    let (runs, _) = reader.read().unwrap();
    assert!(!reader.is_live());
    assert_eq!((runs[0].ended, runs[0].status), (Some(ENDING.at), Some(ENDING.status)));
    drop(reader);
    let left: Vec<_> =
        fs::read_dir(place.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["journal"]);
}

#[test]
fn an_attempt_left_running_is_lost_and_its_job_rerun_or_failed() {
    for (on_lost, state) in [(OnLost::Rerun, State::Unfinished), (OnLost::Fail, State::Failed)] {
        let place = Place::new();
        let path = place.path("journal");
        let (mut store, _) = begin(&path);
        store.append(&[job(1, b"a"), started(1, 1), job(2, b"b")]).unwrap();
        drop(store);
        let (store, recorded) = begin_with(&path, on_lost);
        assert_eq!(recorded.states, [state, State::Waiting]);
        assert_eq!(recorded.lost[&1], 1);
        drop(store);
        let found = accounts(&path);
        assert_eq!(found[0].attempts[0].attempt.end, AttemptEnd::Lost);
        assert!(Reader::open(&path).unwrap().verify().unwrap().is_empty());
        // The attempt is lost once.
        let (_, recorded) = begin_with(&path, on_lost);
        assert_eq!((recorded.lost[&1], recorded.states[0]), (1, state));
        let mut resume = Resume::new(recorded, false);
        let turn = match on_lost {
            OnLost::Rerun => Decision::Again { job: 1, lost: 1 },
            OnLost::Fail => Decision::Settled { job: 1, state, unsent: true },
        };
        assert_eq!(resume.next(&Digest::of(b"a")), turn);
    }
}

#[test]
fn a_new_outcome_must_be_written_again() {
    let place = Place::new();
    let path = place.path("journal");
    let (mut store, _) = begin(&path);
    let failed = attempt(1, AttemptEnd::Lost);
    let failed = Record::Ended { job: 2, attempt: failed, settles: Some(Settled::Failed) };
    let all = [job(1, b"a"), job(2, b"b"), job(3, b"c"), done(1, b""), failed, done(3, b"")];
    store.append(&all).unwrap();
    store.append(&[Record::Sent { first: 1, last: 3 }]).unwrap();
    assert_eq!(store.sent().count(), 3);
    store.append(&[started(2, 1), done(2, b"at last")]).unwrap();
    drop(store);
    let (_, recorded) = begin(&path);
    assert_eq!(recorded.states, [State::Ok; 3]);
    assert_eq!(recorded.sent.iter().collect::<Vec<_>>(), [(1, 1), (3, 3)]);
    assert_eq!(Resume::new(recorded, false).unsent().collect::<Vec<_>>(), [2]);
}

#[test]
fn a_second_writer_and_a_foreign_file_are_refused() {
    let place = Place::new();
    let path = place.path("file:journal?mode=memory");
    let (store, _) = begin(&path);
    assert!(matches!(Opened::new(&path, Sync::Off), Err(Error::Locked { .. })));
    drop(store);
    assert!(Opened::new(&path, Sync::Off).is_ok());

    let text = place.path("text");
    fs::write(&text, "a text\n".repeat(200)).unwrap();
    assert!(matches!(Opened::new(&text, Sync::Batch), Err(Error::NotAJournal { .. })));
    let other = place.path("other");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(Opened::new(&other, Sync::Batch), Err(Error::NotAJournal { .. })));
    assert!(matches!(Reader::open(&other), Err(Error::NotAJournal { .. })));
    assert!(Reader::open(&place.path("absent")).is_err() && !place.path("absent").exists());
    assert!(Opened::new(&place.path("no/such/directory"), Sync::Batch).is_err());

    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    let refused = Opened::new(&path, Sync::Batch).unwrap_err();
    assert!(matches!(refused, Error::TooNew { version: 2, .. }), "{refused}");
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection
        .execute_batch("CREATE TRIGGER x AFTER INSERT ON jobs BEGIN DELETE FROM jobs; END")
        .unwrap();
    let refused = Opened::new(&path, Sync::Batch).unwrap_err();
    assert!(matches!(refused, Error::Damaged { .. }), "{refused}");
}

#[test]
fn an_invalid_job_is_refused_and_nothing_is_written_after_it() {
    let place = Place::new();
    for record in [job(2, b"x"), done(1, b""), started(1, 1), Record::Sent { first: 1, last: 1 }] {
        let path = place.path("journal");
        let (mut store, _) = begin(&path);
        assert!(store.append(&[record]).is_err());
        assert!(store.append(&[]).is_err());
    }
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> + Clone {
    prop::collection::vec(any::<u8>(), 0..50)
}

fn any_cause() -> impl Strategy<Value = Cause> + Clone {
    let asked =
        StopRequest { why: StopReason::Protocol(ProtocolFault::FrameTooLong(7)), killed: true };
    prop::sample::select(vec![
        Cause::Exit,
        Cause::Signal(Sender::Outside),
        Cause::Memory(Certainty::Likely),
        Cause::Protocol(ProtocolFault::WrongReply { id: u64::MAX }),
        Cause::Protocol(ProtocolFault::Invalid(Detail::new("no \"id\" at all: `{}`"))),
        Cause::AskedToStop(asked),
        Cause::Timeout,
    ])
}

fn any_evidence() -> impl Strategy<Value = Option<Evidence>> + Clone {
    let status = prop_oneof![
        any::<u8>().prop_map(Status::Code),
        (1..=64, any::<bool>()).prop_map(|(number, core)| {
            Status::Signal { signal: Signal::from_number(number).unwrap(), core }
        }),
    ];
    let time = || (0..1u64 << 60).prop_map(Duration::from_nanos);
    let flags = any::<(bool, bool, bool)>();
    let times = (time(), time(), time(), prop::option::of(time()));
    let evidence = (status, times, any::<u32>(), flags, any::<Vec<String>>());
    prop::option::of(evidence.prop_map(|(status, times, bytes, flags, left)| {
        let (wall, cpu, own_cpu, cpu_limit) = times;
        Evidence {
            status,
            wall,
            cpu,
            own_cpu,
            cpu_limit,
            peak: Peak { bytes: bytes.into(), exact: flags.0 },
            says_out_of_memory: flags.1,
            kernel_oom: flags.2,
            left,
        }
    }))
}

fn any_end() -> impl Strategy<Value = AttemptEnd> {
    let kind = prop::sample::select(vec![FailureKind::Error, FailureKind::Panic]);
    let failure = (kind, any::<String>(), any::<Option<String>>());
    let failure = failure.prop_map(|(kind, message, place)| Failure { kind, message, place });
    let death = (any_cause(), any_evidence(), any_bytes());
    let death =
        death.prop_map(|(cause, evidence, last_output)| Death { cause, evidence, last_output });
    let written = (any_bytes(), any_bytes(), any::<u32>(), any::<bool>());
    let ran = (any_cause(), any_evidence(), written).prop_map(|(cause, evidence, written)| {
        let (stdout, stderr, gap, leaked) = written;
        let streams = [0..stdout.len(), stdout.len()..stdout.len() + stderr.len()];
        let gaps = [Gap { at: gap.into(), bytes: gap.into() }, Gap::default()];
        let output = Captured::new(Payload::copy(&[stdout, stderr].concat()), streams, gaps);
        Ran { pid: 4123, cause, evidence, asked: None, output, leaked }
    });
    prop_oneof![
        Just(AttemptEnd::Ok),
        Just(AttemptEnd::Lost),
        failure.prop_map(|end| AttemptEnd::Error(Box::new(end))),
        death.clone().prop_map(|end| AttemptEnd::Timeout(Box::new(end))),
        death.clone().prop_map(|end| AttemptEnd::Crashed(Box::new(end))),
        death.prop_map(|end| AttemptEnd::Requeued(Box::new(end))),
        ran.prop_map(|end| AttemptEnd::Ran(Box::new(end))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_end_reads_back_whether_or_not_its_start_was_committed(
        all in prop::collection::vec((any_bytes(), any_end(), any_bytes(), 0u8..4, any::<u64>()), 1..12),
        batch in 1usize..9,
    ) {
        let place = Place::new();
        let path = place.path("journal");
        let (mut store, _) = begin(&path);
        let (mut records, mut expected) = (Vec::new(), Vec::new());
        for ((payload, end, reply, kind, big), number) in all.into_iter().zip(1..) {
            let settles = match (&end, kind) {
                (_, 0) => None,
                (AttemptEnd::Ok, 1) => Some(Settled::Ok(Payload::copy(&reply))),
                (AttemptEnd::Ran(_), 1) => Some(Settled::Ok(Payload::copy(&[]))),
                (_, 2) => Some(Settled::Crashed),
                _ => Some(Settled::Failed),
            };
            let peak_bytes = Some(big >> 1);
            let mut attempt = Attempt { peak_bytes, ..attempt(3, end) };
            if attempt.end == AttemptEnd::Lost {
                attempt.took = Duration::ZERO;
            }
            attempt.worker = WorkerId { slot: u32::MAX, generation: 7 };
            let has_ended = kind != 3;
            records.extend([job(number, &payload), started(number, 3)]);
            if has_ended {
                records.push(Record::Ended { job: number, attempt: attempt.clone(), settles: settles.clone() });
            }
            expected.push((payload, attempt, settles, has_ended));
        }
        records.chunks(batch).for_each(|records| store.append(records).unwrap());
        let found = accounts(&path);
        prop_assert_eq!(found.len(), expected.len());
        for (account, (payload, attempt, settles, ended)) in found.into_iter().zip(expected) {
            let Attempted { attempt: read, has_ended, settles: read_settles, .. } = &account.attempts[0];
            prop_assert_eq!((account.payload.as_bytes(), *has_ended), (&payload[..], ended));
            if ended {
                prop_assert_eq!((read, read_settles), (&attempt, &settles));
            }
        }
        prop_assert!(Reader::open(&path).unwrap().verify().unwrap().is_empty());
        let Recorded { digests, .. } = Reader::open(&path).unwrap().read().unwrap().1;
        prop_assert!(digests.iter().zip(1..).all(|((_, job), number)| *job == number));
    }
}
