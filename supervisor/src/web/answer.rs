//! What is answered to a request?

use std::{
    cell::Cell,
    convert::Infallible,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    header,
};
use tokio::{sync::mpsc, time::timeout};

use super::{host::Hosts, live, metrics};
use crate::{observe::view::View, onlook::Hub};

const PAGE: &str = include_str!("page.html");
const PATHS: &str =
    "/ the page, /metrics for Prometheus, /events as a stream, /healthz and /readyz\n";
/// A loop that does not answer within this has more to worry about than us.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many clients may follow the events.
const FOLLOWERS_MAX: u32 = 64;

/// What is served.
#[derive(Debug)]
pub(super) struct Site {
    hub: Hub,
    hosts: Hosts,
    followers: Rc<Cell<u32>>,
    chance: RandomState,
    pages: Cell<u64>,
}

/// One of the places of those who follow the events, given back when dropped.
#[derive(Debug)]
pub(super) struct Follower(Rc<Cell<u32>>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What a response carries.
#[derive(Debug)]
pub(super) enum Content {
    Whole(Option<Bytes>),
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
    pub(super) fn new(hub: Hub, hosts: Hosts) -> Self {
        let (followers, chance, pages) = (Rc::default(), RandomState::new(), Cell::new(0));
        Self { hub, hosts, followers, chance, pages }
    }

    pub(super) async fn over(&self) -> Option<Arc<View>> {
        self.hub.over().await
    }

    pub(super) async fn answer(&self, request: &Request<Incoming>) -> Result<Answer, Infallible> {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        if !self.hosts.has(host) {
            let why =
                "this is another host: use a number, localhost, or the name given to --serve\n";
            return Ok(text(StatusCode::MISDIRECTED_REQUEST, why));
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
            "/" => self.page(),
            "/metrics" => match self.look().await {
                Some(snapshot) => typed(metrics::TYPE, metrics::write(&snapshot)),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "the run does not answer\n"),
            },
            "/events" => self.events(request),
            "/healthz" => match self.look().await {
                Some(_) => text(StatusCode::OK, "ok\n"),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "the run does not answer\n"),
            },
            "/readyz" => match self.look().await {
                Some(snapshot) if snapshot.state == "running" => text(StatusCode::OK, "running\n"),
                Some(snapshot) => {
                    text(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", snapshot.state))
                }
                None => text(StatusCode::SERVICE_UNAVAILABLE, "the run does not answer\n"),
            },
            _ => text(StatusCode::NOT_FOUND, format!("not found; there are {PATHS}")),
        })
    }

    async fn look(&self) -> Option<Arc<records::Snapshot>> {
        let view = timeout(PATIENCE, self.hub.look()).await.ok()??;
        Some(view.snapshot())
    }

    /// Only what carries this page's number runs or is drawn in it, whatever a job is called.
    fn page(&self) -> Answer {
        self.pages.set(self.pages.get() + 1);
        let (one, other) = (self.chance.hash_one(self.pages.get()), RandomState::new().hash_one(0));
        let nonce = format!("{one:016x}{other:016x}");
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
                Content::Live(live::follow(self.hub.clone(), with_records, follower));
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
