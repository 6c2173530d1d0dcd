//! Parses jobs: a job is a URL as plain text, or a request as a JSON object.
//!
//! A misspelt field is an error; if it were ignored, the request would differ from what its author
//! meant.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use serde::Deserialize;
use serde_json::{Map, Value};
use text::escape::visible;

use crate::request::{Request, parse_timeout, parse_url};

/// Why a job is not a request. `Display` prints one line, which contains neither a header's value
/// nor any part of a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The job is empty or blank.
    #[error("job is empty; write a URL, or a JSON object with a `url`")]
    Empty,
    /// The job is not UTF-8.
    #[error("job is not UTF-8; write a URL, or a JSON object and bytes in its `body_base64`")]
    NotText,
    /// The job is text, but not a URL.
    #[error("job is not a URL: {0}, or a JSON object with a `url`")]
    NotUrl(String),
    /// The job starts like a JSON object, but is malformed or has an unknown field.
    #[error("job is not such a JSON object: {0}")]
    NotJson(String),
    /// A field has an invalid value.
    #[error("`{field}` of the job: {fault}")]
    Field {
        /// The name of the field.
        field: &'static str,
        /// What is wrong, and how to write it.
        fault: String,
    },
}

/// The fields of a job. Their values are checked later, because serde's errors quote values of the
/// wrong type, which may be secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    url: Value,
    #[serde(default)]
    method: Value,
    #[serde(default)]
    headers: Value,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    body_base64: Value,
    #[serde(default)]
    timeout: Value,
}

/// Parses a job. A field that is `null` counts as absent.
///
/// # Errors
/// The job is not a valid request. The message says what is wrong, and how to write it.
pub fn parse(job: &[u8]) -> Result<Request, JobError> {
    let job = job.trim_ascii();
    match job.first() {
        None => Err(JobError::Empty),
        Some(b'{') => object(job),
        Some(_) => {
            let text = std::str::from_utf8(job).map_err(|_| JobError::NotText)?;
            parse_url(text).map(Request::get).map_err(JobError::NotUrl)
        }
    }
}

fn object(job: &[u8]) -> Result<Request, JobError> {
    let typed: Typed = serde_json::from_slice(job).map_err(|error| {
        // The error quotes the name of an unknown field.
        JobError::NotJson(visible(error.to_string().as_bytes()))
    })?;
    let url = match text("url", typed.url)? {
        Some(text) => parse_url(&text).map_err(|fault| JobError::Field { field: "url", fault })?,
        None => return Err(fault("url", "null is not a URL; write http://HOST/PATH")),
    };
    let body = match (text("body", typed.body)?, text("body_base64", typed.body_base64)?) {
        (Some(_), Some(_)) => return Err(fault("body_base64", "there is also a `body`; keep one")),
        (Some(text), None) => Some(text.into_bytes()),
        (None, Some(text)) => Some(BASE64_STANDARD.decode(text.trim()).map_err(|_| {
            fault("body_base64", "not base64; write A-Z a-z 0-9 + / in one line, padded with =")
        })?),
        (None, None) => None,
    };
    let method = match text("method", typed.method)? {
        Some(name) => method(&name)?,
        None if body.is_some() => Method::POST,
        None => Method::GET,
    };
    let headers = headers(typed.headers)?;
    Ok(Request {
        method,
        url,
        headers,
        body: body.unwrap_or_default(),
        timeout: timeout(typed.timeout)?,
    })
}

fn text(field: &'static str, value: Value) -> Result<Option<String>, JobError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(fault(field, "not a string; write \"...\"")),
    }
}

/// Parses a method, in any case: no two methods in use differ only by case.
fn method(name: &str) -> Result<Method, JobError> {
    match Method::from_bytes(name.to_ascii_uppercase().as_bytes()) {
        Ok(Method::CONNECT) => Err(fault("method", "CONNECT has no reply; write GET, for example")),
        Ok(method) => Ok(method),
        Err(_) => Err(fault("method", "not an HTTP method; write GET, for example")),
    }
}

