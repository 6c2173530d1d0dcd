//! Fuzzes the reader of journals with changed files.

use fuzz::{Checked, Did, Target};

use super::{
    super::Error,
    Place,
    damage::{content_of, whole},
};

fn journals() -> Target {
    Target { name: "journals", seeds: vec![whole()], words: &["CREATE TABLE", "SQLite format 3"] }
}

/// A changed file has the content of the whole one, or is refused; nothing is lost in silence.
fn check(input: &[u8], before: &str, read: impl Fn(&[u8]) -> Result<String, Error>) -> Checked {
    match read(input) {
        Ok(content) if content == before => Ok(Did::Accept),
        Ok(content) => Err(format!("it contains {content}")),
        Err(error) if error.to_string().is_empty() => Err("the message is empty".into()),
        Err(_) => Ok(Did::Refuse),
    }
}

#[test]
fn any_changed_journal_is_whole_or_refused() {
    let (place, target) = (Place::new(), journals());
    let before = content_of(&place, &target.seeds[0]).unwrap();
    target.fuzz(|input| check(input, &before, |bytes| content_of(&place, bytes)));
}

#[test]
fn a_journal_that_loses_a_job_would_be_found() {
    let (place, target) = (Place::new(), journals());
    let before = content_of(&place, &target.seeds[0]).unwrap();
    target.finds(|input| {
        check(input, &before, |bytes| match content_of(&place, bytes) {
            Err(Error::Damaged { .. }) => Ok("one job less".into()),
            other => other,
        })
    });
}
