//! Points in time and durations, in milliseconds with the resolution of a microsecond.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::number;

/// A time in milliseconds: a JSON number with at most three decimals, such as `12.345` or `30.0`.
///
/// Rounding is always down to a whole microsecond, so that an interval never ends after the moment
/// at which it was measured: `began_ms + duration_ms` is at most the time of the next event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Millis {
    micros: u64,
}

impl Millis {
    /// The time from 1970 to `time`; zero for an earlier time.
    #[must_use]
    pub fn since_epoch(time: SystemTime) -> Self {
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().into()
    }

    /// Whole microseconds.
    #[must_use]
    pub fn as_micros(self) -> u64 {
        self.micros
    }

    /// Whole milliseconds, rounded down.
    #[must_use]
    pub fn as_whole(self) -> u64 {
        self.micros / 1000
    }

    /// The time from `earlier` to this one; zero where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros.saturating_sub(earlier.micros))
    }

    /// Appends the JSON number, as serde writes it.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        number(self.micros / 1000, out);
        // The leading one keeps the zeros, and makes way for the point.
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(1000 + self.micros % 1000).as_bytes();
        let zeros = digits[2..].iter().rev().take_while(|digit| **digit == b'0').count();
        out.push(b'.');
        out.extend_from_slice(&digits[1..digits.len() - zeros]);
    }
}

impl From<Duration> for Millis {
    fn from(time: Duration) -> Self {
        Self { micros: u64::try_from(time.as_micros()).unwrap_or(u64::MAX) }
    }
}

impl From<Millis> for Duration {
    fn from(millis: Millis) -> Self {
        Self::from_micros(millis.micros)
    }
}

impl Serialize for Millis {
    #[expect(clippy::cast_precision_loss, reason = "exact for 285 years of microseconds")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.micros as f64 / 1e3)
    }
}

impl<'de> Deserialize<'de> for Millis {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ms = f64::deserialize(deserializer)?;
        Ok(Self { micros: (ms * 1e3).round() as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_at_most_three_decimals_and_is_rounded_down() {
        for (nanos, text) in [
            (0, "0.0"),
            (290, "0.0"),
            (999_999, "0.999"),
            (1_000_000, "1.0"),
            (12_300_000, "12.3"),
            (12_345_678, "12.345"),
            (30_012_010_000, "30012.01"),
        ] {
            let millis = Millis::from(Duration::from_nanos(nanos));
            let mut by_hand = Vec::new();
            millis.write(&mut by_hand);
            assert_eq!(serde_json::to_string(&millis).unwrap(), text);
            assert_eq!(String::from_utf8(by_hand).unwrap(), text);
            assert_eq!(serde_json::from_str::<Millis>(text).unwrap(), millis);
        }
    }

    #[test]
    fn whole_numbers_are_read_as_well_and_nonsense_is_bounded() {
        assert_eq!(serde_json::from_str::<Millis>("5").unwrap().as_micros(), 5000);
        assert_eq!(serde_json::from_str::<Millis>("-5").unwrap(), Millis::default());
        assert_eq!(serde_json::from_str::<Millis>("1e300").unwrap().as_micros(), u64::MAX);
        assert!(serde_json::from_str::<Millis>("\"5\"").is_err());
    }
}
