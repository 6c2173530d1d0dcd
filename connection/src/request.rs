//! What is asked for? One HTTP request, be it from the command line or from a job.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use text::units::parse_duration;

/// One HTTP request; plain data.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET and its kin.
    pub method: Method,
    /// Whom to ask for what; http or https.
    pub url: Url,
    /// Beside those every request has.
    pub headers: HeaderMap,
    /// What is sent; mostly nothing.
    pub body: Vec<u8>,
    /// The time it may take, if it has a limit of its own.
    pub timeout: Option<Duration>,
}

impl Request {
    /// Asks for `url` and no more.
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

/// Reads a URL that can be fetched.
///
/// # Errors
/// The reason and the remedy; not the text itself, which may hold a password.
pub fn parse_url(text: &str) -> Result<Url, String> {
    let reason = match Url::parse(text) {
        // A line break would be skipped, and two URLs become one.
        _ if text.trim().contains(char::is_control) => "it holds a line break or the like".into(),
        Ok(url) if matches!(url.scheme(), "http" | "https") => return Ok(url),
        Ok(_) => "its scheme is not supported".into(),
        Err(error) => error.to_string(),
    };
    Err(format!("{reason}; write http://HOST/PATH or https://HOST/PATH"))
}

/// Reads the longest time for a request.
///
/// # Errors
/// Not a duration, or none at all.
pub fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("nothing is answered in no time; write 30s, say".into()),
        Ok(limit) => Ok(limit),
        Err(error) => Err(error.to_string()),
    }
}
