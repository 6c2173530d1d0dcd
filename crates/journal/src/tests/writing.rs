//! Tests that the thread commits records in order and reports them only then.

use std::{future::Future, time::Duration};

use super::{
    super::{Error, Header, Journal, OnLost, Opened, Reader, Record, Sequence, State, Sync},
    ENDING, Place, begin, done, job, started,
};

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let limited = async { tokio::time::timeout(Duration::from_secs(60), future).await };
    runtime.block_on(limited).unwrap()
}

fn whole(number: u64) -> Vec<Record> {
    let payload = number.to_string();
    vec![job(number, payload.as_bytes()), started(number, 1), done(number, b"done")]
}

#[test]
fn records_reported_as_committed_are_in_the_file() {
    for sync in [Sync::Always, Sync::Batch, Sync::Off] {
        let place = Place::new();
        let path = place.path("journal");
        let opened = Opened::new(&path, sync).unwrap();
        let (store, _) = opened.begin(Header::default(), ENDING.at, OnLost::Rerun).unwrap();
        let journal = Journal::new(store).unwrap();
        let mut last = Sequence::default();
        for number in 1..=50 {
            last = journal.submit(whole(number));
            assert_eq!(last, Sequence(3 * number));
            if number % 20 == 0 {
                let committed = wait(journal.beyond(Sequence(3 * number - 1))).unwrap();
                assert!(committed >= last);
                let (_, recorded) = Reader::open(&path).unwrap().read().unwrap();
                assert!(recorded.states.len() as u64 >= number);
            }
        }
        wait(journal.until(last)).unwrap();
        assert_eq!(journal.committed(), last);
        assert_eq!(journal.submit(Vec::new()), last);
        let (_, recorded) = Reader::open(&path).unwrap().read().unwrap();
        assert_eq!(recorded.states, [State::Ok; 50]);
        wait(journal.close(ENDING)).unwrap();
        let (runs, _) = Reader::open(&path).unwrap().read().unwrap();
        assert_eq!((runs[0].ended, runs[0].sync.as_str()), (Some(ENDING.at), sync.name()));
    }
}

#[test]
fn closing_commits_waiting_records_and_releases_the_lock() {
    let place = Place::new();
    let path = place.path("journal");
    for round in 0..3 {
        let (store, recorded) = begin(&path);
        assert_eq!(recorded.states.len(), round);
        let journal = Journal::new(store).unwrap();
        let next = whole(round as u64 + 1);
        journal.submit(next);
        wait(journal.close(ENDING)).unwrap();
    }
}

#[test]
fn a_flush_commits_without_gathering() {
    let place = Place::new();
    let (store, _) = begin(&place.path("journal"));
    let journal = Journal::new(store).unwrap();
    for number in 1..=3 {
        let sequence = journal.submit(whole(number));
        journal.flush();
        wait(journal.until(sequence)).unwrap();
    }
}

#[test]
fn the_queue_is_bounded_and_becomes_free_again() {
    let place = Place::new();
    let (store, _) = begin(&place.path("journal"));
    let journal = Journal::new(store).unwrap();
    let mut number = 0;
    while journal.has_room() && number < 1_000_000 {
        number += 1;
        journal.submit(whole(number));
    }
    wait(journal.room()).unwrap();
    wait(journal.until(Sequence(3 * number))).unwrap();
    assert!(journal.has_room());
}

#[test]
fn the_first_error_ends_writing_and_keeps_committed_records() {
    let place = Place::new();
    let path = place.path("journal");
    let (mut store, _) = begin(&path);
    store.append(&whole(1)).unwrap();
    store.fill_disk();
    let journal = Journal::new(store).unwrap();
    let large = vec![job(2, &[7; 100_000])];
    let lost = journal.submit(large);
    let failure = wait(journal.until(lost)).unwrap_err();
    let text = failure.to_string();
    assert!(text.contains("No space left on device (errno 28)"), "{text}");
    assert!(text.contains("what was committed is kept: make room"), "{text}");
    // Small enough to fit, but lost too.
    let later = journal.submit(Vec::new()).max(journal.submit(vec![done(1, b"")]));
    assert!(wait(journal.until(later)).is_err() && wait(journal.room()).is_err());
    assert_eq!(journal.committed(), Sequence(0));
    assert!(journal.failure().is_some() && wait(journal.close(ENDING)).is_err());
    let (_, recorded) = begin(&path);
    assert_eq!(recorded.states, [State::Ok]);
    let (mut store, _) = begin(&place.path("second"));
    store.fill_disk();
    assert!(matches!(store.append(&[job(1, &[7; 100_000])]), Err(Error::Full { .. })));
    assert!(matches!(store.append(&whole(1)), Err(Error::Over { .. })));
}
