//! [`Payload`], a response body that repeats one chunk, so that a long body needs little memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// The chunk that [`Payload::repeated`] repeats.
static FILLING: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// A response body: `chunk` again and again until `left` bytes are sent.
#[derive(Debug, Clone)]
pub struct Payload {
    chunk: Bytes,
    left: u64,
}

impl Payload {
    /// A body with this content.
    pub fn of(content: impl Into<Bytes>) -> Self {
        let chunk = content.into();
        let left = chunk.len() as u64;
        Self { chunk, left }
    }

    /// A body of `length` bytes, each of them `x`.
    #[must_use]
    pub fn repeated(length: u64) -> Self {
        Self { chunk: Bytes::from_static(&FILLING), left: length }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let whole = self.chunk.len();
        let length = usize::try_from(self.left).map_or(whole, |left| left.min(whole));
        self.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(self.chunk.slice(..length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
