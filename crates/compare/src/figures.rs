//! Computes figures: for each run from its jobs, and for all runs of a way their median, minimum
//! and maximum.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    plan::{Fault, Plan, Way},
    records::{Death, Job, JobEnd, Run},
};

/// A figure over all rounds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Spread {
    /// Median of all rounds.
    pub median: f64,
    /// Smallest value of all rounds.
    pub min: f64,
    /// Largest value of all rounds.
    pub max: f64,
}

/// Numbers of jobs by how they ended, over all rounds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Counts {
    /// Jobs with the right answer.
    pub ok: Spread,
    /// Jobs without an answer.
    pub lost: Spread,
    /// Jobs with a wrong answer.
    pub wrong: Spread,
    /// Jobs that did not end in time.
    pub hung: Spread,
}

/// All figures of a way under a fault. Times are in milliseconds; `None` if there is nothing to
/// measure.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// The fault that was injected.
    pub fault: Fault,
    /// The way that ran the jobs.
    pub way: Way,
    /// Number of runs.
    pub rounds: u32,
    /// Time from the start of the way to the end of its last job.
    pub wall_ms: Option<Spread>,
    /// Right answers per second.
    pub per_second: Option<Spread>,
    /// Median latency of right answers.
    pub p50_ms: Option<Spread>,
    /// 99th percentile of the latency of right answers.
    pub p99_ms: Option<Spread>,
    /// Largest latency of right answers.
    pub max_ms: Option<Spread>,
    /// Latency of the short jobs that run beside busy ones; only with [`Work::Mixed`].
    ///
    /// [`Work::Mixed`]: super::plan::Work::Mixed
    pub short_ms: Option<Spread>,
    /// CPU time of all its processes.
    pub cpu_ms: Option<Spread>,
    /// Peak memory of all its processes together, in bytes.
    pub memory_bytes: Option<Spread>,
    /// Shortest time from requesting a thread, task or process to its first job. The shortest,
    /// because most of them also wait for a processor.
    pub start_ms: Option<Spread>,
    /// Context switches of all its processes.
    pub switches: Option<Spread>,
    /// Time spent serialising and parsing jobs and answers.
    pub crossing_ms: Option<Spread>,
    /// Time from the start of a faulty job until the next job started in its place, or could have.
    pub recovery_ms: Option<Spread>,
    /// Jobs without a right answer.
    pub not_ok: Spread,
    /// Numbers of jobs by how they ended.
    pub jobs: Counts,
    /// Processes, workers, threads and tasks that died in all rounds.
    pub died: Vec<Death>,
    /// Whether in some round a place never ran a job again.
    pub is_crippled: bool,
    /// Why a run failed, if one did.
    pub error: Option<String>,
}

impl Spread {
    /// Returns the spread of these values; `None` if there are none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { median: median(&values)?, min, max })
    }
}

/// Returns the median of sorted values; of an even number, the mean of the middle two.
fn median(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(sorted[half - 1], upper)) }
}

/// Returns the smallest of the sorted values that `of_thousand` per mille of them do not exceed.
fn quantile(sorted: &[f64], of_thousand: usize) -> Option<f64> {
    let rank = (sorted.len() * of_thousand).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied()
}

impl Run {
    /// Counts the jobs that ended in this way.
    #[must_use]
    pub fn count(&self, end: JobEnd) -> usize {
        self.jobs.iter().filter(|job| job.end == end).count()
    }

