//! Counters of jobs in a line: at the end of a run, and while it goes on.

use std::{fmt::Write, time::Duration};

use text::units::show_duration;

use pool::event::Tally;

/// What a run has not done in full.
#[derive(Clone, Copy, Default, Debug)]
pub struct Partial<'a> {
    /// The input was not read to its end, so it may hold more jobs.
    pub input: bool,
    /// The number of jobs of whose output a part was left out.
    pub outputs: u64,
    /// The numbers of the first jobs that the end of the run interrupted.
    pub interrupted: &'a [u64],
}

/// The final summary, with its newline, and a line with the numbers of interrupted jobs.
#[must_use]
pub fn summary(jobs: Tally, partial: Partial<'_>, took: Duration) -> String {
    let mut text = match jobs.accepted {
        1 => "1 job: ".into(),
        count => format!("{count} jobs: "),
    };
    let ends = [
        (jobs.ok, "ok"),
        (jobs.failed, "failed"),
        (jobs.crashed, "quarantined"),
        (jobs.interrupted, "interrupted"),
        (jobs.not_run, "not run"),
    ];
    let ends = ends.into_iter().enumerate().filter(|(nth, (count, _))| *nth == 0 || *count > 0);
    let ends: Vec<_> = ends.map(|(_, (count, what))| format!("{count} {what}")).collect();
    text += &ends.join(", ");
    if partial.input {
        text += "; input not read to its end";
    }
    if partial.outputs > 0 {
        let _ = write!(text, "; {} with a part of the output left out", partial.outputs);
    }
    if jobs.retried > 0 {
        let _ = write!(text, "; {} tried again", jobs.retried);
    }
    let _ = writeln!(text, "; {}{}", show_duration(took), rate(jobs, took));
    let interrupted = partial.interrupted;
    if !interrupted.is_empty() {
        let numbers: Vec<_> = interrupted.iter().map(u64::to_string).collect();
        let others = jobs.interrupted.saturating_sub(interrupted.len() as u64);
        let others = if others > 0 { format!(" and {others} more") } else { String::new() };
        let _ = writeln!(text, "supervisor: interrupted: job {}{others}", numbers.join(", "));
    }
    text
}

/// The counters while the run goes on: `12 done, 2 running, 18 waiting in workers, 90 queued`.
#[must_use]
pub fn standing(jobs: Tally, running: usize) -> String {
    let running = jobs.in_flight.min(running as u64);
    let counts = [
        (jobs.failed, "failed"),
        (jobs.crashed, "quarantined"),
        (jobs.retried, "tried again"),
        (jobs.interrupted, "interrupted"),
        (jobs.not_run, "not run"),
        (running, "running"),
        (jobs.in_flight - running, "waiting in workers"),
        (jobs.queued, "queued"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let words = counts.map(|(count, what)| format!("{count} {what}"));
    [format!("{} done", jobs.done())].into_iter().chain(words).collect::<Vec<_>>().join(", ")
}

/// The rate of jobs, if there are enough for one.
fn rate(jobs: Tally, took: Duration) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let rate = jobs.done() as f64 / took.as_secs_f64().max(1e-9);
    match rate {
        _ if jobs.accepted < 2 => String::new(),
        rate if rate >= 1e6 => format!(", {:.2} M/s", rate / 1e6),
        rate if rate >= 10.0 => format!(", {rate:.0}/s"),
        rate => format!(", {rate:.1}/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_that_were_not_run_are_not_done() {
        let jobs =
            Tally { accepted: 9, ok: 1, failed: 1, not_run: 5, in_flight: 2, ..Tally::default() };
        assert_eq!(standing(jobs, 2), "2 done, 1 failed, 5 not run, 2 running");
    }

    #[test]
    fn the_summary_is_one_line() {
        let took = Duration::from_secs(2);
        let tally = |accepted, ok, failed, retried| Tally {
            accepted,
            ok,
            failed,
            retried,
            ..Tally::default()
        };
        for (tally, text) in [
            (tally(0, 0, 0, 0), "0 jobs: 0 ok; 2 s\n"),
            (tally(1, 1, 0, 0), "1 job: 1 ok; 2 s\n"),
            (tally(9, 8, 1, 1), "9 jobs: 8 ok, 1 failed; 1 tried again; 2 s, 4.5/s\n"),
            (tally(4_000_000, 4_000_000, 0, 0), "4000000 jobs: 4000000 ok; 2 s, 2.00 M/s\n"),
        ] {
            assert_eq!(summary(tally, Partial::default(), took), text);
        }
        let stopped = Tally { not_run: 2, ..tally(3, 1, 0, 0) };
        let text = "3 jobs: 1 ok, 2 not run; input not read to its end; 1 with a part of the output \
                     left out; 2 s, 0.5/s\n";
        let partial = Partial { input: true, outputs: 1, interrupted: &[] };
        assert_eq!(summary(stopped, partial, took), text);
        let stopped = Tally { interrupted: 3, ..tally(4, 1, 0, 0) };
        let text = "4 jobs: 1 ok, 3 interrupted; 2 s, 0.5/s\n\
                    supervisor: interrupted: job 2, 3 and 1 more\n";
        let partial = Partial { interrupted: &[2, 3], ..Partial::default() };
        assert_eq!(summary(stopped, partial, took), text);
    }
}
