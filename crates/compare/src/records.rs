//! Reads what became of the jobs: from the lines that a way writes itself, or from the records of a
//! supervisor. A job that neither mentions is lost.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;

use super::{
    bodies::Check,
    child::Observed,
    crossing,
    plan::{Fault, Plan, Way},
    stopwatch::Line,
};

/// How a job ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobEnd {
    /// The answer is right.
    Ok,
    /// The answer is wrong.
    Wrong,
    /// The job started and did not end before its timeout.
    Hung,
    /// There is no answer.
    Lost,
}

/// What is known about a job. Times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Job {
    /// Id of the job, from 1.
    pub id: u64,
    /// How the job ended.
    pub end: JobEnd,
    /// Whether the plan made this job faulty.
    pub faulty: bool,
    /// The concurrent place in which it ran, from 1.
    pub place: Option<u32>,
    /// When it started, since the start of its way.
    pub began_ms: Option<f64>,
    /// Latency: from when the job was handed out until it ended.
    pub ms: Option<f64>,
    /// How long a job without an answer occupied its place, if known.
    pub held_ms: Option<f64>,
    /// Time to start the task, thread or process that ran it, if that was started for this job.
    pub start_ms: Option<f64>,
}

/// A kind of process, thread or task that died, and how often.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Death {
    /// What died, such as `process`, `worker`, `thread` or `task`.
    pub what: String,
    /// How it died, such as `SIGSEGV`, `code 0`, `panic` or `timeout`.
    pub how: String,
    /// Number of such deaths.
    pub count: u64,
}

/// One run of all jobs in one way.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The way that ran the jobs.
    pub way: Way,
    /// The fault that was injected.
    pub fault: Fault,
    /// Number of the round, from 1.
    pub round: u32,
    /// Time from the start of the way to the end of its last job, or to its own end if it did not
    /// finish all jobs.
    pub wall_ms: f64,
    /// CPU time of all its processes.
    pub cpu_ms: f64,
    /// Peak memory of all its processes together; `None` if the run was too short to sample.
    pub memory_bytes: Option<u64>,
    /// Context switches of all its processes.
    pub switches: u64,
    /// Time spent serialising and parsing jobs and answers; `None` if none cross a process boundary.
    pub crossing_ms: Option<f64>,
    /// What died.
    pub died: Vec<Death>,
    /// Whether the way was killed because it wrote nothing for too long.
    pub stuck: bool,
    /// Why the run failed, if it did.
    pub error: Option<String>,
    /// All jobs, ordered by id.
    #[serde(skip)]
    pub jobs: Vec<Job>,
}

/// Reads the output of one run.
pub(super) fn read(way: Way, plan: &Plan, round: u32, observed: &Observed) -> Run {
    let mut reading = Reading::new(plan);
    let begun = Instant::now();
    for (at, line) in &observed.lines {
        if way.is_isolated() {
            reading.record(way, *at, &serde_json::from_slice(line).unwrap_or_default());
        } else if let Ok(line) = serde_json::from_slice(line) {
            reading.line(*at, line);
        }
    }
    let crossing = way.is_isolated().then(|| observed.crossing + begun.elapsed());
    let crossing_ms = crossing.map(|took| millis(took) + nanos(reading.crossing_ns));
    reading.conclude(way, observed);
    let last_end = reading.last_end.filter(|_| reading.jobs.iter().all(|job| job.ms.is_some()));
    let is_barren = reading.jobs.iter().all(|job| job.end != JobEnd::Ok);
    let complaint = observed.stderr.lines().next().filter(|_| is_barren && !reading.is_faulty);
    let error = reading.error.take().or(complaint.map(|line| {
        // The caller adds this prefix again.
        line.trim_start_matches("supervisor: ").to_owned()
    }));
    Run {
        way,
        fault: plan.fault,
        round,
        wall_ms: millis(last_end.unwrap_or(observed.ended) - observed.began),
        cpu_ms: millis(observed.exit.cpu),
        memory_bytes: observed.memory_bytes,
        switches: observed.exit.switches,
        crossing_ms,
        died: reading.deaths(),
        stuck: observed.is_stuck,
        error,
        jobs: reading.jobs,
    }
}

struct Reading {
    check: Check,
    is_faulty: bool,
    jobs: Vec<Job>,
    died: BTreeMap<(String, String), u64>,
    crossing_ns: u64,
    last_end: Option<Instant>,
    has_finished: bool,
    error: Option<String>,
}

impl Reading {
    fn new(plan: &Plan) -> Self {
        let job = |id| Job {
            id,
            end: JobEnd::Lost,
            faulty: plan.is_faulty(id),
            place: None,
            began_ms: None,
            ms: None,
            held_ms: None,
            start_ms: None,
        };
        let jobs = (1..=plan.jobs).map(job).collect();
        let (died, crossing_ns) = (BTreeMap::new(), 0);
        let (last_end, has_finished, error) = (None, false, None);
        let (check, is_faulty) = (Check::new(plan), plan.fault != Fault::None);
        Self { check, is_faulty, jobs, died, crossing_ns, last_end, has_finished, error }
    }

    /// Returns the job with this id; `None` if the plan has no such job.
    fn job(&mut self, id: u64) -> Option<&mut Job> {
        self.jobs.get_mut(usize::try_from(id.checked_sub(1)?).ok()?)
    }

