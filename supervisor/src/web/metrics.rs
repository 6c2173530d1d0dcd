//! The metrics of a run in the text format of Prometheus, by its conventions for names, units and
//! types.

use std::fmt::Write;

use records::{
    Count, Snapshot,
    names::{self, RUN_STATES, WORKER_STATES},
};

/// The content type.
pub(super) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

struct Text(String);

/// The metrics of a run at one moment.
pub(super) fn write(run: &Snapshot) -> String {
    let mut text = Text(String::with_capacity(8 << 10));
    run_info(run, &mut text);
    if run.run.has_jobs {
        jobs(run, &mut text);
    }
    workers(run, &mut text);
    let help = "Bytes of output that were dropped because nobody took them.";
    text.family("supervisor_log_dropped_bytes_total", "counter", help);
    text.sample("supervisor_log_dropped_bytes_total", &[], run.dropped_bytes);
    text.0
}

fn run_info(run: &Snapshot, text: &mut Text) {
    text.family("supervisor_build_info", "gauge", "The version of the supervisor.");
    text.sample("supervisor_build_info", &[("version", &run.run.version)], 1);
    let help = "Start of the run, in seconds since 1970.";
    text.family("supervisor_start_time_seconds", "gauge", help);
    let began = run.run.began_unix_ms.as_micros();
    text.sample("supervisor_start_time_seconds", &[], seconds(began, 1e6));
    text.family("supervisor_state", "gauge", "1 for the state that the run is in.");
    for state in RUN_STATES {
        text.sample("supervisor_state", &[("state", state)], u64::from(run.state == state));
    }
}

fn jobs(run: &Snapshot, text: &mut Text) {
    let jobs = run.jobs.tally;
    text.family("supervisor_jobs_accepted_total", "counter", "Jobs taken from the source.");
    text.sample("supervisor_jobs_accepted_total", &[], jobs.accepted);
    let help = "Jobs that have ended, by status and cause.";
    text.family("supervisor_jobs_total", "counter", help);
    text.sample("supervisor_jobs_total", &[("status", names::OK), ("cause", "")], jobs.ok);
    for Count { status, cause, count } in &run.failed {
        let status = status.as_deref().unwrap_or("");
        text.sample("supervisor_jobs_total", &[("status", status), ("cause", cause)], *count);
    }
    for (status, count) in [(names::INTERRUPTED, jobs.interrupted), (names::NOT_RUN, jobs.not_run)]
    {
        text.sample("supervisor_jobs_total", &[("status", status), ("cause", "")], count);
    }
    let help = "Attempts of jobs that have ended, by cause; ok for those that succeeded.";
    text.family("supervisor_job_attempts_total", "counter", help);
    for Count { cause, count, .. } in &run.attempts {
        text.sample("supervisor_job_attempts_total", &[("cause", cause)], *count);
    }
    let help = "Attempts that did not succeed and were followed by another.";
    text.family("supervisor_job_retries_total", "counter", help);
    text.sample("supervisor_job_retries_total", &[], jobs.retried);
    let gauges = [
        ("supervisor_jobs_queued", "Jobs that wait to be sent to a worker.", jobs.queued),
        ("supervisor_jobs_in_flight", "Jobs that were sent to a worker.", jobs.in_flight),
        ("supervisor_jobs_running", "Jobs that workers run.", run.jobs.running),
    ];
    for (name, help, value) in gauges {
        text.family(name, "gauge", help);
        text.sample(name, &[], value);
    }
    service(run, text);
}

fn service(run: &Snapshot, text: &mut Text) {
    let help = "Duration of attempts of jobs that have ended.";
    text.family("supervisor_job_service_time_seconds", "histogram", help);
    let bucket = "supervisor_job_service_time_seconds_bucket";
    for boundary in &run.service.buckets {
        let le = seconds(boundary.below_ns, 1e9).to_string();
        text.sample(bucket, &[("le", &le)], boundary.count);
    }
    text.sample(bucket, &[("le", "+Inf")], run.service.count);
    let sum = seconds(run.service.sum_ms.as_micros(), 1e6);
    text.sample("supervisor_job_service_time_seconds_sum", &[], sum);
    text.sample("supervisor_job_service_time_seconds_count", &[], run.service.count);
}

fn workers(run: &Snapshot, text: &mut Text) {
    text.family("supervisor_workers", "gauge", "Workers by state, and slots without one.");
    for state in WORKER_STATES {
        let count = run.workers.iter().filter(|worker| worker.state == state).count();
        text.sample("supervisor_workers", &[("state", state)], count);
    }
    text.family("supervisor_workers_wanted", "gauge", "The wanted number of workers.");
    text.sample("supervisor_workers_wanted", &[], run.workers_wanted);
    let help = "Workers that were replaced, by the cause of their end.";
    text.family("supervisor_worker_restarts_total", "counter", help);
    for Count { cause, count, .. } in &run.restarts {
        text.sample("supervisor_worker_restarts_total", &[("cause", cause)], *count);
    }
    let help = "Memory that a worker and the processes below it hold.";
    text.family("supervisor_worker_memory_bytes", "gauge", help);
    for worker in &run.workers {
        let Some(bytes) = worker.memory_bytes else { continue };
        // During a roll a slot has two workers.
        let id = worker.id;
        let (slot, generation) = (id.worker.to_string(), id.generation.to_string());
        let labels = [("worker", slot.as_str()), ("generation", &generation)];
        text.sample("supervisor_worker_memory_bytes", &labels, bytes);
    }
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (nth, (label, value)) in labels.iter().enumerate() {
            let open = if nth == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A time in seconds, of which `per_second` make one.
#[expect(clippy::cast_precision_loss, reason = "exact for centuries of microseconds")]
fn seconds(time: u64, per_second: f64) -> f64 {
    time as f64 / per_second
}
