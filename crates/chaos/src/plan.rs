//! The plan of a round: everything that can be decided in advance, drawn from the seed.

use std::time::Duration;

use crate::{books::Rules, planted::Planted, random::Random, reader::Pace};

/// The plan of a round, which has one input and one journal and lasts until every job is settled.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) jobs: Vec<(u64, Planted)>,
    /// Jobs that are added to the input before the second run.
    pub(crate) added: Vec<(u64, Planted)>,
    pub(crate) reorders: bool,
    pub(crate) rules: Rules,
    pub(crate) options: Vec<String>,
    pub(crate) pace: Pace,
    pub(crate) on_disk: Option<OnDisk>,
    /// How the runs end, and after which time; the run after these ends by itself.
    pub(crate) ends: Vec<(Duration, Ending)>,
}

/// The file that is on the small disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnDisk {
    Journal,
    Output,
}

/// How a run is ended before its jobs are done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    KillSupervisor,
    KillWarden,
    /// Kills the warden, then the supervisor, at the same moment.
    KillBoth,
    /// Asks the run to stop, with SIGTERM.
    Terminate,
    FillDisk,
    /// Starts the run on a full disk.
    StayFull,
    /// Cuts off the end of the input while the run reads it. The next run has all of it again.
    CutInput,
}

impl Ending {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KillSupervisor => "supervisor: kill -9",
            Self::KillWarden => "warden: kill -9",
            Self::KillBoth => "supervisor and warden: kill -9",
            Self::Terminate => "supervisor: asked to stop",
            Self::FillDisk => "disk: full",
            Self::StayFull => "disk: full from the start",
            Self::CutInput => "input: cut off",
        }
    }
}

impl Plan {
    pub(crate) fn new(seed: u64, has_disk: bool) -> Self {
        let random = &mut Random::new(seed);
        let on_disk = [OnDisk::Journal, OnDisk::Output];
        let on_disk = random.pick(&on_disk).filter(|_| has_disk && random.chance(40));
        let (mut jobs, workers) = jobs(random);
        let rules = Rules { retries: 1, crash_retries: 1, lost_fails: random.chance(25) };
        let most = if random.chance(30) { jobs.len() / 10 } else { 0 };
        let added = jobs.split_off(jobs.len() - most);
        Self {
            jobs,
            added,
            reorders: random.chance(30),
            rules,
            options: options(random, rules, workers),
            pace: random.pick(&Pace::ALL).unwrap_or(Pace::Prompt),
            on_disk,
            ends: ends(random, on_disk.is_some()),
        }
    }
}

/// Draws the jobs and the number of workers: many short jobs or fewer long ones, with harmful jobs
/// among them.
fn jobs(random: &mut Random) -> (Vec<(u64, Planted)>, u64) {
    let is_stream = random.chance(30);
    let (count, workers) = match is_stream {
        true => (random.between(2000, 6000), random.between(1, 3)),
        false => (random.between(100, 400), random.between(2, 5)),
    };
    let usual = if is_stream { Planted::Fine } else { Planted::Slow };
    let mut planted: Vec<_> = (0..count).map(|_| usual).collect();
    for _ in 0..random.between(5, 40) {
        planted.extend(random.pick(&Planted::QUICK));
    }
    for _ in 0..random.between(0, workers.min(3)) {
        planted.extend(random.pick(&Planted::LONG));
    }
    random.shuffle(&mut planted);
    ((1..).zip(planted).collect(), workers)
}

fn options(random: &mut Random, rules: Rules, workers: u64) -> Vec<String> {
    let sync = random.pick(&["always", "batch", "batch", "off"]).unwrap_or("batch");
    let depth = random.pick(&["auto", "auto", "1", "16"]).unwrap_or("auto");
    let Rules { retries, crash_retries, lost_fails } = rules;
    let on_lost = if lost_fails { "fail" } else { "rerun" };
    let mut options = format!(
        "--workers {workers} --depth {depth} --sync {sync} --on-lost {on_lost} --retries {retries} --retry-delay 20ms \
         --crash-retries {crash_retries} --timeout 1s --grace 1s --memory 64M --limit nofile=64 \
         --format jsonl --progress none"
    );
    if random.chance(25) {
        options.push_str(" --keep-order");
    }
    if random.chance(25) {
        options.push_str(" --recycle-jobs 40");
    }
    options.split_whitespace().map(str::to_owned).collect()
}

fn ends(random: &mut Random, has_disk: bool) -> Vec<(Duration, Ending)> {
    // A series of quick deaths.
    if random.chance(20) {
        let after = |random: &mut Random| Duration::from_millis(random.between(5, 150));
        let deaths = 0..random.between(20, 60);
        return deaths.map(|_| (after(random), Ending::KillSupervisor)).collect();
    }
    let kinds = [
        Ending::KillSupervisor,
        Ending::KillSupervisor,
        Ending::KillSupervisor,
        Ending::KillWarden,
        Ending::KillBoth,
        Ending::Terminate,
    ];
    let mut ends = Vec::new();
    for _ in 0..random.between(0, 10) {
        // Some runs end while they start.
        let latest = if random.chance(30) { 60 } else { 1000 };
        let after = Duration::from_millis(random.between(5, latest));
        // The input is read soon after the start.
        if random.chance(10) {
            ends.push((Duration::from_millis(random.between(5, 60)), Ending::CutInput));
            continue;
        }
        let fills = has_disk && random.chance(40);
        let ending = if fills { Some(Ending::FillDisk) } else { random.pick(&kinds) };
        ends.extend(ending.map(|ending| (after, ending)));
        if fills && random.chance(50) {
            ends.push((Duration::ZERO, Ending::StayFull));
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_cover_all_harm_and_each_seed_has_one_plan() {
        let plans: Vec<_> = (0..300).map(|seed| Plan::new(seed, true)).collect();
        for planted in Planted::all() {
            assert!(plans.iter().any(|plan| plan.jobs.iter().any(|(_, p)| *p == planted)));
        }
        for ending in [Ending::FillDisk, Ending::CutInput] {
            assert!(plans.iter().any(|p| p.ends.iter().any(|(_, end)| *end == ending)));
        }
        assert_eq!(format!("{:?}", plans[7]), format!("{:?}", Plan::new(7, true)));
        let without = (0..300).map(|seed| Plan::new(seed, false));
        assert!(without.into_iter().all(|plan| plan.on_disk.is_none()
            && plan.ends.iter().all(|(_, end)| *end != Ending::FillDisk)));
    }
}
