//! One measured figure: its samples, the limit of the same run, and what is to be reached. Made by the figures, read by
//! `report` and `chart`. Must not measure.

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// The median itself.
    AtMost(f64),
    /// The median itself.
    AtLeast(f64),
    /// All samples: none is more than zero.
    Never,
    /// The median over the limit.
    RatioAtMost(f64),
    /// The median over the limit.
    RatioAtLeast(f64),
}

/// What the same machine did in the same run without the product.
#[derive(Clone, Debug)]
pub struct Limit {
    /// In few words.
    pub name: String,
    /// In the row's unit.
    pub value: f64,
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// The figure it belongs to.
    pub figure: &'static str,
    /// What was measured.
    pub case: String,
    /// E.g. `ms` or `/s`.
    pub unit: &'static str,
    /// One value for each round.
    pub samples: Vec<f64>,
    /// What it is compared with.
    pub limit: Option<Limit>,
    /// What is to be reached.
    pub goals: Vec<Goal>,
}

impl Row {
    /// A row with nothing to compare.
    pub fn new(figure: &'static str, case: &str, unit: &'static str, samples: Vec<f64>) -> Self {
        assert!(!samples.is_empty(), "no samples of {figure}, {case}");
        Self { figure, case: case.to_owned(), unit, samples, limit: None, goals: Vec::new() }
    }

    /// With a limit.
    pub fn limit(mut self, name: &str, value: f64) -> Self {
        self.limit = Some(Limit { name: name.to_owned(), value });
        self
    }

    /// With something to reach.
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goals.push(goal);
        self
    }

    /// The middle of the samples.
    pub fn median(&self) -> f64 {
        median(&self.samples)
    }

    /// The median over the limit.
    pub fn ratio(&self) -> Option<f64> {
        self.limit.as_ref().filter(|limit| limit.value > 0.0).map(|limit| self.median() / limit.value)
    }

    /// Whether the goal is reached; false also where there is no limit to compare with.
    pub fn reaches(&self, goal: Goal) -> bool {
        match goal {
            Goal::AtMost(most) => self.median() <= most,
            Goal::AtLeast(least) => self.median() >= least,
            Goal::Never => self.samples.iter().all(|sample| *sample <= 0.0),
            Goal::RatioAtMost(most) => self.ratio().is_some_and(|ratio| ratio <= most),
            Goal::RatioAtLeast(least) => self.ratio().is_some_and(|ratio| ratio >= least),
        }
    }
}

/// The middle of some values; of an even number the lower middle.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// The value below which so many percent lie.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(f64::NAN)
}
