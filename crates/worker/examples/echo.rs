//! Replies with the payload. This is the smallest possible worker.

use std::convert::Infallible;

fn main() -> Result<(), worker::ServeError> {
    worker::serve(|job| Ok::<_, Infallible>(job.into_bytes()))
}