    /// Returns the latencies of right answers in milliseconds, sorted.
    #[must_use]
    pub fn latencies(&self) -> Vec<f64> {
        let good = self.jobs.iter().filter(|job| job.end == JobEnd::Ok);
        let mut times: Vec<f64> = good.filter_map(|job| job.ms).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    /// Returns the longest time that a faulty job occupied its place, in milliseconds: until the
    /// next job started there, or, if none was left, until one could have. `None` if some place was
    /// never free again.
    #[must_use]
    pub fn recovery_ms(&self) -> Option<f64> {
        let faulty = self.jobs.iter().filter(|job| job.faulty);
        let times: Vec<_> = faulty.map(|job| self.next_in_its_place(job)).collect();
        if times.is_empty() || times.contains(&None) {
            return None;
        }
        times.into_iter().flatten().reduce(f64::max)
    }

    fn next_in_its_place(&self, faulty: &Job) -> Option<f64> {
        let (place, began) = (faulty.place?, faulty.began_ms?);
        let others = self.jobs.iter().filter(|job| job.place == Some(place));
        let later = others.filter_map(|job| job.began_ms).filter(|other| *other > began);
        later.reduce(f64::min).map(|next| next - began).or(faulty.held_ms)
    }

    /// Whether a place was lost for good: because its process or thread died, or because a job in
    /// it never ends.
    #[must_use]
    pub fn is_crippled(&self) -> bool {
        self.stuck || self.died.iter().any(|death| ["process", "thread"].contains(&&*death.what))
    }
}

/// Computes the figures of each way under each fault, in the order of [`Fault::ALL`] and
/// [`Way::ALL`].
#[must_use]
pub fn rows(plan: &Plan, runs: &[Run]) -> Vec<Row> {
    let mut groups: Vec<Vec<&Run>> = Vec::new();
    for run in runs {
        let is_its = |group: &&mut Vec<&Run>| {
            group.iter().any(|other| (other.fault, other.way) == (run.fault, run.way))
        };
        match groups.iter_mut().find(is_its) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    let mut rows: Vec<Row> = groups.iter().filter_map(|runs| row(plan, runs)).collect();
    let order = |row: &Row| {
        let fault = Fault::ALL.iter().position(|(_, fault)| *fault == row.fault);
        (fault, Way::ALL.iter().position(|(_, way)| *way == row.way))
    };
    rows.sort_by_key(order);
    rows
}

fn row(plan: &Plan, runs: &[&Run]) -> Option<Row> {
    let first = runs.first()?;
    let spread = |figure: &dyn Fn(&Run) -> Option<f64>| {
        Spread::of(runs.iter().filter_map(|run| figure(run)))
    };
    let latency = |of_thousand| {
        Spread::of(runs.iter().filter_map(|run| quantile(&run.latencies(), of_thousand)))
    };
    let count = |end| Spread::of(runs.iter().map(|run| real(run.count(end))));
    Some(Row {
        fault: first.fault,
        way: first.way,
        rounds: u32::try_from(runs.len()).unwrap_or(u32::MAX),
        wall_ms: spread(&|run| Some(run.wall_ms)),
        per_second: spread(&|run| Some(real(run.count(JobEnd::Ok)) / run.wall_ms * 1e3)),
        p50_ms: latency(500),
        p99_ms: latency(990),
        max_ms: latency(1000),
        short_ms: spread(&|run| {
            let short = run.jobs.iter().filter(|job| plan.is_short(job.id));
            Spread::of(short.filter_map(|job| job.ms)).map(|short| short.median)
        }),
        cpu_ms: spread(&|run| Some(run.cpu_ms)),
        memory_bytes: spread(&|run| run.memory_bytes.map(real)),
        start_ms: spread(&|run| {
            Spread::of(run.jobs.iter().filter_map(|job| job.start_ms)).map(|start| start.min)
        }),
        switches: spread(&|run| Some(real(run.switches))),
        crossing_ms: spread(&|run| run.crossing_ms),
        recovery_ms: spread(&Run::recovery_ms),
        not_ok: Spread::of(runs.iter().map(|run| real(run.jobs.len() - run.count(JobEnd::Ok))))?,
        jobs: Counts {
            ok: count(JobEnd::Ok)?,
            lost: count(JobEnd::Lost)?,
            wrong: count(JobEnd::Wrong)?,
            hung: count(JobEnd::Hung)?,
        },
        died: deaths(runs),
        is_crippled: runs.iter().any(|run| run.is_crippled()),
        error: runs.iter().find_map(|run| run.error.clone()),
    })
}

fn deaths(runs: &[&Run]) -> Vec<Death> {
    let mut sum: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for death in runs.iter().flat_map(|run| &run.died) {
        *sum.entry((&death.what, &death.how)).or_default() += death.count;
    }
    let death = |((what, how), count): ((&str, &str), u64)| Death {
        what: what.into(),
        how: how.into(),
        count,
    };
    sum.into_iter().map(death).collect()
}

#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^53")]
fn real(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&hundred, 500), Some(50.0));
        assert_eq!(quantile(&hundred, 990), Some(99.0));
        assert_eq!(quantile(&hundred, 1000), Some(100.0));
        assert_eq!(quantile(&[7.0], 990), Some(7.0));
        assert_eq!(quantile(&[], 500), None);
    }

    #[test]
    fn a_spread_has_its_median_between() {
        let spread = Spread::of([3.0, 1.0, 2.0, 10.0]);
        assert_eq!(spread, Some(Spread { median: 2.5, min: 1.0, max: 10.0 }));
        assert_eq!(Spread::of([]), None);
    }
}
