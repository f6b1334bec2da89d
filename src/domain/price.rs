//! The price check: Guestly may apply its own discounts and taxes, so the total that it reports is compared with the amount
//! paid. Called by `pg::worker` (main thread); pure.

/// Half of the smallest coin: smaller differences are rounding errors of binary fractions.
const ROUNDING: f64 = 0.005;

/// A sentence about a total (a decimal in major units, as Guestly reports it) that differs by more than `tolerance` from the
/// amount paid. `None` if it does not, or cannot be read: a price never fails a booking.
///
/// ```
/// use guestly_sync::domain::price::describe_difference;
///
/// assert_eq!(describe_difference("452.00", 420.0, 1.0).as_deref(), Some("Guestly's total is 452.00 and the guest paid 420.00: 32.00 more"));
/// assert_eq!(describe_difference("420.90", 420.0, 1.0), None);
/// ```
#[must_use]
pub fn describe_difference(reported: &str, paid: f64, tolerance: f64) -> Option<String> {
    let total: f64 = reported.parse().ok().filter(|total: &f64| total.is_finite())?;
    let (more, word) = if total > paid { (total - paid, "more") } else { (paid - total, "less") };
    let counts = more > tolerance.max(0.0) + ROUNDING;
    counts.then(|| format!("Guestly's total is {total:.2} and the guest paid {paid:.2}: {more:.2} {word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_more_than_the_tolerance_counts_in_either_direction() {
        for (reported, tolerance, counts) in [
            ("420", 0.0, false),
            ("420.00", 1.0, false),
            ("421.00", 1.0, false),
            ("421.01", 1.0, true),
            ("419.00", 1.0, false),
            ("418.98", 1.0, true),
            ("420.004", 0.0, false),
            ("420.01", 0.0, true),
            ("420.01", -5.0, true),
            ("nothing", 0.0, false),
            ("inf", 0.0, false),
        ] {
            assert_eq!(describe_difference(reported, 420.0, tolerance).is_some(), counts, "{reported}, {tolerance}");
        }
        assert!(describe_difference("400", 420.0, 1.0).is_some_and(|said| said.ends_with("20.00 less")));
    }
}
