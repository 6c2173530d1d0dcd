//! How is an answer told? As the body alone, or as one line of JSON with all there is to know.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::HeaderMap;
use serde::Serialize;

use crate::fetch::{Answer, Statuses};

/// What is told of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The body as it came. A status that is no success is a failure.
    Body,
    /// An object with the status, whatever it is, the headers, the times and the body.
    Json,
}

#[derive(Serialize)]
struct Told<'a> {
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
    /// The statuses that can be told.
    #[must_use]
    pub fn statuses(self) -> Statuses {
        match self {
            Self::Body => Statuses::Success,
            Self::Json => Statuses::Any,
        }
    }

    /// The bytes to hand over, for an answer that took `total`.
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
    let told = Told {
        url: answer.url.as_str(),
        status: answer.status.as_u16(),
        headers: lists(&answer.headers),
        ms: Milliseconds { total: ms(total), first_byte: ms(answer.first_byte) },
        body,
    };
    // Fails for keys that are no text, of which there are none here.
    serde_json::to_vec(&told).unwrap_or_default()
}

/// A header may come several times. Bytes that are no UTF-8 are replaced.
fn lists(headers: &HeaderMap) -> BTreeMap<&str, Vec<Cow<'_, str>>> {
    let mut lists = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in headers {
        lists.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()));
    }
    lists
}

/// To the microsecond: more is noise.
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
    fn a_line_of_json_tells_all() {
        for (body, told) in [
            (&b"1\n\"\xc3\xa9"[..], "\"body\":\"1\\n\\\"\u{e9}\""),
            (b"", "\"body\":\"\""),
            (b"\0\xff", "\"body_base64\":\"AP8=\""),
        ] {
            let json = Reply::Json.of(answer(body), Duration::from_nanos(12_345_678));
            let expected = format!(
                "{{\"url\":\"http://h/p\",\"status\":404,\
                \"headers\":{{\"a\":[\"\u{fffd}\"],\"b\":[\"2\",\"1\"]}},\
                \"ms\":{{\"total\":12.346,\"first_byte\":8.1}},{told}}}"
            );
            assert_eq!(String::from_utf8(json).unwrap(), expected);
        }
    }

    #[test]
    fn a_body_is_told_as_it_came() {
        assert_eq!(Reply::Body.of(answer(b"\xff\n"), Duration::ZERO), b"\xff\n");
    }
}
