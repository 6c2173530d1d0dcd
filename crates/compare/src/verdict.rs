//! States in plain sentences what the figures mean for this work. A sentence appears only if the
//! figures support it, and quotes them.

use super::{
    figures::{Row, Spread},
    plan::{Fault, Plan, Way, Work},
    table::{show_bytes, show_count, show_millis},
};

/// Two ways whose times differ by less than this factor count as equally fast.
const SAME: f64 = 1.15;
/// Jobs that use a processor for at least this share of their time compute.
const COMPUTES: f64 = 0.8;
/// Jobs that use a processor for at most this share of their time wait.
const WAITS: f64 = 0.2;
/// If the jobs take less than this share of the time of a way, the rest is the way itself.
const TINY: f64 = 0.5;
/// A job that takes this many times longer beside a busy neighbour is starved.
const STARVED: f64 = 3.0;

/// Returns the sentences: the conclusion, and then what leads to it, in the order of the tables.
#[must_use]
pub fn sentences(plan: &Plan, rows: &[Row]) -> Vec<String> {
    let sound: Vec<&Row> = rows.iter().filter(|row| row.fault == Fault::None).collect();
    let sound: Vec<&Row> = sound.into_iter().filter(|row| row.not_ok.max == 0.0).collect();
    let mut found = Vec::new();
    found.extend(balance(plan, rows, &sound));
    found.extend(speed(&sound));
    found.extend(nature(plan, &sound));
    found.extend(starvation(plan, &sound));
    found.extend(memory(&sound));
    found.extend(starts(&sound));
    found.extend(crossing(plan, &sound));
    found.extend(blast_radii(plan, rows));
    found.extend(recovery(plan, rows));
    found
}

/// Names the fastest ways, and how much slower the others are.
fn speed(rows: &[&Row]) -> Option<String> {
    let wall = |row: &Row| row.wall_ms.map(|wall| wall.median);
    let mut timed: Vec<_> = rows.iter().filter_map(|row| Some((wall(row)?, row.way))).collect();
    timed.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ((best, fastest), _) = (*timed.first()?, timed.get(1)?);
    let (same, slower): (Vec<_>, Vec<_>) =
        timed[1..].iter().copied().partition(|(wall, _)| *wall <= best * SAME);
    let mut sentence = format!("Fastest: {}, in {}", fastest.title(), show_millis(best));
    if !same.is_empty() {
        let names: Vec<_> = same.iter().map(|(_, way)| way.title().to_owned()).collect();
        sentence += &format!("; as fast, within {:.0} %: {}", (SAME - 1.0) * 100.0, list(&names));
    }
    if !slower.is_empty() {
        let times =
            slower.iter().map(|(wall, way)| format!("{} ({})", way.title(), times(wall / best)));
        sentence += &format!("; slower: {}", list(&times.collect::<Vec<_>>()));
    }
    Some(sentence + ".")
}

/// States whether the jobs wait or compute, and what that means for each way.
fn nature(plan: &Plan, rows: &[&Row]) -> Option<String> {
    let serial = find(rows, Way::Serial)?;
    let (wall, cpu) = (serial.wall_ms?.median, serial.cpu_ms?.median);
    #[expect(clippy::cast_precision_loss, reason = "no more than ten million")]
    let work = serial.max_ms?.median * plan.jobs as f64;
    if work < wall * TINY {
        return Some(
            "These jobs are so short that what is measured is the ways themselves.".into(),
        );
    }
    let share = cpu / wall;
    let percent: String = match share {
        share if share < 0.01 => "less than 1 %".into(),
        share => format!("{:.0} %", share.min(1.0) * 100.0),
    };
    let gain = |way| Some(wall / find(rows, way)?.wall_ms?.median);
    let gains = [Way::Tasks, Way::Runtime, Way::Threads, Way::Workers, Way::Each].into_iter();
    let gains: Vec<_> = gains.filter_map(|way| Some((way, gain(way)?))).collect();
    let (_, most) = gains.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
    if share <= WAITS && most > SAME {
        return Some(format!(
            "These jobs wait: alone they keep a processor busy for {percent} of their time, so \
             what counts is how many wait at once, {} faster at best than one after another.",
            times(most)
        ));
    }
    if share < COMPUTES {
        return None;
    }
    let (idle, busy): (Vec<_>, Vec<_>) = gains.into_iter().partition(|(_, gain)| *gain < SAME);
    let mut sentence =
        format!("These jobs compute: alone they keep a processor busy for {percent} of their time");
    if !busy.is_empty() {
        let names = busy.iter().map(|(way, gain)| format!("{} ({})", way.title(), times(*gain)));
        sentence +=
            &format!("; faster than one after another: {}", list(&names.collect::<Vec<_>>()));
    }
    if !idle.is_empty() {
        let names: Vec<_> = idle.iter().map(|(way, _)| way.title().to_owned()).collect();
        sentence += &format!("; no faster: {}", list(&names));
    }
    Some(sentence + ".")
}

