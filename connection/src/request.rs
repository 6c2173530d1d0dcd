//! [`Request`], an HTTP request from the command line or from a job.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use text::units::parse_duration;

/// An HTTP request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// The URL to request; http or https.
    pub url: Url,
    /// Headers in addition to those of every request.
    pub headers: HeaderMap,
    /// The body; usually empty.
    pub body: Vec<u8>,
    /// The time limit of this request, if it has its own.
    pub timeout: Option<Duration>,
}

impl Request {
    /// A GET request for `url`.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: Vec::new(),
            timeout: None,
        }
    }
}

/// Parses a URL with a supported scheme.
///
/// # Errors
/// The text is not such a URL. The message has the reason and the remedy, but not the text itself,
/// which may contain a password.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let reason = match Url::parse(text) {
        // The parser skips line breaks, so two URLs would become one.
        _ if text.trim().contains(char::is_control) => "it holds a line break or the like".into(),
        Ok(url) if matches!(url.scheme(), "http" | "https") => return Ok(url),
        Ok(_) => "its scheme is not supported".into(),
        Err(error) => error.to_string(),
    };
    Err(format!("{reason}; write http://HOST/PATH or https://HOST/PATH"))
}

/// Parses the time limit of a request.
///
/// # Errors
/// The text is not a duration, or the duration is zero.
pub fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => {
            Err("zero leaves no time for an answer; write 30s, for example".into())
        }
        Ok(limit) => Ok(limit),
        Err(error) => Err(error.to_string()),
    }
}
