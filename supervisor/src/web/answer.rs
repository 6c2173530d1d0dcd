//! The resources of the web server: the page, metrics, health checks and the stream of events.

use std::{
    cell::Cell,
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode, Version,
    body::{Body, Frame, Incoming, SizeHint},
    header,
};
use tokio::{sync::mpsc, time::timeout};

use super::{host::Hosts, live, metrics};
use crate::{observe::view::View, observers::RunHandle};

const PAGE: &str = include_str!("page.html");
const PATHS: &str =
    "/ the page, /metrics for Prometheus, /events as a stream, /healthz and /readyz\n";
/// A run whose loop does not answer within this time counts as unhealthy.
const VIEW_TIMEOUT: Duration = Duration::from_secs(2);
/// The most clients that follow the events at once.
const FOLLOWERS_MAX: u32 = 64;

/// What the server serves: one run.
#[derive(Debug)]
pub(super) struct Site {
    run: RunHandle,
    hosts: Hosts,
    followers: Rc<Cell<u32>>,
}

/// A client that follows the events; the count is decremented when this is dropped.
#[derive(Debug)]
pub(super) struct Follower(Rc<Cell<u32>>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The body of a response.
#[derive(Debug)]
pub(super) enum Content {
    /// All of it; `None` once it was sent.
    Whole(Option<Bytes>),
    /// Pieces of a stream as they arrive.
    Live(mpsc::Receiver<Bytes>),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.get_mut() {
            Self::Whole(bytes) => bytes.take(),
            Self::Live(pieces) => ready!(pieces.poll_recv(context)),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Live(_) => SizeHint::default(),
        }
    }
}

type Answer = Response<Content>;

impl Site {
    pub(super) fn new(run: RunHandle, hosts: Hosts) -> Self {
        Self { run, hosts, followers: Rc::default() }
    }

    pub(super) async fn over(&self) -> Option<Arc<View>> {
        self.run.over().await
    }

    pub(super) async fn answer(&self, request: &Request<Incoming>) -> Result<Answer, Infallible> {
        if let Some(refusal) = self.refuse_host(request) {
            return Ok(refusal);
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut answer =
                text(StatusCode::METHOD_NOT_ALLOWED, "there is nothing but GET and HEAD\n");
            answer
                .headers_mut()
                .insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
            return Ok(answer);
        }
        Ok(match request.uri().path() {
            "/" => Self::page(),
            "/metrics" => match self.snapshot().await {
                Some(snapshot) => typed(metrics::TYPE, metrics::write(&snapshot)),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "the run does not answer\n"),
            },
            "/events" => self.events(request),
            "/healthz" => match self.snapshot().await {
                Some(_) => text(StatusCode::OK, "ok\n"),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "the run does not answer\n"),
            },
            "/readyz" => match self.snapshot().await {
                Some(snapshot) if ["running", "paused"].contains(&&*snapshot.state) => {
                    let (state, standing) = (&snapshot.state, snapshot.standing());
                    text(StatusCode::OK, format!("{state}: {standing}\n"))
                }
                Some(snapshot) => {
                    text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", snapshot.state))
                }
                None => text(StatusCode::SERVICE_UNAVAILABLE, "the run does not answer\n"),
            },
            _ => text(StatusCode::NOT_FOUND, format!("not found; there are {PATHS}")),
        })
    }

    /// The refusal of a request that names no host, several, or another one. Browsers always name
    /// one; only simple probes still speak HTTP/1.0, which has no hosts.
    fn refuse_host(&self, request: &Request<Incoming>) -> Option<Answer> {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (None, _) if request.version() <= Version::HTTP_10 => return None,
            (Some(_), Some(_)) => {
                return Some(text(StatusCode::BAD_REQUEST, "a request has one Host field\n"));
            }
            (host, _) => host.and_then(|host| host.to_str().ok()).unwrap_or_default(),
        };
        let why = "this is another host: use a number, localhost, or the name given to --serve or \
                   --serve-host\n";
        (!self.hosts.contains(host)).then(|| text(StatusCode::MISDIRECTED_REQUEST, why))
    }

    async fn snapshot(&self) -> Option<Arc<records::Snapshot>> {
        let view = timeout(VIEW_TIMEOUT, self.run.view()).await.ok()??;
        Some(view.snapshot())
    }

    /// The page. Its content security policy admits only scripts and styles that carry a nonce of
    /// this one response, so that no name of a job can inject any.
    fn page() -> Answer {
        let mut random = [0; 16];
        if getrandom::fill(&mut random).is_err() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "no random numbers for the page\n");
        }
        let nonce = format!("{:032x}", u128::from_ne_bytes(random));
        let policy = format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
             connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        let mut answer = typed("text/html; charset=utf-8", PAGE.replace("{{nonce}}", &nonce));
        if let Ok(policy) = policy.parse() {
            answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        answer
    }

    fn events(&self, request: &Request<Incoming>) -> Answer {
        if self.followers.get() >= FOLLOWERS_MAX {
            return text(StatusCode::SERVICE_UNAVAILABLE, "enough clients follow the events\n");
        }
        let mut answer = typed("text/event-stream", "");
        if request.method() == Method::GET {
            self.followers.set(self.followers.get() + 1);
            let follower = Follower(Rc::clone(&self.followers));
            let with_records = request.uri().query() != Some("only=board");
            *answer.body_mut() =
                Content::Live(live::follow(self.run.clone(), with_records, follower));
        }
        answer
    }
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = typed("text/plain; charset=utf-8", text);
    *answer.status_mut() = status;
    answer
}

fn typed(kind: &'static str, content: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Content::Whole(Some(content.into())));
    let fields = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fields {
        answer.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    answer
}
