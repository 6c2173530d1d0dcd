//! Replies with the payload: the smallest worker there is.

use std::convert::Infallible;

fn main() -> Result<(), worker::ServeError> {
    worker::serve(|job| Ok::<_, Infallible>(job.into_bytes()))
}
