//! Numbers of messages in JSON, as lenient as common runtimes need: languages with one type of
//! number write 7 as `7.0`, and clocks give fractions of a nanosecond.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Unexpected, Visitor},
};

/// The largest number up to which a float holds every whole number.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A whole number. It may be written as a float without a fraction: `7.0`, `7e0`.
#[derive(Clone, Copy, Serialize)]
#[serde(transparent)]
pub(crate) struct Whole(pub(crate) u64);

/// A time in nanoseconds. Any number is accepted: a fraction is cut off, and a number out of range
/// becomes the nearest in range.
#[derive(Clone, Copy, Serialize)]
#[serde(transparent)]
pub(crate) struct Nanoseconds(pub(crate) u64);

impl From<u64> for Whole {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(WholeVisitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Nanoseconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(TimeVisitor).map(Self)
    }
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
        if (0.0..=EXACT_MAX).contains(&number) && number.fract() == 0.0 {
            return Ok(number as u64);
        }
        Err(E::invalid_value(Unexpected::Float(number), &self))
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        Ok(u64::try_from(number).unwrap_or(0))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast takes the nearest number in range"
    )]
    fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
        Ok(number as u64)
    }
}
