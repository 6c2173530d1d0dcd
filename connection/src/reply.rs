//! Formats an answer: as the body alone, or as one line of JSON with status, headers and times.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::HeaderMap;
use serde::Serialize;

use crate::fetch::{Answer, Statuses};

/// The format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The body, unchanged. A status other than 2xx is a failure.
    Body,
    /// A JSON object with the status, whatever it is, the headers, the times and the body.
    Json,
}

#[derive(Serialize)]
struct JsonAnswer<'a> {
    url: &'a str,
    status: u16,
    headers: BTreeMap<&'a str, Vec<Cow<'a, str>>>,
    ms: Milliseconds,
    #[serde(flatten)]
    body: Body,
}

#[derive(Serialize)]
struct Milliseconds {
    total: f64,
    first_byte: f64,
}

#[derive(Serialize)]
enum Body {
    #[serde(rename = "body")]
    Text(String),
    #[serde(rename = "body_base64")]
    Base64(String),
}

impl Reply {
    /// The statuses that this format counts as an answer.
    #[must_use]
    pub fn statuses(self) -> Statuses {
        match self {
            Self::Body => Statuses::Success,
            Self::Json => Statuses::Any,
        }
    }

    /// Formats an answer that took `total`.
    #[must_use]
    pub fn of(self, answer: Answer, total: Duration) -> Vec<u8> {
        match self {
            Self::Body => answer.body,
            Self::Json => json(answer, total),
        }
    }
}

fn json(answer: Answer, total: Duration) -> Vec<u8> {
    let body = match String::from_utf8(answer.body) {
        Ok(text) => Body::Text(text),
        Err(error) => Body::Base64(BASE64_STANDARD.encode(error.as_bytes())),
    };
    let answer = JsonAnswer {
        url: answer.url.as_str(),
        status: answer.status.as_u16(),
        headers: lists(&answer.headers),
        ms: Milliseconds { total: ms(total), first_byte: ms(answer.first_byte) },
        body,
    };
    // This cannot fail: all keys are strings.
    serde_json::to_vec(&answer).unwrap_or_default()
}

/// Groups header values by name, since a header may occur several times. Invalid UTF-8 is replaced.
fn lists(headers: &HeaderMap) -> BTreeMap<&str, Vec<Cow<'_, str>>> {
    let mut lists = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in headers {
        lists.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()));
    }
    lists
}

/// The duration in milliseconds, rounded to microseconds.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};
    use reqwest::{StatusCode, Url};

    fn answer(body: &[u8]) -> Answer {
        let pairs = [("b", &b"2"[..]), ("a", b"\xff"), ("b", b"1")];
        let headers = pairs.map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
        });
        Answer {
            url: Url::parse("http://h/p").unwrap(),
            status: StatusCode::NOT_FOUND,
            headers: headers.into_iter().collect(),
            first_byte: Duration::from_micros(8100),
            body: body.into(),
        }
    }

    #[test]
    fn a_json_reply_has_status_headers_times_and_body() {
        for (body, field) in [
            (&b"1\n\"\xc3\xa9"[..], "\"body\":\"1\\n\\\"\u{e9}\""),
            (b"", "\"body\":\"\""),
            (b"\0\xff", "\"body_base64\":\"AP8=\""),
        ] {
            let json = Reply::Json.of(answer(body), Duration::from_nanos(12_345_678));
            let expected = format!(
                "{{\"url\":\"http://h/p\",\"status\":404,\
                \"headers\":{{\"a\":[\"\u{fffd}\"],\"b\":[\"2\",\"1\"]}},\
                \"ms\":{{\"total\":12.346,\"first_byte\":8.1}},{field}}}"
            );
            assert_eq!(String::from_utf8(json).unwrap(), expected);
        }
    }

    #[test]
    fn a_body_is_not_changed() {
        assert_eq!(Reply::Body.of(answer(b"\xff\n"), Duration::ZERO), b"\xff\n");
    }
}
