//! Parses and formats sizes and durations. The common crates for this read `512M` as 512 000 000
//! bytes and refuse a duration without a unit, so this one has a small parser of its own.
//!
//! Sizes are 1024-based: `512M` = `512MiB` = `512mb` = 536 870 912 bytes; a bare number is
//! bytes. Durations take `ms`, `s`, `m`, `h`, `d` and `w`, and the longer names that systemd has for
//! them; several parts add up, as in `1h30m`; a bare number is seconds. Both take a decimal
//! fraction. Every duration that [`show_duration`] formats can be parsed.

use std::time::Duration;

use crate::escape::visible;

/// Why a size or a duration was refused. `Display` names the text, the reason and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: {reason}; write {example}")]
pub struct QuantityError {
    text: String,
    kind: &'static str,
    reason: &'static str,
    example: &'static str,
}

/// Bytes in each unit of a size.
const SIZE_UNITS: &[(&str, f64)] = &[
    ("", 1.0),
    ("k", 1024.0),
    ("m", 1_048_576.0),
    ("g", 1_073_741_824.0),
    ("t", 1_099_511_627_776.0),
];

/// Names of each unit of a duration, and its length in seconds.
const DURATION_UNITS: &[(&[&str], f64)] = &[
    (&["ms", "msec"], 0.001),
    (&["s", "sec", "secs", "second", "seconds"], 1.0),
    (&["m", "min", "mins", "minute", "minutes"], 60.0),
    (&["h", "hr", "hour", "hours"], 3600.0),
    (&["d", "day", "days"], 86_400.0),
    (&["w", "week", "weeks"], 604_800.0),
];

/// The longest duration accepted, in seconds: a century, so that deadlines never overflow.
const DURATION_SECONDS_MAX: f64 = 100.0 * 366.0 * 86_400.0;

/// The largest size accepted: 2^53 bytes, beyond which a fraction loses bytes.
const SIZE_BYTES_MAX: f64 = 9_007_199_254_740_992.0;

/// Parses a size in bytes: `65536`, `64k`, `1.5G`, `512MiB`.
///
/// # Errors
/// The text has no digits or an unknown unit, or the size is above 2^53 bytes.
pub fn parse_size(text: &str) -> Result<u64, QuantityError> {
    let fault = |reason| QuantityError {
        text: visible(text.as_bytes()),
        kind: "size",
        reason,
        example: "bytes or a 1024-based unit, such as 64k, 512M or 1.5G",
    };
    let (number, unit, rest) = split(text).ok_or_else(|| fault("no number at its start"))?;
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    let factor = SIZE_UNITS.iter().find(|(name, _)| *name == unit && rest.is_empty());
    let (_, factor) = factor.ok_or_else(|| fault("unknown unit"))?;
    let bytes = (number * factor).round();
    if bytes > SIZE_BYTES_MAX {
        return Err(fault("too large"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..=2^53")]
    Ok(bytes as u64)
}

/// Parses a duration: `30`, `30s`, `1.5m`, `200ms`, `2h`, `1h30m`, `5 min`.
///
/// # Errors
/// The text has no digits, an unknown unit or a part without a unit, or the duration is longer than a
/// century.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let fault = |reason| QuantityError {
        text: visible(text.as_bytes()),
        kind: "duration",
        reason,
        example: "seconds or units of ms, s, m, h, d, such as 30s, 200ms, 1.5h or 1h30m",
    };
    let (first, unit, mut rest) = split(text).ok_or_else(|| fault("no number at its start"))?;
    if unit.is_empty() && rest.is_empty() {
        return to_duration(first).ok_or_else(|| fault("longer than a century"));
    }
    let mut seconds = first * duration_factor(&unit).ok_or_else(|| fault("unknown unit"))?;
    while !rest.is_empty() {
        let (number, unit, further) = split(rest).ok_or_else(|| fault("unknown unit"))?;
        let unit = Some(unit).filter(|unit| !unit.is_empty());
        let unit = unit.ok_or_else(|| fault("a part without a unit"))?;
        seconds += number * duration_factor(&unit).ok_or_else(|| fault("unknown unit"))?;
        rest = further;
    }
    to_duration(seconds).ok_or_else(|| fault("longer than a century"))
}

fn to_duration(seconds: f64) -> Option<Duration> {
    (seconds <= DURATION_SECONDS_MAX).then(|| Duration::from_secs_f64(seconds))
}

/// Formats a number of bytes with at most three digits and a 1024-based unit, as in `1.4 MiB`.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 99.5);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Formats a duration, as in `0.3 ms`, `12 ms`, `1.25 s`, `3m07s`, `2h05m`, `1d02h`. A whole number of
/// seconds has no decimals, because it is a setting rather than a measurement: `30 s`.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let whole = duration.saturating_add(Duration::from_millis(500)).as_secs();
    match seconds {
        s if s < 0.0095 => format!("{:.1} ms", s * 1000.0),
        s if s < 0.9995 => format!("{:.0} ms", s * 1000.0),
        s if s < 59.995 && duration.subsec_nanos() == 0 => format!("{s:.0} s"),
        s if s < 59.995 => format!("{s:.2} s"),
        _ if whole < 3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ if whole < 86_400 => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole / 3600 % 24),
    }
}

