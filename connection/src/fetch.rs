//! Makes one HTTP request, within limits of time and size.

use std::error::Error;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Client, Method, StatusCode, Url};
use text::escape::is_obeyed;
use text::units::{show_duration, show_size};

use crate::request::Request;
use crate::trust;

/// The limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The time from name look-up to the last byte of the body. A request can override it.
    pub timeout: Duration,
    /// The largest body, in bytes.
    pub body_bytes_max: u64,
}

/// Whether the client uses the proxies that the environment names, such as `HTTP_PROXY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxies {
    /// Use them, as most HTTP clients do.
    FromEnvironment,
    /// Ignore them: the server is in this process.
    None,
}

/// The HTTP statuses that count as an answer and not as a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statuses {
    /// The statuses 2xx.
    Success,
    /// All statuses, because the reply shows the status.
    Any,
}

/// The end of a request.
#[derive(Debug)]
pub struct Fetched {
    /// The requested URL.
    pub url: Url,
    /// How long the request took.
    pub elapsed: Duration,
    /// The answer, or why there is none.
    pub answer: Result<Answer, FetchError>,
}

/// A response with an acceptable status.
#[derive(Debug)]
pub struct Answer {
    /// The URL that answered, after all redirects.
    pub url: Url,
    /// The status of the response.
    pub status: StatusCode,
    /// The headers, unchanged.
    pub headers: HeaderMap,
    /// The time from the start of the request to the head of this response.
    pub first_byte: Duration,
    /// The body, unchanged.
    pub body: Vec<u8>,
}

/// Why there is no answer. `Display` prints one line.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server answered with a status that does not count as success.
    #[error("Failed to get a valid response. Status: {0}")]
    Status(StatusCode),
    /// Name look-up, connection, TLS or HTTP failed. The message has the whole chain of causes.
    #[error("{}", chain(.0))]
    Network(#[from] reqwest::Error),
    /// The answer was not complete in time.
    #[error("{url}: no complete answer within {}; allow more with {by}", show_duration(*.limit))]
    Timeout {
        /// The requested URL.
        url: Url,
        /// The time limit that was reached.
        limit: Duration,
        /// The option or field that set the limit.
        by: &'static str,
    },
    /// The body is larger than the limit.
    #[error("{url}: body exceeds {} ({limit} bytes); allow more with --max-body", show_size(*.limit))]
    BodyTooLarge {
        /// The requested URL.
        url: Url,
        /// The limit, in bytes.
        limit: u64,
    },
}

/// Why the HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// TLS could not be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The HTTP library refused the configuration.
    #[error("{}", chain(.0))]
    Http(#[from] reqwest::Error),
}

impl FetchError {
    /// Whether the message names the URL.
    #[must_use]
    pub fn names_url(&self) -> bool {
        match self {
            Self::Status(_) => false,
            Self::Network(error) => error.url().is_some(),
            Self::Timeout { .. } | Self::BodyTooLarge { .. } => true,
        }
    }
}

/// An HTTP client with its limits. Clones are cheap and share connections.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client,
    limits: Limits,
    statuses: Statuses,
}

impl Fetcher {
    /// Sets up a client. It neither connects nor reads a file yet.
    ///
    /// # Errors
    /// The HTTP library refuses the configuration, such as a proxy variable that is not a URL.
    pub fn new(limits: Limits, statuses: Statuses, proxies: Proxies) -> Result<Self, SetupError> {
        let mut client = Client::builder()
            .tls_backend_preconfigured(trust::tls()?)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
        if proxies == Proxies::None {
            client = client.no_proxy();
        }
        Ok(Self { client: client.build()?, limits, statuses })
    }

    /// Makes the request once, without retries.
    pub async fn fetch(&self, request: Request) -> Fetched {
        let began = Instant::now();
        let url = request.url.clone();
        let (limit, by) = match request.timeout {
            Some(limit) => (limit, "the job's `timeout`"),
            None => (self.limits.timeout, "--timeout"),
        };
        let answer = match tokio::time::timeout(limit, self.answer(request, began)).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Timeout { url: without_credentials(&url), limit, by }),
        };
        Fetched { url, elapsed: began.elapsed(), answer }
    }

    async fn answer(&self, request: Request, began: Instant) -> Result<Answer, FetchError> {
        let limit = self.limits.body_bytes_max;
        let asked = without_credentials(&request.url);
        let too_large = || FetchError::BodyTooLarge { url: asked.clone(), limit };
        let mut response = self.builder(request).send().await.map_err(without_password)?;
        let first_byte = began.elapsed();
        let status = response.status();
        if self.statuses == Statuses::Success && !status.is_success() {
            return Err(FetchError::Status(status));
        }
        // The announced length allows an early refusal, but it may be wrong.
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
        let url = without_credentials(response.url());
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
        // The HTTP library omits the length of an empty body, but some servers require it.
        if matches!(method, Method::POST | Method::PUT | Method::PATCH) && body.is_empty() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let builder = self.client.request(method, url).headers(headers);
        if body.is_empty() { builder } else { builder.body(body) }
    }
}

/// Removes the password from the URL in an error, which may be the target of a redirect.
fn without_password(error: reqwest::Error) -> reqwest::Error {
    match error.url().map(without_credentials) {
        Some(url) => error.with_url(url),
        None => error,
    }
}

/// Returns the URL for people to read, without user name and password.
#[must_use]
pub fn without_credentials(url: &Url) -> Url {
    let mut url = url.clone();
    // This fails only for a URL that cannot have a password.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url
}

/// Formats an error and all its causes as one line, and omits a cause that the text before it
/// already repeats.
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
    text.split(is_obeyed).collect::<Vec<_>>().join(" ")
}
