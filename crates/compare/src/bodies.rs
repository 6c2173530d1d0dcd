//! The work that jobs do. Each kind exists in two forms that do the same: async, for ways that use
//! a runtime, and blocking, for the others.

use std::{
    fmt::Write as _,
    io,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use connection::{
    fetch::{Fetcher, Limits, Proxies, Statuses},
    request::{Request, parse_url},
};
use serde::{Deserialize, Serialize};
use text::units::show_duration;
use tokio::runtime::{Builder, Runtime};

use super::{
    faults,
    plan::{Fault, Kind, Plan},
};

/// The upstream answers with a single line.
const BODY_BYTES_MAX: u64 = 64 << 10;

/// A job as it is sent to a worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) id: u64,
    /// Payload.
    pub(super) load: String,
}

/// The reply to a [`Task`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) id: u64,
    /// Result of the work.
    pub(super) result: String,
    /// Payload of the job, unchanged.
    pub(super) load: String,
}

/// Returns all jobs of a plan.
pub(super) fn tasks(plan: &Plan) -> impl Iterator<Item = Task> + use<> {
    let loads = Loads::new(plan);
    (1..=plan.jobs).map(move |id| Task { id, load: loads.of(id).to_owned() })
}

/// Payloads of jobs. Each is a different slice of one text, so that making payloads costs no way
/// any time.
#[derive(Debug)]
struct Loads {
    text: String,
    bytes: usize,
}

impl Loads {
    const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";

    fn new(plan: &Plan) -> Self {
        let bytes = plan.payload_bytes;
        Self { text: Self::LETTERS.repeat(bytes / Self::LETTERS.len() + 2), bytes }
    }

    fn of(&self, id: u64) -> &str {
        let start = usize::try_from(id).unwrap_or(0) % Self::LETTERS.len();
        &self.text[start..start + self.bytes]
    }
}

/// Checks answers against the expected results.
#[derive(Debug)]
pub(super) struct Check {
    plan: Plan,
    loads: Loads,
}

impl Check {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { plan: plan.clone(), loads: Loads::new(plan) }
    }

    /// Whether this is the right answer to the job with this id.
    pub(super) fn is_right(&self, id: u64, answer: &Answer) -> bool {
        answer.id == id
            && answer.result == expected(self.plan.kind(id))
            && answer.load == self.loads.of(id)
    }
}

fn expected(kind: Kind) -> String {
    match kind {
        Kind::Fetch(delay) => format!("answered after {}\n", show_duration(delay)),
        Kind::Wait(_) => "waited".into(),
        Kind::Busy(_) => "was busy".into(),
        // Iterative, unlike the job itself: two algorithms that agree are probably right.
        Kind::Fib(n) => (0..n).fold((0_u64, 1), |(a, b), _| (b, a.saturating_add(b))).0.to_string(),
        Kind::Nothing => "done".into(),
    }
}

/// State that the jobs of one process share.
#[derive(Debug)]
pub(super) struct Bodies {
    plan: Plan,
    /// Locked by every job, as a counter, cache or log would be.
    shared: Mutex<u64>,
}

impl Bodies {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { plan: plan.clone(), shared: Mutex::default() }
    }

    /// Starts a job: injects its fault if the job is faulty, otherwise counts the job.
    fn begin(&self, id: u64) -> Kind {
        let fault = if self.plan.is_faulty(id) { self.plan.fault } else { Fault::None };
        faults::inject(fault, id, &self.shared);
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.plan.kind(id)
    }

    /// Runs a job as an async task.
    pub(super) async fn run(&self, client: &Client, task: Task) -> Answer {
        let kind = self.begin(task.id);
        let result = match kind {
            Kind::Fetch(delay) => client.fetch(delay).await,
            Kind::Wait(time) => {
                tokio::time::sleep(time).await;
                expected(kind)
            }
            Kind::Busy(_) | Kind::Fib(_) | Kind::Nothing => compute(kind),
        };
        Answer { id: task.id, result, load: task.load }
    }

    /// Runs a job and blocks the thread until it has finished.
    pub(super) fn block(&self, client: &BlockingClient, task: Task) -> Answer {
        let kind = self.begin(task.id);
        let result = match kind {
            Kind::Fetch(delay) => client.fetch(delay),
            Kind::Wait(time) => {
                thread::sleep(time);
                expected(kind)
            }
            Kind::Busy(_) | Kind::Fib(_) | Kind::Nothing => compute(kind),
        };
        Answer { id: task.id, result, load: task.load }
    }
}

/// Runs the kinds of work that only use the CPU, without yielding.
fn compute(kind: Kind) -> String {
    match kind {
        Kind::Fib(n) => fibonacci(n).to_string(),
        Kind::Busy(time) => {
            let begun = Instant::now();
            while begun.elapsed() < time {
                std::hint::spin_loop();
            }
            expected(kind)
        }
        kind => expected(kind),
    }
}

fn fibonacci(n: u32) -> u64 {
    if n < 2 { n.into() } else { fibonacci(n - 1) + fibonacci(n - 2) }
}

/// Async HTTP client for the upstream; `None` if the work makes no requests.
#[derive(Clone, Debug)]
pub(super) struct Client(Option<(Fetcher, String)>);

impl Client {
    /// Creates a client, or an empty value at no cost if the work makes no requests.
    pub(super) fn new(plan: &Plan) -> io::Result<Self> {
        if !plan.work.is_online() {
            return Ok(Self(None));
        }
        let limits = Limits { timeout: Duration::from_secs(3600), body_bytes_max: BODY_BYTES_MAX };
        let fetcher = Fetcher::new(limits, Statuses::Success, Proxies::None);
        Ok(Self(Some((fetcher.map_err(io::Error::other)?, plan.upstream.clone()))))
    }

    async fn fetch(&self, delay: Duration) -> String {
        let Some((fetcher, upstream)) = &self.0 else { return String::new() };
        let mut url = upstream.clone();
        let _ = write!(url, "/delay/{}", delay.as_secs_f64());
        let Ok(url) = parse_url(&url) else { return format!("no URL: {url}") };
        match fetcher.fetch(Request::get(url)).await.answer {
            Ok(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
            Err(error) => error.to_string(),
        }
    }
}

/// Blocking counterpart of [`Client`].
#[derive(Debug)]
pub(super) struct BlockingClient(Option<(Runtime, Client)>);

impl BlockingClient {
    pub(super) fn new(plan: &Plan) -> io::Result<Self> {
        if !plan.work.is_online() {
            return Ok(Self(None));
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self(Some((runtime, Client::new(plan)?))))
    }

    fn fetch(&self, delay: Duration) -> String {
        self.0
            .as_ref()
            .map_or_else(String::new, |(runtime, client)| runtime.block_on(client.fetch(delay)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_fibonacci_algorithms_agree() {
        for n in 0..20 {
            assert_eq!(expected(Kind::Fib(n)), fibonacci(n).to_string());
        }
    }
}
