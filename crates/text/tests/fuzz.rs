//! Fuzzes what reads and shows text of unknown origin.

use std::time::Duration;

use fuzz::{Checked, Did, Target};
use text::{
    address::{AddressError, HostPort},
    escape::{is_obeyed, visible},
    units::{QuantityError, parse_duration, parse_size, show_duration, show_size},
};

fn target(name: &'static str, seeds: &[&str], words: &'static [&'static str]) -> Target {
    Target { name, seeds: seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect(), words }
}

fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

/// A text is refused with the reason and the remedy, on one line that cannot control a terminal.
fn refuses(message: &str) -> Checked {
    let is_well = message.contains("write ") && !message.chars().any(|c| c != '\t' && is_obeyed(c));
    if is_well { Ok(Did::Refuse) } else { Err(format!("the message is {message:?}")) }
}

fn sizes() -> Target {
    target("sizes", &["65536", "64k", "1.5G", "512MiB", "7 tb"], &["k", "ib", "B", ".", "_", "inf"])
}

/// A size is at most 2^53 bytes, is its own decimal form, and can be shown.
fn check_size(input: &[u8], parse: impl Fn(&str) -> Result<u64, QuantityError>) -> Checked {
    let text = text(input);
    let size = match parse(&text) {
        Ok(size) => size,
        Err(error) => return refuses(&error.to_string()),
    };
    if size > 1 << 53 || parse(&size.to_string()) != Ok(size) || show_size(size).is_empty() {
        return Err(format!("{text:?} is {size} bytes"));
    }
    Ok(Did::Accept)
}

#[test]
fn any_text_is_a_size_or_refused() {
    sizes().fuzz(|input| check_size(input, parse_size));
}

#[test]
fn a_size_without_a_limit_would_be_found() {
    sizes().finds(|input| {
        check_size(input, |text| parse_size(text).or_else(|_| text.parse().or(parse_size(""))))
    });
}

fn durations() -> Target {
    target("durations", &["30", "30s", "1.5m", "200ms", "2h", "7d"], &["ms", "s", "d", ".", "nan"])
}

/// A duration is at most a century, so that deadlines do not overflow, and can be shown.
fn check_duration(
    input: &[u8],
    parse: impl Fn(&str) -> Result<Duration, QuantityError>,
) -> Checked {
    let text = text(input);
    let duration = match parse(&text) {
        Ok(duration) => duration,
        Err(error) => return refuses(&error.to_string()),
    };
    if duration > Duration::from_secs(100 * 366 * 86_400) || show_duration(duration).is_empty() {
        return Err(format!("{text:?} is {duration:?}"));
    }
    Ok(Did::Accept)
}

#[test]
fn any_text_is_a_duration_or_refused() {
    durations().fuzz(|input| check_duration(input, parse_duration));
}

#[test]
fn a_duration_without_a_limit_would_be_found() {
    durations().finds(|input| {
        check_duration(input, |text| match text.parse() {
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => parse_duration(text),
        })
    });
}

fn addresses() -> Target {
    let seeds =
        ["[]:9000", ":9000", "localhost:0", "0.0.0.0:80", "[::1]:9000", "example.org:65535"];
    target("addresses", &seeds, &[":", "[", "]", "::", "unix:", "\u{9b}"])
}

/// An address is read back from its own form, which cannot control a terminal.
fn check_address(input: &[u8], parse: impl Fn(&str) -> Result<HostPort, AddressError>) -> Checked {
    let text = text(input);
    match parse(&text) {
        Ok(address)
            if parse(&address.to_string()) == Ok(address.clone())
                && !address.host.contains(is_obeyed) =>
        {
            Ok(Did::Accept)
        }
        Ok(address) => Err(format!("{text:?} is {address:?}, shown as {address}")),
        Err(error) => refuses(&error.to_string()),
    }
}

#[test]
fn any_text_is_an_address_or_refused() {
    addresses().fuzz(|input| check_address(input, str::parse));
}

#[test]
fn an_address_without_a_host_in_its_brackets_would_be_found() {
    addresses().finds(|input| {
        check_address(input, |text| match text.strip_prefix("[]:") {
            Some(port) => Ok(HostPort { host: String::new(), port: port.parse().unwrap_or(0) }),
            None => text.parse(),
        })
    });
}

fn foreign_text() -> Target {
    let seeds = ["plain é\t!", "\x1b[31mred", "a\rb\x7f\0", "\u{9b}31m \u{202e}abc", "^[<U+202E>"];
    target("foreign text", &seeds, &["\x1b]52;c;", "\u{2066}", "\u{85}", "\r\n", "\u{feff}"])
}

/// What is shown contains nothing that a terminal obeys, and is shown the same way again.
fn check_visible(input: &[u8], show: impl Fn(&[u8]) -> String) -> Checked {
    let shown = show(input);
    if shown.chars().any(|c| c != '\t' && is_obeyed(c)) || show(shown.as_bytes()) != shown {
        return Err(format!("it is shown as {shown:?}"));
    }
    Ok(if shown.as_bytes() == input { Did::Accept } else { Did::Refuse })
}

#[test]
fn any_foreign_text_is_obeyed_by_no_terminal() {
    foreign_text().fuzz(|input| check_visible(input, visible));
}

#[test]
fn a_control_character_that_is_let_through_would_be_found() {
    foreign_text().finds(|input| check_visible(input, |text| visible(text).replace("^M", "\r")));
}
