//! How is one URL fetched, and what can go wrong? One request, within limits of time and size.

use std::error::Error;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode, Url};
use worker::quantity::{show_duration, show_size};

use crate::trust;

/// What one request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the look-up of the name to the last byte of the body.
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

/// A successful response.
#[derive(Debug)]
pub struct Answer {
    /// 2xx.
    pub status: StatusCode,
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
    #[error("{url}: no complete answer within {}; allow more with --timeout", show_duration(*.limit))]
    Timeout {
        /// What was asked for.
        url: Url,
        /// The limit that was reached.
        limit: Duration,
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
}

impl Fetcher {
    /// Sets up a client; nothing is connected yet, no file is read.
    ///
    /// # Errors
    /// What the HTTP library refuses, such as a proxy variable that is not a URL.
    pub fn new(limits: Limits, proxies: Proxies) -> Result<Self, SetupError> {
        let mut client = Client::builder()
            .tls_backend_preconfigured(trust::tls()?)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
        if proxies == Proxies::None {
            client = client.no_proxy();
        }
        Ok(Self { client: client.build()?, limits })
    }

    /// Fetches `url` once.
    pub async fn fetch(&self, url: Url) -> Fetched {
        let began = Instant::now();
        let limit = self.limits.timeout;
        let answer = match tokio::time::timeout(limit, self.answer(url.clone())).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Timeout { url: shown(&url), limit }),
        };
        Fetched { url, elapsed: began.elapsed(), answer }
    }

    async fn answer(&self, url: Url) -> Result<Answer, FetchError> {
        let limit = self.limits.body_bytes_max;
        let too_large = || FetchError::BodyTooLarge { url: shown(&url), limit };
        let mut response = self.client.get(url.clone()).send().await?;
        let status = response.status();
        if !status.is_success() {
            return Err(FetchError::Status(status));
        }
        // The announced length is only good for an early no: it may lie.
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| e.with_url(shown(&url)))? {
            if (body.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
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
