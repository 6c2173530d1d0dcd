//! Prints a table of measurements, their references and their goals.

pub(crate) const ROUNDS: usize = 3;

#[derive(Default)]
pub(crate) struct Table {
    missed: usize,
}

/// Measurements of the supervisor and of a reference, in alternation.
#[derive(Default)]
pub(crate) struct Turns {
    measured: Vec<f64>,
    reference: Vec<f64>,
}

pub(crate) enum Goal<'a> {
    AtLeast(f64, &'a str),
    AtMost(f64, &'a str),
}

impl Turns {
    pub(crate) fn push(&mut self, measured: f64, reference: f64) {
        self.measured.push(measured);
        self.reference.push(reference);
    }

    /// Returns the median of the rounds' ratios.
    fn ratio(&self) -> f64 {
        let rounds = self.measured.iter().zip(&self.reference);
        median(rounds.map(|(measured, reference)| measured / reference).collect())
    }
}

/// Measures the supervisor and the reference in alternation.
pub(crate) fn turns(
    mut measured: impl FnMut() -> f64,
    mut reference: impl FnMut() -> f64,
) -> Turns {
    let mut turns = Turns::default();
    for _ in 0..ROUNDS {
        let measured = measured();
        turns.push(measured, reference());
    }
    turns
}

impl Table {
    pub(crate) fn new() -> Self {
        let table = Self::default();
        line("", ["supervisor", "reference", "ratio"], "goal", "");
        table
    }

    /// Whether all rows met their goals.
    pub(crate) fn is_met(&self) -> bool {
        self.missed == 0
    }

    /// Prints a row whose ratio is compared with its goal.
    pub(crate) fn row(&mut self, name: &str, turns: &Turns, show: fn(f64) -> String, goal: &Goal) {
        let ratio = turns.ratio();
        let (is_met, goal) = match goal {
            Goal::AtLeast(least, of) => (ratio >= *least, format!(">= {least} {of}")),
            Goal::AtMost(most, of) => (ratio <= *most, format!("<= {most} {of}")),
        };
        let [measured, reference] =
            [&turns.measured, &turns.reference].map(|all| show(median(all.clone())));
        self.plain(name, [&measured, &reference, &format!("{ratio:.2}")], &goal, is_met);
    }

    /// Prints a row that the caller has judged.
    pub(crate) fn plain(&mut self, name: &str, figures: [&str; 3], goal: &str, is_met: bool) {
        line(name, figures, goal, if is_met { "ok" } else { "MISSED" });
        self.missed += usize::from(!is_met);
    }

    pub(crate) fn skip(&self, name: &str, why: &str) {
        line(name, ["-"; 3], "", &format!("SKIPPED: {why}"));
    }
}

fn line(name: &str, [measured, reference, ratio]: [&str; 3], goal: &str, verdict: &str) {
    let figures = format!("{name:<47} {measured:>12} {reference:>12} {ratio:>6}");
    println!("{}", format!("{figures}  {goal:<42} {verdict}").trim_end());
}

pub(crate) fn rate(jobs: f64) -> String {
    if jobs < 1e6 { format!("{:.1} k/s", jobs / 1e3) } else { format!("{:.2} M/s", jobs / 1e6) }
}

pub(crate) fn gigabytes(bytes: f64) -> String {
    format!("{:.2} GB/s", bytes / 1e9)
}

pub(crate) fn seconds(seconds: f64) -> String {
    format!("{seconds:.2} s")
}

pub(crate) fn micros(seconds: f64) -> String {
    format!("{:.3} us", seconds * 1e6)
}

pub(crate) fn millis(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1e3)
}

pub(crate) fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
