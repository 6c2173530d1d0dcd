//! [`Detail`]: a text that is copied like a number, so that a fault can carry it and remain a plain
//! value of two words.
//!
//! Each different text is kept until the process ends. There are few of them, because a program
//! makes the same mistakes again and again. The number and the length are bounded all the same,
//! because the texts quote what a worker sent.

use std::{borrow::Cow, cell::RefCell, collections::HashSet, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text of at most [`Detail::BYTES_MAX`] bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Detail(&'static str);

thread_local! {
    /// The texts that this thread has kept. Faults are found on one thread, that of the loop.
    static TEXTS: RefCell<HashSet<&'static str>> = RefCell::default();
}

impl Detail {
    /// The largest length, in bytes.
    pub const BYTES_MAX: usize = 240;
    /// The largest number of different texts of a thread: together they take at most a megabyte.
    const TEXTS_MAX: usize = 4096;
    const CUT: &str = "…";
    /// The text that replaces further ones when there are too many.
    const ANY: &str = "it sent what cannot be understood; thousands of others, with their reasons, \
                       were named before";

    /// Keeps the text. One that is too long is cut between characters, and ends with `…`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = bounded(text);
        TEXTS.with_borrow_mut(|texts| {
            if let Some(known) = texts.get(&*text) {
                return Self(known);
            }
            if texts.len() >= Self::TEXTS_MAX {
                return Self(Self::ANY);
            }
            let kept: &'static str = Box::leak(text.into_owned().into_boxed_str());
            texts.insert(kept);
            Self(kept)
        })
    }

    /// The text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= Detail::BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let fits = 0..=Detail::BYTES_MAX - Detail::CUT.len();
    let end = fits.rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    Cow::Owned(format!("{}{}", &text[..end], Detail::CUT))
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl Serialize for Detail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Detail {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(Detail::new("short").as_str(), "short");
        let exact = "x".repeat(Detail::BYTES_MAX);
        assert_eq!(Detail::new(&exact).as_str(), exact);
        let cut = Detail::new(&"é".repeat(Detail::BYTES_MAX)).as_str();
        assert!(cut.len() > Detail::BYTES_MAX - 4 && cut.ends_with("é…"), "{cut}");
    }

    #[test]
    fn equal_texts_are_kept_once_and_different_ones_are_bounded() {
        let [one, two] = [Detail::new("again"), Detail::new("again")];
        assert!(std::ptr::eq(one.as_str(), two.as_str()));
        (0..Detail::TEXTS_MAX).for_each(|n| drop(Detail::new(&format!("text {n}")).to_string()));
        assert_eq!(Detail::new("one more").as_str(), Detail::ANY);
        assert_eq!(Detail::new("again"), one);
    }
}