fn timeout(value: Value) -> Result<Option<Duration>, JobError> {
    let text = match value {
        Value::Null => return Ok(None),
        // `to_string` uses no exponent, which `parse_timeout` would not accept.
        Value::Number(seconds) => seconds.as_f64().unwrap_or(f64::INFINITY).to_string(),
        Value::String(text) => text,
        _ => return Err(fault("timeout", "not a duration; write 2, or \"200ms\"")),
    };
    // The reason quotes the text.
    parse_timeout(&text).map(Some).map_err(|reason| fault("timeout", &reason))
}

fn headers(value: Value) -> Result<HeaderMap, JobError> {
    let object = match value {
        Value::Null => Map::new(),
        Value::Object(object) => object,
        _ => return Err(fault("headers", "not an object; write {\"accept\": \"text/plain\"}")),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in object {
        // The name is not quoted, because it may be a whole header with its value.
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| fault("headers", "a name is invalid; write letters, digits and dashes"))?;
        if matches!(name, CONTENT_LENGTH | TRANSFER_ENCODING) {
            return Err(fault("headers", &format!("`{name}` follows from the body; leave it out")));
        }
        let values = match value {
            Value::Array(values) => values,
            single => vec![single],
        };
        for value in values {
            let value = value
                .as_str()
                .and_then(|text| HeaderValue::from_str(text).ok())
                .ok_or_else(|| unfit(&name))?;
            headers.append(&name, secret(value));
        }
    }
    Ok(headers)
}

fn unfit(name: &HeaderName) -> JobError {
    let fault = format!(
        "`{name}` is not a string without line breaks; write \"...\", or a list of such strings"
    );
    JobError::Field { field: "headers", fault }
}

