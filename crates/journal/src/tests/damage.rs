//! Tests of journals in which a bit has changed or whose end is missing. A torn end loses only
//! uncommitted records; any other damage is detected or has no effect.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;

use super::{
    super::{Error, Opened, Reader, Record, Settled, State, Sync},
    ENDING, Place, attempt, begin, done, job, started,
};
use pool::{
    exit::{Cause, Sender},
    job::{AttemptEnd, Death},
};

/// Returns the bytes of a closed journal of a few jobs.
pub(super) fn whole() -> Vec<u8> {
    let place = Place::new();
    let path = place.path("journal");
    let (mut store, _) = begin(&path);
    for number in 1..=6 {
        let payload = format!("payload-{number}");
        store.append(&[job(number, payload.as_bytes()), started(number, 1)]).unwrap();
    }
    let death = Death {
        cause: Cause::Signal(Sender::Itself),
        evidence: None,
        last_output: b"famous last words".to_vec(),
    };
    let parked = attempt(1, AttemptEnd::Crashed(Box::new(death)));
    let parked = Record::Ended { job: 3, attempt: parked, settles: Some(Settled::Crashed) };
    store.append(&[done(1, b"reply-1"), done(2, b"reply-2"), parked, done(5, b"")]).unwrap();
    store
        .append(&[Record::Sent { first: 1, last: 2 }, Record::Sent { first: 5, last: 5 }])
        .unwrap();
    store.close(ENDING).unwrap();
    fs::read(path).unwrap()
}

/// Returns everything that a journal contains.
fn content(path: &Path) -> Result<String, Error> {
    let reader = Reader::open(path)?;
    let (runs, recorded) = reader.read()?;
    let mut content = format!("{runs:?} {:?} {:?}", recorded.states, recorded.sent);
    reader.accounts(|account| {
        content += &format!("{account:?}");
        true
    })?;
    Ok(content)
}

/// Returns everything that a journal of these bytes contains. Uses a new file each time, because
/// SQLite caches pages.
pub(super) fn content_of(place: &Place, bytes: &[u8]) -> Result<String, Error> {
    let path = place.path("changed");
    fs::write(&path, bytes).unwrap();
    content(&path)
}

/// Returns where these bytes are; they must occur once.
fn find(bytes: &[u8], wanted: &[u8]) -> std::ops::Range<usize> {
    let found: Vec<_> = memchr::memmem::find_iter(bytes, wanted).collect();
    assert_eq!(found.len(), 1, "{}", wanted.escape_ascii());
    found[0]..found[0] + wanted.len()
}

#[test]
fn any_changed_bit_of_a_row_is_detected_and_the_row_named() {
    let (mut bytes, place) = (whole(), Place::new());
    let before = content_of(&place, &bytes).unwrap();
    for (wanted, row) in [
        (&b"payload-4"[..], ("jobs", 4)),
        (b"reply-2", ("attempts", 2)),
        (b"famous last words", ("attempts", 3)),
        (b"\"cause\":{\"signal\":\"itself\"}", ("attempts", 3)),
        (super::Digest::of(b"payload-6").as_bytes(), ("jobs", 6)),
    ] {
        for at in find(&bytes, wanted) {
            for bit in 0..8 {
                bytes[at] ^= 1u8 << bit;
                match content_of(&place, &bytes) {
                    Err(Error::Damaged { damage, .. }) => assert_eq!(damage.row, Some(row)),
                    other => panic!("bit {bit} of byte {at}: {other:?}"),
                }
                let reader = Reader::open(&place.path("changed")).unwrap();
                assert_eq!(reader.verify().unwrap()[0].row, Some(row));
                bytes[at] ^= 1u8 << bit;
            }
        }
    }
    // A whole cell: its length, its key, the types of its columns, and their values.
    let reply = find(&bytes, b"reply-1");
    let start = reply.start - 32;
    assert_eq!((bytes[start + 1], bytes[start + 2]), (1, 16), "the row's key, and its header");
    let mut harmless = 0;
    for at in start..reply.end + 4 {
        for bit in 0..8 {
            bytes[at] ^= 1u8 << bit;
            match content_of(&place, &bytes) {
                Err(Error::Damaged { damage, .. }) => assert!(damage.row.is_some(), "{damage}"),
                Ok(content) if content == before => harmless += 1,
                other => panic!("bit {bit} of byte {at}: {other:?}"),
            }
            bytes[at] ^= 1u8 << bit;
        }
    }
    // A cell may claim to be longer than its columns are; a key has no type.
    assert!(harmless <= 16, "{harmless}");
    assert_eq!(content_of(&place, &bytes).unwrap(), before);
}