/// States what a job that never yields does to a short job beside it.
fn starvation(plan: &Plan, rows: &[&Row]) -> Option<String> {
    let short = rows.iter().filter_map(|row| Some((row.short_ms?.median, row.way)));
    let mut short: Vec<_> = short.collect();
    short.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (&(least, best), &(most, worst)) = (short.first()?, short.last()?);
    if plan.work != Work::Mixed || plan.workers < 2 {
        return None;
    }
    let (least, best, most_shown) = (show_millis(least), best.title(), show_millis(most));
    if most < STARVED * short.first()?.0 {
        return Some(format!("The busy job starved no short one: it took {most_shown} at most."));
    }
    Some(format!(
        "Beside a busy job that never yields, the short one took {most_shown} with {}, and {least} \
         with {best}.",
        worst.title()
    ))
}

fn memory(rows: &[&Row]) -> Option<String> {
    let held = |row: &Row| row.memory_bytes.map(|bytes| bytes.median);
    let mut held: Vec<_> = rows.iter().filter_map(|row| Some((held(row)?, row.way))).collect();
    held.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (&(least, lean), &(most, fat)) = (held.first()?, held.get(1).and(held.last())?);
    Some(format!(
        "Memory: from {} ({}) to {} ({}), {} as much.",
        show_bytes(least),
        lean.title(),
        show_bytes(most),
        fat.title(),
        times(most / least)
    ))
}

fn starts(rows: &[&Row]) -> Option<String> {
    let start = |(way, what): (Way, &str)| {
        let start = find(rows, way)?.start_ms?.median;
        Some(format!("{} for {what}", show_millis(start)))
    };
    let whats = [
        (Way::Tasks, "a task"),
        (Way::Threads, "a thread"),
        (Way::Workers, "a worker process"),
        (Way::Each, "the process of a job"),
    ];
    let starts: Vec<_> = whats.into_iter().filter_map(start).collect();
    (starts.len() > 1)
        .then(|| format!("Time from the request to the first job: {}.", list(&starts)))
}

/// States the cost of serialising and parsing jobs and answers.
fn crossing(plan: &Plan, rows: &[&Row]) -> Option<String> {
    let row = find(rows, Way::Workers)?;
    let (crossing, took) = (row.crossing_ms?.median, row.p50_ms?.median);
    #[expect(clippy::cast_precision_loss, reason = "no more than ten million")]
    let each = crossing / plan.jobs as f64;
    Some(format!(
        "Serialising and parsing took {} per job, on both sides together; the job itself took a worker \
         process {}.",
        show_millis(each),
        show_millis(took)
    ))
}

/// States how many jobs each fault cost, by way. Faults with the same effect share a sentence.
fn blast_radii(plan: &Plan, rows: &[Row]) -> Vec<String> {
    let mut alike: Vec<(Vec<&str>, Radius)> = Vec::new();
    for (name, fault) in Fault::ALL.iter().filter(|(_, fault)| *fault != Fault::None) {
        let hit = rows.iter().filter(|row| row.fault == *fault);
        let radius = Radius::of(plan, hit);
        match alike.iter_mut().find(|(_, other)| other.ways() == radius.ways()) {
            Some((names, other)) => {
                names.push(name);
                other.lost.extend(radius.lost);
            }
            None => alike.push((vec![name], radius)),
        }
    }
    let found = alike.iter().filter_map(|(names, radius)| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Some(format!("{} in {} cost {}.", list(&names), jobs(plan.faulty), radius.say(plan)?))
    });
    found.collect()
}