/// Marks the value as secret, so that `Debug` does not print it. Any header may be.
fn secret(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

fn fault(field: &'static str, fault: &str) -> JobError {
    JobError::Field { field, fault: fault.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_a_url() {
        for (job, url) in [
            ("http://h/p", "http://h/p"),
            (" \n https://h:1/a b?c#d \r\n", "https://h:1/a%20b?c#d"),
            ("HTTP://ann:pw@H", "http://ann:pw@h/"),
        ] {
            let request = parse(job.as_bytes()).unwrap();
            assert_eq!((request.method, request.url.as_str()), (Method::GET, url), "{job}");
            assert!(request.headers.is_empty() && request.body.is_empty(), "{job}");
            assert_eq!(request.timeout, None, "{job}");
        }
    }

    #[test]
    fn an_object_sets_method_body_and_timeout() {
        for (rest, method, body, seconds) in [
            (r#""#, "GET", &b""[..], None),
            (r#","method":"delete""#, "DELETE", b"", None),
            (r#","body":"x\u00e9\n""#, "POST", "x\u{e9}\n".as_bytes(), None),
            (r#","body":"""#, "POST", b"", None),
            (r#","body_base64":"AP8=","method":"PUT""#, "PUT", b"\0\xff", None),
            (r#","body":null,"method":null,"headers":null,"timeout":null"#, "GET", b"", None),
            (r#","timeout":2"#, "GET", b"", Some(2.0)),
            (r#","timeout":0.25"#, "GET", b"", Some(0.25)),
            (r#","timeout":1e3"#, "GET", b"", Some(1000.0)),
            (r#","timeout":"1.5m""#, "GET", b"", Some(90.0)),
            (r#","timeout":"2""#, "GET", b"", Some(2.0)),
        ] {
            let job = format!("\t {{\"url\":\"http://h/\"{rest}}}\n");
            let request = parse(job.as_bytes()).unwrap_or_else(|error| panic!("{job}: {error}"));
            assert_eq!((request.method.as_str(), request.body.as_slice()), (method, body), "{job}");
            assert_eq!(request.timeout, seconds.map(Duration::from_secs_f64), "{job}");
        }
    }

    #[test]
    fn headers_are_strings_or_lists_and_are_not_printed() {
        let job =
            br#"{"url":"http://h","headers":{"X-A":"1","b":["2","3"],"c":[],"x-a":"s3cret"}}"#;
        let request = parse(job).unwrap();
        let all = |name| request.headers.get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(all("x-a"), ["1", "s3cret"]);
        assert_eq!(all("b"), ["2", "3"]);
        assert_eq!(request.headers.len(), 4);
        assert!(!format!("{request:?}").contains("s3cret"));
    }

    #[test]
    fn errors_are_one_line_without_secrets() {
        for (job, expected) in [
            ("", "is empty"),
            (" \t\n", "is empty"),
            ("s3cret", "not a URL: relative URL without a base; write http://HOST/PATH"),
            ("s3cret:x@h", "not a URL: its scheme is not supported; write http"),
            ("http://ann:s3cret@", "not a URL: empty host; write http"),
            ("http://a/\nhttp://s3cret/", "not a URL: it holds a line break"),
            ("[1]", "not a URL"),
            ("{", "not such a JSON object: EOF"),
            ("{}", "missing field `url`"),
            ("{\"url\":\"http://h\"} x", "trailing characters"),
            ("{\"url\":\"http://h\",\"url\":\"\"}", "duplicate field `url`"),
        ] {
            refused(job.as_bytes(), expected);
        }
        refused(b"http://h/\xff", "not UTF-8");
        refused(b"{\"url\":\"\xff\"}", "invalid unicode");
    }

    #[test]
    fn errors_in_fields_name_the_field() {
        for (rest, expected) in [
            (r#""metod":"s3cret""#, "unknown field `metod`, expected one of `url`, `method`"),
            (r#""a\nb":1"#, "unknown field `a^Jb`"),
            (r#""method":"s3 cret""#, "`method` of the job: not an HTTP method"),
            (r#""method":"""#, "`method` of the job"),
            (r#""method":"connect""#, "CONNECT"),
            (r#""method":1"#, "`method` of the job: not a string"),
            (r#""headers":"s3cret""#, "`headers` of the job: not an object"),
            (r#""headers":{"a":{"b":"s3cret"}}"#, "`headers` of the job: `a`"),
            (r#""headers":{"a":["1",2]}"#, "`headers` of the job: `a`"),
            (
                r#""headers":{"a":"s3cret\n"}"#,
                "`headers` of the job: `a` is not a string without line breaks",
            ),
            (r#""headers":{"a: s3cret":""}"#, "`headers` of the job: a name"),
            (r#""headers":{"Content-Length":"1"}"#, "`content-length` follows from the body"),
            (r#""body":{"a":1}"#, "`body` of the job: not a string"),
            (r#""body":"","body_base64":"""#, "`body_base64` of the job: there is also a `body`"),
            (r#""body_base64":"s3cret!""#, "`body_base64` of the job: not base64"),
            (r#""timeout":0"#, "`timeout` of the job: zero leaves no time for an answer"),
            (r#""timeout":-1"#, "`timeout` of the job: `-1` is not a duration"),
            (r#""timeout":1e300"#, "longer than a century"),
            (r#""timeout":"so\non""#, "`timeout` of the job: `so^Jon` is not a duration"),
            (r#""timeout":true"#, "`timeout` of the job: not a duration"),
        ] {
            refused(format!("{{\"url\":\"http://h\",{rest}}}").as_bytes(), expected);
        }
        for url in [r#""ftp://ann:s3cret@h""#, "null", "7", r#""s3cret""#, r#""http://h:s3cret/""#]
        {
            refused(format!("{{\"url\":{url}}}").as_bytes(), "`url` of the job: ");
        }
    }

    fn refused(job: &[u8], expected: &str) {
        let message = parse(job).unwrap_err().to_string();
        assert!(message.contains(expected), "{}: {message}", job.escape_ascii());
        assert!(!message.contains("s3"), "{message}");
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}
