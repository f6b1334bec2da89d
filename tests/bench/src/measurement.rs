//! One line of the results: samples, the baseline of the same run, and targets. Made by the benchmarks, read by `report` and
//! `chart`. Must not measure.

/// A value to reach.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// Upper bound of the median.
    AtMost(f64),
    /// Lower bound of the median.
    AtLeast(f64),
    /// No sample may exceed zero.
    Never,
    /// Upper bound of median ÷ baseline.
    RatioAtMost(f64),
    /// Lower bound of median ÷ baseline.
    RatioAtLeast(f64),
}

/// The figure of the same machine in the same run without the product, or in a smaller case.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// A few words.
    pub name: String,
    /// In the measurement's unit.
    pub value: f64,
}

/// One measured case of a benchmark.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// The benchmark's name.
    pub benchmark: &'static str,
    /// A short description of the case.
    pub case: String,
    /// E.g. `ms` or `/s`.
    pub unit: &'static str,
    /// One value for each round.
    pub samples: Vec<f64>,
    /// The divisor of the median.
    pub baseline: Option<Baseline>,
    /// Values to reach.
    pub targets: Vec<Target>,
}

impl Measurement {
    /// Without baseline and targets.
    ///
    /// # Panics
    /// If there are no samples.
    pub fn new(benchmark: &'static str, case: &str, unit: &'static str, samples: Vec<f64>) -> Self {
        assert!(!samples.is_empty(), "no samples of {benchmark}, {case}");
        Self { benchmark, case: case.to_owned(), unit, samples, baseline: None, targets: Vec::new() }
    }

    /// Sets the baseline.
    pub fn baseline(mut self, name: &str, value: f64) -> Self {
        self.baseline = Some(Baseline { name: name.to_owned(), value });
        self
    }

    /// Adds a target.
    pub fn target(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// The median of the samples.
    pub fn median(&self) -> f64 {
        median(&self.samples)
    }

    /// Median ÷ baseline; none without a positive baseline.
    pub fn ratio(&self) -> Option<f64> {
        self.baseline.as_ref().filter(|baseline| baseline.value > 0.0).map(|baseline| self.median() / baseline.value)
    }

    /// True if the target is met; a ratio without a baseline never is.
    pub fn meets(&self, target: Target) -> bool {
        match target {
            Target::AtMost(most) => self.median() <= most,
            Target::AtLeast(least) => self.median() >= least,
            Target::Never => self.samples.iter().all(|sample| *sample <= 0.0),
            Target::RatioAtMost(most) => self.ratio().is_some_and(|ratio| ratio <= most),
            Target::RatioAtLeast(least) => self.ratio().is_some_and(|ratio| ratio >= least),
        }
    }
}

/// The median; of an even number of values the mean of the two in the middle; NaN of no values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(sorted.len().saturating_sub(1) / 2), at(sorted.len() / 2))
}

/// The smallest value that at least `percent` of the values do not exceed; NaN of no values.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

/// The smallest and the largest value.
pub fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(*value), most.max(*value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_an_even_number_is_between() {
        assert_eq!([median(&[4.0, 1.0, 2.0, 8.0]), median(&[3.0, 1.0, 2.0])], [3.0, 2.0]);
    }

    #[test]
    fn percentile_is_one_of_the_values() {
        assert_eq!([50, 99].map(|percent| percentile(&[4.0, 1.0, 2.0, 8.0], percent)), [2.0, 8.0]);
    }
}