/// How far a fault reached in each way.
#[derive(Default)]
struct Radius {
    /// Ways in which jobs without a fault were lost too.
    spread: Vec<Way>,
    /// Number of jobs lost in each of the ways in `spread`.
    lost: Vec<f64>,
    /// Ways in which only the faulty job was lost, but its place never ran a job again.
    crippled: Vec<Way>,
    /// Ways in which only the faulty job was lost.
    contained: Vec<Way>,
}

impl Radius {
    fn of<'a>(plan: &Plan, rows: impl Iterator<Item = &'a Row>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "no more than ten million")]
        let faulty = plan.faulty as f64;
        let mut radius = Self::default();
        for row in rows {
            if row.not_ok.median > faulty {
                radius.spread.push(row.way);
                radius.lost.push(row.not_ok.median);
            } else if row.is_crippled {
                radius.crippled.push(row.way);
            } else {
                radius.contained.push(row.way);
            }
        }
        radius
    }

    fn ways(&self) -> [&[Way]; 3] {
        [&self.spread, &self.crippled, &self.contained]
    }

    fn say(&self, plan: &Plan) -> Option<String> {
        let titles =
            |ways: &[Way]| list(&ways.iter().map(|way| way.title().into()).collect::<Vec<_>>());
        let itself = jobs(plan.faulty);
        let mut parts = Vec::new();
        if let Some(lost) = Spread::of(self.lost.iter().copied()) {
            let lost = match (show_count(lost.min), show_count(lost.max)) {
                (min, max) if min == max => max,
                (min, max) => format!("{min} to {max}"),
            };
            parts.push(format!("{lost} of {} jobs with {}", plan.jobs, titles(&self.spread)));
        }
        if !self.crippled.is_empty() {
            let titles = titles(&self.crippled);
            parts.push(format!("{itself} and its thread for good with {titles}"));
        }
        if !self.contained.is_empty() {
            parts.push(format!("{itself} with {}", titles(&self.contained)));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// States how soon the place of a worker process was in use again: after a crash and after a
/// timeout.
fn recovery(plan: &Plan, rows: &[Row]) -> Option<String> {
    let hit = rows.iter().filter(|row| row.way == Way::Workers && row.fault != Fault::None);
    let times: Vec<_> = hit.filter_map(|row| Some((row.recovery_ms?.max, row))).collect();
    let longest = |is_hung: bool| {
        let times = times.iter().filter(|(_, row)| (row.jobs.hung.max > 0.0) == is_hung);
        times.max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let died = longest(false).map(|(time, row)| format!("{} ({})", show_millis(*time), row.fault));
    let limit = show_millis(plan.timeout.as_secs_f64() * 1e3);
    let hung = longest(true).map(|(time, row)| {
        format!("{} ({}, with a time limit of {limit})", show_millis(*time), row.fault)
    });
    let times: Vec<_> = died.into_iter().chain(hung).collect();
    (!times.is_empty()).then(|| {
        format!("A worker process was replaced after a faulty job within {}.", list(&times))
    })
}

/// Weighs the cost of processes against the jobs that they save.
fn balance(plan: &Plan, rows: &[Row], sound: &[&Row]) -> Option<String> {
    let worst = |way| {
        let hit = rows.iter().filter(|row| row.way == way && row.fault != Fault::None);
        Spread::of(hit.map(|row| row.not_ok.max)).map(|lost| lost.max)
    };
    let (price, kept) = (find(sound, Way::Workers)?, find(sound, Way::Threads)?);
    let (lost, saved) = (worst(Way::Threads)?, worst(Way::Workers)?);
    let time = price.wall_ms?.median / kept.wall_ms?.median;
    let memory = price.memory_bytes?.median / kept.memory_bytes?.median;
    let faults: Vec<_> = rows.iter().map(|row| row.fault).filter(|it| *it != Fault::None).collect();
    let kinds = Fault::ALL.iter().filter(|(_, fault)| faults.contains(fault)).count();
    let plural = if kinds == 1 { "fault" } else { "faults" };
    Some(format!(
        "For this work, worker processes take {} the time and {} the memory of threads. For that, \
         {kinds} {plural} cost them {} of {} jobs at worst, and threads {}.",
        times(time),
        times(memory),
        show_count(saved),
        plan.jobs,
        show_count(lost)
    ))
}

fn find<'a>(rows: &[&'a Row], way: Way) -> Option<&'a Row> {
    rows.iter().copied().find(|row| row.way == way)
}