/// Splits `1.5G` into 1.5, the lowercase unit `g`, and the text behind the unit; `None` if the text
/// does not begin with a plain decimal number.
fn split(text: &str) -> Option<(f64, String, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = (text[..end].parse().ok()?, text[end..].trim_start());
    let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    Some((number, rest[..end].trim_end().to_ascii_lowercase(), &rest[end..]))
}

fn duration_factor(unit: &str) -> Option<f64> {
    DURATION_UNITS.iter().find(|(names, _)| names.contains(&unit)).map(|(_, factor)| *factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_1024_based_with_or_without_ib() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("64k", 65_536),
            ("512M", 536_870_912),
            ("512MiB", 536_870_912),
            ("512mb", 536_870_912),
            ("1.5G", 1_610_612_736),
            (" 2 T ", 2_199_023_255_552),
        ] {
            assert_eq!(parse_size(text).as_ref(), Ok(&bytes), "{text}");
        }
    }

    #[test]
    fn a_bare_duration_is_seconds() {
        for (text, millis) in
            [("30", 30_000), ("0.5", 500), ("200ms", 200), ("1.5m", 90_000), ("2 h", 7_200_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn the_parts_of_a_duration_add_up() {
        for (text, millis) in [
            ("1h30m", 5_400_000),
            ("1m58s", 118_000),
            ("1h 30 min", 5_400_000),
            ("2days 1.5hours", 178_200_000),
            ("5sec", 5000),
            ("1w", 604_800_000),
            ("1s500ms", 1500),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for (text, reason) in [
            ("1h30", "a part without a unit"),
            ("1h30x", "unknown unit"),
            ("1h-3m", "unknown unit"),
        ] {
            let message = parse_duration(text).unwrap_err().to_string();
            assert!(message.contains(reason), "{message}");
        }
    }

    #[test]
    fn every_duration_that_is_shown_can_be_parsed() {
        for millis in [0, 3, 9, 12, 999, 1000, 1250, 59_994, 59_996, 187_000, 7_500_000, 93_600_000]
        {
            let duration = Duration::from_millis(millis);
            let parsed = parse_duration(&show_duration(duration)).unwrap();
            assert!(parsed.abs_diff(duration) <= duration / 100, "{millis} ms");
        }
    }

    #[test]
    fn faults_name_the_thing_the_reason_and_the_remedy() {
        for text in
            ["", "-1", "x", "5q", "1e9", "1..2", "99999999T", "5ib5", "5bb", "5bib", "NaN", "inf"]
        {
            let message = parse_size(text).unwrap_err().to_string();
            assert!(
                message.contains(&format!("`{text}`")) && message.contains("such as"),
                "{message}"
            );
        }
        for text in ["", "-1s", "forever", "5y", "1e9", "999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn quantities_read_well() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KiB"),
            (1_468_006, "1.4 MiB"),
            (67_108_864, "64.0 MiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(show_size(bytes), text);
        }
        for (millis, text) in [
            (0, "0.0 ms"),
            (9, "9.0 ms"),
            (12, "12 ms"),
            (1250, "1.25 s"),
            (30_000, "30 s"),
            (59_999, "1m00s"),
            (187_000, "3m07s"),
            (7_500_000, "2h05m"),
            (93_600_000, "1d02h"),
        ] {
            assert_eq!(show_duration(Duration::from_millis(millis)), text);
        }
    }
}
