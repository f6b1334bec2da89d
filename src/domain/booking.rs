//! A booking, parsed from the host's row. Invalid values are refused here, with the column's name. Called by `domain::plan`;
//! pure, any thread.

use chrono::NaiveDate;

use super::error::{ErrorClass, Problem};
use super::field::{Field, Row};
use super::guests::GuestCount;
use super::notes::notes;
use super::redact::scrub;

mod labels;

pub use labels::Labels;

/// A booking that can be sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Booking {
    /// The primary key, as text.
    pub booking_id: String,
    /// The host's reference.
    pub reference: Option<String>,
    /// Keys into `guestly.listings`, the more specific first.
    pub properties: Vec<String>,
    /// Guest's first name.
    pub first_name: String,
    /// Guest's last name.
    pub last_name: String,
    /// Guest's e-mail address.
    pub email: String,
    /// Guest's phone, as the host wrote it.
    pub phone: Option<String>,
    /// Guest's language: two letters, in lower case.
    pub language: Option<String>,
    /// Day of arrival, in the property's time zone.
    pub check_in: NaiveDate,
    /// Day of departure, after `check_in`.
    pub check_out: NaiveDate,
    /// At least one.
    pub adults: u32,
    /// Children.
    pub children: u32,
    /// Infants.
    pub infants: u32,
    /// Pets.
    pub pets: u32,
    /// The amount paid, in major units, not negative.
    pub total: f64,
    /// The booking's status in the host's words.
    pub status: String,
    /// The text of the notes.
    pub notes: Option<String>,
}

impl Booking {
    /// The guest count.
    #[must_use]
    pub fn guests(&self) -> GuestCount {
        GuestCount { adults: self.adults, children: self.children, infants: self.infants, pets: self.pets }
    }

    /// Parses a row.
    ///
    /// # Errors
    /// `invalid_booking`, with the column's name and without personal data.
    pub fn parse(row: &Row, labels: &Labels) -> Result<Self, Problem> {
        let reader = Reader { row, labels };
        let check_in = reader.date(Field::CheckIn)?;
        let check_out = reader.date(Field::CheckOut)?;
        if check_out <= check_in {
            let (first, last) = (labels.of(Field::CheckIn), labels.of(Field::CheckOut));
            return Err(invalid(format!("{last} {check_out} is not after {first} {check_in}")));
        }
        let adults = reader.count(Field::Adults)?;
        if adults == 0 {
            return Err(invalid(format!("{} is 0: a stay needs at least one adult", labels.of(Field::Adults))));
        }
        let properties = [Field::Property, Field::PropertyId];
        Ok(Self {
            booking_id: row.booking_id.clone(),
            reference: row.get(Field::Reference).map(str::to_owned),
            properties: properties.iter().filter_map(|key| row.get(*key)).map(str::to_owned).collect(),
            first_name: reader.text(Field::GuestFirstName)?,
            last_name: reader.text(Field::GuestLastName)?,
            email: reader.email()?,
            phone: row.get(Field::GuestPhone).map(str::to_owned),
            language: row.get(Field::Language).and_then(language),
            check_in,
            check_out,
            adults,
            children: reader.count(Field::Children)?,
            infants: reader.count(Field::Infants)?,
            pets: reader.count(Field::Pets)?,
            total: reader.amount(Field::Total)?,
            status: reader.text(Field::Status)?,
            notes: notes(row),
        })
    }
}

/// The language of a tag such as `de`, `en-GB` or `pt_BR.UTF-8`: two letters (ISO 639-1). Anything else is not worth refusing
/// a paid booking for, and is not sent.
fn language(tag: &str) -> Option<String> {
    let primary = tag.split(['-', '_', '.']).next().unwrap_or_default();
    let is_code = primary.len() == 2 && primary.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_code.then(|| primary.to_ascii_lowercase())
}

fn invalid(sentence: String) -> Problem {
    Problem::new(ErrorClass::InvalidBooking, sentence)
}

struct Reader<'a> {
    row: &'a Row,
    labels: &'a Labels,
}

impl Reader<'_> {
    fn text(&self, field: Field) -> Result<String, Problem> {
        let text = self.row.get(field).ok_or_else(|| invalid(format!("{} is empty", self.labels.of(field))))?;
        Ok(text.to_owned())
    }

    fn email(&self) -> Result<String, Problem> {
        let text = self.text(Field::GuestEmail)?;
        let looks_right = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
        if looks_right && !text.contains(char::is_whitespace) {
            return Ok(text);
        }
        Err(invalid(format!("{} is not an e-mail address", self.labels.of(Field::GuestEmail))))
    }

    fn date(&self, field: Field) -> Result<NaiveDate, Problem> {
        let text = self.text(field)?;
        // The text of a timestamp begins with its date.
        let day = text.get(..10).unwrap_or(&text);
        NaiveDate::parse_from_str(day, "%Y-%m-%d")
            .map_err(|_| invalid(format!("{} is not a date that Guestly knows", self.labels.of(field))))
    }

    /// A missing count is 0, the default of the host's column.
    fn count(&self, field: Field) -> Result<u32, Problem> {
        let Some(text) = self.row.get(field) else { return Ok(0) };
        let number = text.parse::<u32>().ok().filter(|number| *number <= 1000);
        number.ok_or_else(|| invalid(format!("{} is {}, not a number of guests", self.labels.of(field), scrub(text))))
    }

    fn amount(&self, field: Field) -> Result<f64, Problem> {
        let text = self.text(field)?;
        let amount = text.parse::<f64>().ok().filter(|amount| amount.is_finite() && *amount >= 0.0);
        amount.ok_or_else(|| invalid(format!("{} is {}, not an amount", self.labels.of(field), scrub(&text))))
    }
}

#[cfg(test)]
#[path = "booking_tests.rs"]
pub(crate) mod tests;