fn jobs(count: u64) -> String {
    if count == 1 { "1 job".into() } else { format!("{count} jobs") }
}

fn times(ratio: f64) -> String {
    if ratio < 9.95 { format!("{ratio:.1} times") } else { format!("{ratio:.0} times") }
}

/// Joins words as in `a, b and c`.
fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::figures::Counts;

    fn plan() -> Plan {
        Plan {
            work: Work::Sleep,
            jobs: 100,
            workers: 4,
            fault: Fault::None,
            faulty: 1,
            fib: 1,
            payload_bytes: 0,
            delay: Duration::from_millis(1),
            timeout: Duration::from_secs(1),
            memory_bytes: 0,
            upstream: String::new(),
        }
    }

    fn row(fault: Fault, way: Way, wall: f64, cpu: f64, not_ok: f64) -> Row {
        let spread = |value: f64| Spread { median: value, min: value, max: value };
        let jobs = Counts {
            ok: spread(100.0 - not_ok),
            lost: spread(not_ok),
            wrong: spread(0.0),
            hung: spread(0.0),
        };
        Row {
            fault,
            way,
            rounds: 1,
            wall_ms: Some(spread(wall)),
            per_second: None,
            p50_ms: None,
            p99_ms: None,
            max_ms: Some(spread(wall / 100.0)),
            short_ms: None,
            cpu_ms: Some(spread(cpu)),
            memory_bytes: Some(spread(wall * 1024.0)),
            start_ms: None,
            switches: None,
            crossing_ms: None,
            recovery_ms: None,
            not_ok: spread(not_ok),
            jobs,
            died: Vec::new(),
            is_crippled: not_ok > 1.0,
            error: None,
        }
    }

    #[test]
    fn other_figures_are_other_sentences() {
        let text = |rows: &[Row]| sentences(&plan(), rows).join("\n");
        let sound = |way, wall, cpu| row(Fault::None, way, wall, cpu, 0.0);
        let waiting = [sound(Way::Serial, 400.0, 4.0), sound(Way::Tasks, 100.0, 4.0)];
        assert!(text(&waiting).contains("These jobs wait: alone"), "{}", text(&waiting));
        assert!(text(&waiting).contains("slower: one after another (4.0 times)"));
        let computing = [sound(Way::Serial, 400.0, 400.0), sound(Way::Tasks, 399.0, 399.0)];
        let computing_text = text(&computing);
        assert!(computing_text.contains("These jobs compute"), "{computing_text}");
        assert!(computing_text.contains("no faster: tasks on one thread."), "{computing_text}");
        assert!(
            computing_text.contains("as fast, within 15 %: one after another."),
            "{computing_text}"
        );
        // Without another way there is nothing to compare with.
        assert_eq!(text(&computing[..1]), "");
    }

    #[test]
    fn each_fault_is_described_by_its_damage() {
        let hit = |way, lost| row(Fault::Segv, way, 10.0, 1.0, lost);
        let rows = [hit(Way::Threads, 54.0), hit(Way::Workers, 1.0)];
        assert_eq!(
            sentences(&plan(), &rows)[0],
            "segv in 1 job cost 54 of 100 jobs with threads; 1 job with worker processes."
        );
        let rows = [hit(Way::Threads, 1.0), hit(Way::Workers, 100.0)];
        assert!(sentences(&plan(), &rows)[0].contains("100 of 100 jobs with worker processes"));
    }
}
