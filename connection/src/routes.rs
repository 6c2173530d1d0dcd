//! The routes and their answers, which a backend and the built-in upstream share.

use std::process;
use std::time::Duration;

use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use text::units::{parse_duration, parse_size, show_duration};

use crate::payload::Payload;
use crate::{posts, sys};

const INDEX: &str = "\
/                 this list
/posts/{n}        post n as JSON, after 100 ms
/delay/{seconds}  an answer after that long, at most 3600
/status/{code}    an answer with that status, 200 to 599
/bytes/{n}        n bytes, at most 1 GiB
/pid              the id of this process
/crash            no answer: a segmentation fault
/leak/{MiB}       that much memory, never freed
/spin             no answer: a loop that never ends
";

/// The delay of a post, similar to that of a distant server.
const POST_DELAY: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(3600);
const BYTES_MAX: u64 = 1 << 30;

/// Answers a request. Some routes crash or block this process instead, on purpose.
pub async fn answer<B>(request: &Request<B>) -> Response<Payload> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let refusal = format!("{} is not allowed here: use GET or HEAD\n", request.method());
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, refusal);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let path = request.uri().path();
    let path = path.strip_prefix('/').unwrap_or(path);
    let (name, value) = match path.split_once('/') {
        Some((name, value)) => (name, Some(value)),
        None => (path, None),
    };
    match (name, value) {
        ("", None) => text(StatusCode::OK, INDEX),
        ("posts", Some(number)) => post(number).await,
        ("delay", Some(seconds)) => delay(seconds).await,
        ("status", Some(code)) => status(code),
        ("bytes", Some(count)) => bytes(count),
        ("pid", None) => text(StatusCode::OK, format!("{}\n", process::id())),
        ("crash", None) => sys::crash(),
        ("leak", Some(mebibytes)) => leak(mebibytes),
        ("spin", None) => loop {
            std::hint::spin_loop();
        },
        _ => text(StatusCode::NOT_FOUND, format!("nothing at /{path}; the routes are\n{INDEX}")),
    }
}

async fn post(number: &str) -> Response<Payload> {
    match number.parse() {
        Ok(number) if number > 0 => {
            tokio::time::sleep(POST_DELAY).await;
            typed("application/json; charset=utf-8", Payload::of(posts::post(number)))
        }
        _ => refusal(number, "the number of a post: write /posts/1"),
    }
}

async fn delay(seconds: &str) -> Response<Payload> {
    match parse_duration(seconds) {
        Ok(delay) if delay <= DELAY_MAX => {
            tokio::time::sleep(delay).await;
            text(StatusCode::OK, format!("answered after {}\n", show_duration(delay)))
        }
        _ => refusal(seconds, "a delay of 0 to 3600 seconds: write /delay/0.5"),
    }
}

fn status(code: &str) -> Response<Payload> {
    match code.parse().ok().and_then(|code: u16| StatusCode::from_u16(code).ok()) {
        // 1xx only announces an answer, for which the client would keep waiting.
        Some(status) if (200..=599).contains(&status.as_u16()) => {
            let empty =
                [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
            let body = if empty.contains(&status) { String::new() } else { format!("{status}\n") };
            text(status, body)
        }
        _ => refusal(code, "a status of a final answer, 200 to 599: write /status/404"),
    }
}

fn bytes(count: &str) -> Response<Payload> {
    match parse_size(count) {
        Ok(count) if count <= BYTES_MAX => {
            typed("application/octet-stream", Payload::repeated(count))
        }
        _ => refusal(count, "a count of at most 1 GiB: write /bytes/4096"),
    }
}

/// Allocates memory, writes to every page of it and never frees it. If the allocation fails, the
/// process aborts.
fn leak(mebibytes: &str) -> Response<Payload> {
    let bytes = mebibytes.parse().ok().and_then(|count: u32| (count as usize).checked_mul(1 << 20));
    let Some(bytes) = bytes else {
        return refusal(mebibytes, "a whole number of MiB: write /leak/64");
    };
    std::hint::black_box(vec![0xa5_u8; bytes].leak());
    text(StatusCode::OK, format!("leaked {mebibytes} MiB\n"))
}

fn refusal(value: &str, wanted: &str) -> Response<Payload> {
    text(StatusCode::BAD_REQUEST, format!("`{value}` is not {wanted}\n"))
}

fn text(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Payload> {
    let mut response = typed("text/plain; charset=utf-8", Payload::of(body));
    *response.status_mut() = status;
    response
}

fn typed(content_type: &'static str, body: Payload) -> Response<Payload> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
