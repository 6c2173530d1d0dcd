//! How is one request made, and what can go wrong? Within limits of time and size.

use std::error::Error;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Client, Method, StatusCode, Url};
use text::units::{show_duration, show_size};

use crate::request::Request;
use crate::trust;

/// What one request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the look-up of the name to the last byte of the body, unless the request says.
    pub timeout: Duration,
    /// Bytes of body.
    pub body_bytes_max: u64,
}

/// Whether `HTTP_PROXY` and its kin count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxies {
    /// As everybody's HTTP client does.
    FromEnvironment,
    /// For a server in this very process.
    None,
}

/// Which statuses are an answer, and not a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statuses {
    /// 2xx.
    Success,
    /// Every one: whoever asked will see which.
    Any,
}

/// A request's end, good or bad.
#[derive(Debug)]
pub struct Fetched {
    /// What was asked for.
    pub url: Url,
    /// How long it took.
    pub elapsed: Duration,
    /// What came of it.
    pub answer: Result<Answer, FetchError>,
}

/// A response as wanted.
#[derive(Debug)]
pub struct Answer {
    /// Who answered, after all redirections.
    pub url: Url,
    /// One of those wanted.
    pub status: StatusCode,
    /// As they came.
    pub headers: HeaderMap,
    /// From the beginning to the head of this response.
    pub first_byte: Duration,
    /// The body as it came.
    pub body: Vec<u8>,
}

/// Why there is no answer; `Display` is one line.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server answered, but not with a success.
    #[error("Failed to get a valid response. Status: {0}")]
    Status(StatusCode),
    /// Name, connection, TLS, HTTP: the whole chain of reasons.
    #[error("{}", chain(.0))]
    Network(#[from] reqwest::Error),
    /// Neither an answer nor an error in time.
    #[error("{url}: no complete answer within {}; allow more with {by}", show_duration(*.limit))]
    Timeout {
        /// What was asked for.
        url: Url,
        /// The limit that was reached.
        limit: Duration,
        /// What set it.
        by: &'static str,
    },
    /// More body than wanted.
    #[error("{url}: body exceeds {} ({limit} bytes); allow more with --max-body", show_size(*.limit))]
    BodyTooLarge {
        /// What was asked for.
        url: Url,
        /// The limit that was exceeded.
        limit: u64,
    },
}

/// Why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// TLS as wanted is not available.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// What the HTTP library refused.
    #[error("{}", chain(.0))]
    Http(#[from] reqwest::Error),
}

impl FetchError {
    /// Whether the message says which URL it is about.
    #[must_use]
    pub fn names_url(&self) -> bool {
        match self {
            Self::Status(_) => false,
            Self::Network(error) => error.url().is_some(),
            Self::Timeout { .. } | Self::BodyTooLarge { .. } => true,
        }
    }
}

/// An HTTP client with its limits; cheap to clone, and clones share connections.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client,
    limits: Limits,
    statuses: Statuses,
}

impl Fetcher {
    /// Sets up a client; nothing is connected yet, no file is read.
    ///
    /// # Errors
    /// What the HTTP library refuses, such as a proxy variable that is not a URL.
    pub fn new(limits: Limits, statuses: Statuses, proxies: Proxies) -> Result<Self, SetupError> {
        let mut client = Client::builder()
            .tls_backend_preconfigured(trust::tls()?)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
        if proxies == Proxies::None {
            client = client.no_proxy();
        }
        Ok(Self { client: client.build()?, limits, statuses })
    }

    /// Makes `request` once.
    pub async fn fetch(&self, request: Request) -> Fetched {
        let began = Instant::now();
        let url = request.url.clone();
        let (limit, by) = match request.timeout {
            Some(limit) => (limit, "the job's `timeout`"),
            None => (self.limits.timeout, "--timeout"),
        };
        let answer = match tokio::time::timeout(limit, self.answer(request, began)).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Timeout { url: shown(&url), limit, by }),
        };
        Fetched { url, elapsed: began.elapsed(), answer }
    }

    async fn answer(&self, request: Request, began: Instant) -> Result<Answer, FetchError> {
        let limit = self.limits.body_bytes_max;
        let asked = shown(&request.url);
        let too_large = || FetchError::BodyTooLarge { url: asked.clone(), limit };
        let mut response = self.builder(request).send().await.map_err(without_password)?;
        let first_byte = began.elapsed();
        let status = response.status();
        if self.statuses == Statuses::Success && !status.is_success() {
            return Err(FetchError::Status(status));
        }
        // The announced length is only good for an early no: it may lie.
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| error.with_url(asked.clone()))?
        {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        let url = shown(response.url());
        Ok(Answer {
            url,
            status,
            headers: std::mem::take(response.headers_mut()),
            first_byte,
            body,
        })
    }

    fn builder(&self, request: Request) -> reqwest::RequestBuilder {
        let Request { method, url, mut headers, body, timeout: _ } = request;
        // Nobody below says that there is nothing, and some servers insist on being told.
        if matches!(method, Method::POST | Method::PUT | Method::PATCH) && body.is_empty() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let builder = self.client.request(method, url).headers(headers);
        if body.is_empty() { builder } else { builder.body(body) }
    }
}

/// The URL in an error may be where a redirection led to, with a password of its own.
fn without_password(error: reqwest::Error) -> reqwest::Error {
    match error.url().map(shown) {
        Some(url) => error.with_url(url),
        None => error,
    }
}

/// A URL for people to read: without the password it may carry.
#[must_use]
pub fn shown(url: &Url) -> Url {
    let mut url = url.clone();
    // Refused only by a URL that cannot carry any.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url
}

/// An error and all its causes in one line; what a cause repeats is said once.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.ends_with(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text.split(char::is_control).collect::<Vec<_>>().join(" ")
}