    fn count(&mut self, what: &str, how: &str) {
        *self.died.entry((what.into(), how.into())).or_default() += 1;
    }

    /// Applies a line that a way wrote itself.
    fn line(&mut self, arrived: Instant, line: Line) {
        match line {
            Line::Began { id, place, at } => {
                if let Some(job) = self.job(id) {
                    (job.place, job.began_ms) = (Some(place), Some(nanos(at)));
                }
            }
            Line::Ended { id, place, given, ended, start, right } => {
                if let Some(job) = self.job(id) {
                    job.end = if right { JobEnd::Ok } else { JobEnd::Wrong };
                    job.place = Some(place);
                    job.began_ms = job.began_ms.or(Some(nanos(given)));
                    job.ms = Some(nanos(ended.saturating_sub(given)));
                    job.start_ms = start.map(nanos);
                    self.last_end = Some(arrived);
                }
            }
            Line::Died { what, how } => self.count(&what, &how),
            Line::Failed { why } => self.error = Some(why),
            Line::Finished => self.has_finished = true,
        }
    }

    /// Applies a record of a supervisor.
    fn record(&mut self, way: Way, arrived: Instant, record: &Value) {
        match record["type"].as_str() {
            Some("job") => self.job_record(way, arrived, record),
            Some("ended") if way == Way::Workers => {
                if let Some(how) = how(record) {
                    self.count("worker", &how);
                }
            }
            _ => {}
        }
    }

    fn job_record(&mut self, way: Way, arrived: Instant, record: &Value) {
        let attempt = record["attempts"].as_array().and_then(|attempts| attempts.last());
        let (Some(id), Some(attempt)) = (record["id"].as_u64(), attempt) else { return };
        let answer = [&record["reply"], &attempt["stdout"]].into_iter().find_map(Value::as_str);
        let crossed = answer.and_then(crossing::read);
        let is_right = crossed.as_ref().map(|crossed| self.check.is_right(id, &crossed.answer));
        let end = match is_right {
            Some(true) if record["status"] == "ok" => JobEnd::Ok,
            Some(_) => JobEnd::Wrong,
            None if record["cause"] == "timeout" => JobEnd::Hung,
            None => JobEnd::Lost,
        };
        self.crossing_ns += crossed.as_ref().map_or(0, |crossed| crossed.crossing_ns);
        if way == Way::Each && end != JobEnd::Ok {
            let how = how(attempt).unwrap_or_else(|| "code 0".into());
            self.count("process of its own", &how);
        }
        let (began_ms, ms) = (attempt["began_ms"].as_f64(), attempt["duration_ms"].as_f64());
        let place = attempt["worker"].as_u64().and_then(|place| u32::try_from(place).ok());
        let inside = crossed.map(|crossed| nanos(crossed.work_ns + crossed.crossing_ns));
        let is_first =
            attempt["generation"] == 1 && !self.jobs.iter().any(|job| job.place == place);
        let Some(job) = self.job(id) else { return };
        (job.end, job.place, job.began_ms) = (end, place, began_ms);
        job.ms = ms.filter(|_| is_right.is_some());
        job.held_ms = ms.filter(|_| is_right.is_none());
        job.start_ms = match way {
            Way::Each => ms.zip(inside).map(|(ms, inside)| (ms - inside).max(0.0)),
            // The run starts all workers at its beginning.
            _ => began_ms.filter(|_| is_first),
        };
        if is_right.is_some() {
            self.last_end = Some(arrived);
        }
    }

    /// Applies the end of the process.
    fn conclude(&mut self, way: Way, observed: &Observed) {
        if observed.is_stuck {
            self.count("process", "stuck and killed");
            for job in &mut self.jobs {
                if job.began_ms.is_some() && job.ms.is_none() {
                    job.end = JobEnd::Hung;
                }
            }
        } else if !way.is_isolated() && !self.has_finished {
            let status = observed.exit.status;
            let how = status.signal_text().unwrap_or(format!("code {}", status.shell_code()));
            self.count("process", &how);
        }
    }

    fn deaths(&self) -> Vec<Death> {
        let death = |((what, how), count): (&(String, String), &u64)| Death {
            what: what.clone(),
            how: how.clone(),
            count: *count,
        };
        self.died.iter().map(death).collect()
    }
}

/// Returns how a worker or a command died; `None` if the supervisor had stopped it.
fn how(record: &Value) -> Option<String> {
    let status = || match (record["signal"].as_str(), record["code"].as_i64()) {
        (Some(signal), _) => signal.split(',').next().unwrap_or(signal).to_owned(),
        (None, Some(code)) => format!("code {code}"),
        (None, None) => "unknown".into(),
    };
    match record["cause"].as_str()? {
        "exit" | "signal" | "cpu_limit" => Some(status()),
        "memory" => Some(format!("memory, {}", status())),
        cause @ ("timeout" | "protocol" | "could_not_start") => Some(cause.replace('_', " ")),
        _ => None,
    }
}

fn nanos(nanos: u64) -> f64 {
    millis(Duration::from_nanos(nanos))
}

/// Returns the time in milliseconds, rounded to the nanosecond.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e9).round() / 1e6
}
