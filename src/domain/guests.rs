//! The guest count of a stay, by age group. Imports nothing; pure, any thread.

/// The number of guests of a stay, as Guestly splits them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestCount {
    /// At least one.
    pub adults: u32,
    /// Children, infants excluded.
    pub children: u32,
    /// Infants; they do not count towards the listing's capacity.
    pub infants: u32,
    /// Pets.
    pub pets: u32,
}

impl GuestCount {
    /// Guestly's `guestsCount`: adults and children.
    #[must_use]
    pub fn guests_count(&self) -> u32 {
        self.adults.saturating_add(self.children)
    }
}
