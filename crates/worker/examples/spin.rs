//! `spin MICROSECONDS`: keeps the processor busy for that long in each job, by the clock, then
//! replies with the payload. The default is 100.

use std::{
    convert::Infallible,
    env,
    time::{Duration, Instant},
};

fn main() -> Result<(), worker::ServeError> {
    let argument = env::args().nth(1).and_then(|text| text.parse().ok());
    let time = Duration::from_micros(argument.unwrap_or(100));
    worker::serve(move |job| {
        let began = Instant::now();
        while began.elapsed() < time {}
        Ok::<_, Infallible>(job.into_bytes())
    })
}
