//! Samples of two builds, taken in pairs, and their ratios. Made by `compare`. Must not measure.

use crate::measurement::{median, range};
use crate::table::{self, number, quantity};

/// B may be slower than A by this much.
const TOLERANCE: f64 = 0.05;

const HEAD: [&str; 7] = ["benchmark", "case", "A", "B", "B ÷ A", "range of B ÷ A", "B within 5 %"];

/// Which direction is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Times.
    Lower,
    /// Rates.
    Higher,
}

/// One case, measured of both builds.
#[derive(Clone, Debug)]
pub struct Paired {
    benchmark: &'static str,
    case: String,
    unit: &'static str,
    better: Better,
    samples: [Vec<f64>; 2],
}

impl Paired {
    /// The n-th samples of A and B were taken one right after the other.
    ///
    /// # Panics
    /// If they are no pairs.
    pub fn new(
        benchmark: &'static str,
        case: &str,
        unit: &'static str,
        better: Better,
        samples: [Vec<f64>; 2],
    ) -> Self {
        let [a, b] = samples.each_ref().map(Vec::len);
        assert!(a == b && a > 0, "{a} and {b} samples of {benchmark}, {case}");
        Self { benchmark, case: case.to_owned(), unit, better, samples }
    }

    /// Adds the samples of another run of the same case.
    pub fn extend(&mut self, other: Self) {
        self.samples.iter_mut().zip(other.samples).for_each(|(samples, more)| samples.extend(more));
    }

    /// B ÷ A of each pair: what slows down the machine for a while slows down both.
    fn ratios(&self) -> Vec<f64> {
        let [a, b] = &self.samples;
        a.iter().zip(b).map(|(a, b)| b / a).collect()
    }

    /// The answer to "is B at most 5 % slower than A": `yes`, `no`, or `unclear`, if the median says no but more than a quarter
    /// of the pairs say that B is the faster one. A faster B is always within.
    fn verdict(&self) -> &'static str {
        let slowdown = |ratio: &f64| if self.better == Better::Lower { *ratio - 1.0 } else { 1.0 - *ratio };
        let slowdowns: Vec<f64> = self.ratios().iter().map(slowdown).collect();
        let faster = slowdowns.iter().filter(|slowdown| **slowdown < 0.0).count();
        match median(&slowdowns) {
            middle if middle <= TOLERANCE => "yes",
            _ if faster * 4 > slowdowns.len() => "unclear",
            _ => "no",
        }
    }

    fn cells(&self) -> Vec<String> {
        let [a, b] = self.samples.each_ref().map(|samples| quantity(median(samples), self.unit));
        let ratios = self.ratios();
        let (least, most) = range(&ratios);
        let ratio = format!("{:.3}", median(&ratios));
        let spread = format!("{} – {}", number(least), number(most));
        vec![self.benchmark.to_owned(), self.case.clone(), a, b, ratio, spread, self.verdict().to_owned()]
    }
}

/// All cases as a table.
pub fn table(pairs: &[Paired]) -> String {
    table::layout(&HEAD, &pairs.iter().map(Paired::cells).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(better: Better, b: &[f64]) -> &'static str {
        Paired::new("x", "y", "", better, [vec![100.0; b.len()], b.to_vec()]).verdict()
    }

    #[test]
    fn longer_time_is_outside() {
        assert_eq!([104.0, 106.0, 50.0].map(|b| verdict(Better::Lower, &[b])), ["yes", "no", "yes"]);
    }

    #[test]
    fn lower_rate_is_outside() {
        assert_eq!([96.0, 94.0, 200.0].map(|b| verdict(Better::Higher, &[b])), ["yes", "no", "yes"]);
    }

    #[test]
    fn contradicting_pairs_are_unclear() {
        assert_eq!(verdict(Better::Lower, &[90.0, 150.0, 150.0]), "unclear");
    }

    #[test]
    fn ratio_is_the_median_of_pairs() {
        let paired = Paired::new("x", "y", "ms", Better::Lower, [vec![1.0, 10.0, 2.0], vec![1.1, 11.0, 9.0]]);
        assert_eq!(paired.cells()[4], "1.100");
    }
}