#[test]
fn all_damaged_rows_are_named() {
    let (mut bytes, place) = (whole(), Place::new());
    for wanted in [&b"payload-2"[..], b"payload-5", b"reply-1"] {
        let place = find(&bytes, wanted).start;
        bytes[place] ^= 1;
    }
    fs::write(place.path("changed"), &bytes).unwrap();
    let found = Reader::open(&place.path("changed")).unwrap().verify().unwrap();
    let rows: Vec<_> = found.iter().filter_map(|damage| damage.row).collect();
    assert_eq!(rows, [("jobs", 2), ("jobs", 5), ("attempts", 1)]);
}

#[test]
fn a_truncated_journal_is_refused() {
    let (bytes, place) = (whole(), Place::new());
    let before = content_of(&place, &bytes).unwrap();
    for length in (1..bytes.len()).step_by(97).chain(bytes.len() - 50..bytes.len()) {
        // The missing part may have no effect, such as the end of an index.
        if let Ok(content) = content_of(&place, &bytes[..length]) {
            assert_eq!(content, before, "{length}");
        }
    }
}

/// The file, its log, and the length of the log after each commit.
type Logged = (Vec<u8>, Vec<u8>, Vec<usize>);

/// A journal whose commits are only in its log.
fn logged() -> Logged {
    let place = Place::new();
    let (path, log) = (place.path("journal"), place.path("journal-wal"));
    let (mut store, _) = begin(&path);
    let mut lengths = Vec::new();
    for number in 1..=4 {
        store.append(&[job(number, b"a"), started(number, 1), done(number, b"b")]).unwrap();
        lengths.push(fs::read(&log).unwrap().len());
    }
    drop(store);
    (fs::read(path).unwrap(), fs::read(log).unwrap(), lengths)
}

/// Returns how many jobs are left; all of them must be done, and nothing after them half present.
fn left_of(place: &Place, file: &[u8], log: &[u8]) -> Result<usize, Error> {
    fs::write(place.path("cut"), file).unwrap();
    fs::write(place.path("cut-wal"), log).unwrap();
    let _ = fs::remove_file(place.path("cut-shm"));
    let opened = Opened::new(&place.path("cut"), Sync::Off)?;
    assert!(opened.recorded().states.iter().all(|state| *state == State::Ok));
    Ok(opened.recorded().states.len())
}

#[test]
fn a_torn_log_leaves_a_prefix_of_the_commits() {
    let ((file, log, lengths), place) = (logged(), Place::new());
    let last = lengths[2];
    let coarse = (0..last).step_by(211);
    // Every byte near the start and the end of the last commit.
    let fine = (last - 40..last + 40).chain(log.len() - 4200..=log.len());
    for length in coarse.chain((last..log.len()).step_by(53)).chain(fine) {
        let committed = lengths.iter().filter(|end| **end <= length).count();
        let left = left_of(&place, &file, &log[..length]).unwrap();
        assert_eq!(left, committed, "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_changed_bit_of_a_file_is_detected_or_has_no_effect(at in any::<prop::sample::Index>(), bit in 0..8) {
        thread_local! {
            static WHOLE: (Vec<u8>, Place, String) = {
                let (bytes, place) = (whole(), Place::new());
                let content = content_of(&place, &bytes).unwrap();
                (bytes, place, content)
            };
        }
        WHOLE.with(|(bytes, place, before)| {
            let mut bytes = bytes.clone();
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            if let Ok(content) = content_of(place, &bytes) {
                prop_assert_eq!(&content, before, "bit {} of byte {}", bit, at);
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_changed_bit_of_a_log_ends_it_there(at in any::<prop::sample::Index>(), bit in 0..8) {
        thread_local! {
            static LOGGED: (Logged, Place) = (logged(), Place::new());
        }
        LOGGED.with(|((file, log, lengths), place)| {
            let (mut log, at) = (log.clone(), at.index(log.len()));
            log[at] ^= 1u8 << bit;
            let whole = lengths.iter().filter(|end| **end <= at).count();
            if let Ok(left) = left_of(place, file, &log) {
                // Some bits of the header, such as those of a counter, have no meaning.
                prop_assert!(left == whole || left == lengths.len(), "bit {} of byte {}", bit, at);
            }
            Ok(())
        })?;
    }
}

#[test]
fn a_change_interrupted_by_the_death_of_the_writer_is_rolled_back() {
    let (place, bytes) = (Place::new(), whole());
    let (path, copy) = (place.path("journal"), place.path("copy"));
    fs::write(&path, &bytes).unwrap();
    let before = content(&path).unwrap();
    let mut connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    let beside = |path: &Path| PathBuf::from(format!("{}-journal", path.display()));
    let copied = copy.clone();
    let (from, to) = (beside(&path), beside(&copy));
    let hook = move || {
        fs::copy(&path, &copied).unwrap();
        fs::copy(&from, &to).unwrap();
        false
    };
    connection.commit_hook(Some(hook)).unwrap();
    connection.execute("UPDATE runs SET pid = 1", []).unwrap();
    assert!(beside(&copy).exists());
    assert_eq!(content(&copy).unwrap(), before);
}
