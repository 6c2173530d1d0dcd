//! How does a response body of any length stay small in memory? As one chunk, repeated.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// What [`Payload::repeated`] repeats.
static FILLING: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// The body of every response of ours: `chunk` over and over until `left` bytes are sent.
#[derive(Debug, Clone)]
pub struct Payload {
    chunk: Bytes,
    left: u64,
}

impl Payload {
    /// A body that is `content`.
    pub fn of(content: impl Into<Bytes>) -> Self {
        let chunk = content.into();
        let left = chunk.len() as u64;
        Self { chunk, left }
    }

    /// A body of `length` bytes `x`.
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
