//! Shared parts of the plots: escaped text, the colours of ways, and a logarithmic axis.

use std::fmt::Write;

use crate::plan::Way;

/// Escapes text for HTML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// Returns the CSS class that gives a way its colour.
pub(super) fn class(way: Way) -> String {
    format!("way-{way}")
}

/// Appends a text to a drawing; `anchor` is `start`, `middle` or `end`.
pub(super) fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, class: &str, words: &str) {
    let words = escape(words);
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{words}</text>"
    );
}

/// Returns the opening tag of a drawing of this size; screen readers read `label`.
pub(super) fn open((width, height): (f64, f64), label: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\" \
         style=\"max-width:{width:.0}px\">\n",
        escape(label)
    )
}

/// An axis on which equal factors are equal distances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logarithmic {
    low: f64,
    high: f64,
    left: f64,
    width: f64,
}

impl Logarithmic {
    const MARGIN: f64 = 1.15;

    /// Creates an axis that spans the positive values with a margin; `None` if there are none.
    pub(super) fn over(
        values: impl Iterator<Item = f64>,
        (left, width): (f64, f64),
    ) -> Option<Self> {
        let positive = values.filter(|value| *value > 0.0);
        let range = positive.fold(None, |range: Option<(f64, f64)>, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        let (low, high) = range?;
        Some(Self { low: low / Self::MARGIN, high: high * Self::MARGIN, left, width })
    }

    /// Returns the x coordinate of a value.
    pub(super) fn x(&self, value: f64) -> f64 {
        self.left + self.share(value) * self.width
    }

    /// Returns the position of a value on the axis, from 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        share.clamp(0.0, 1.0)
    }

    /// Returns round values to mark: as many as fit.
    pub(super) fn ticks(&self) -> Vec<f64> {
        const MOST: usize = 9;
        let within = |tick: &f64| (self.low..=self.high).contains(tick);
        let decades = || (-7..8).map(|power| 10_f64.powi(power));
        let by_factor = [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]].into_iter().map(|steps| {
            let ticks = decades().flat_map(|decade| steps.iter().map(move |step| step * decade));
            ticks.filter(within).collect()
        });
        // A short axis has equal steps: the smallest that give at most nine ticks.
        let by_step =
            decades().flat_map(|decade| [decade, 2.0 * decade, 5.0 * decade]).filter_map(|step| {
                let first = (self.low / step).ceil();
                let count = (self.high / step).floor() - first + 1.0;
                let offsets = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
                let ticks = offsets.iter().map(|offset| (first + offset) * step).filter(within);
                (count <= 9.0).then(|| ticks.collect())
            });
        let is_short = self.high / self.low < 4.0;
        let found: Option<Vec<f64>> = match is_short {
            true => by_step.into_iter().next(),
            false => by_factor.into_iter().find(|ticks: &Vec<f64>| ticks.len() <= MOST),
        };
        found.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_marks_round_values() {
        let axis = Logarithmic::over([0.9, 110.0, 0.0].into_iter(), (0.0, 100.0)).unwrap();
        let ticks: Vec<_> = axis.ticks().iter().map(|tick| tick.round()).collect();
        assert_eq!(ticks, [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        let narrow = Logarithmic::over([10.0, 12.0].into_iter(), (0.0, 100.0)).unwrap();
        assert_eq!(narrow.ticks(), [9.0, 10.0, 11.0, 12.0, 13.0]);
        assert!(axis.x(1.0) < axis.x(10.0) && axis.x(1e9) <= 100.0 && axis.x(0.0) >= 0.0);
        assert!(Logarithmic::over([0.0].into_iter(), (0.0, 1.0)).is_none());
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("<b a=\"&\">"), "&lt;b a=&quot;&amp;&quot;&gt;");
    }
}
