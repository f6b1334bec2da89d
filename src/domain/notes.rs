//! The notes of a reservation: data of a booking for which Guestly has no field, one line each. Called by
//! `domain::booking`; pure, any thread.

use super::field::{Field, Row};
use super::redact::clean;

/// Longest line, in characters.
const LONGEST: usize = 1000;

/// Notes are written only if one of these, or the country, is present.
const WORTH_A_CALL: [(Field, &str); 3] =
    [(Field::SpecialRequests, "Special requests"), (Field::Purpose, "Purpose of stay"), (Field::Company, "Company")];
/// Part of the reservation as well, repeated for readers of the notes.
const COUNTS: [(Field, &str); 2] = [(Field::Children, "Children"), (Field::Infants, "Infants")];
const ENDING: [(Field, &str); 2] = [(Field::Country, "Country"), (Field::Reference, "Booking")];

/// The text without empty lines; `None` if it would contain nothing worth a call.
#[must_use]
pub fn notes(row: &Row) -> Option<String> {
    let worth_a_call = WORTH_A_CALL.iter().chain(&ENDING[..1]).any(|(field, _)| row.get(*field).is_some());
    let line = |(field, name): &(Field, &str)| {
        let text = clean(row.get(*field)?, LONGEST);
        let is_zero = COUNTS.iter().any(|(count, _)| count == field) && text == "0";
        (!text.is_empty() && !is_zero).then(|| format!("{name}: {text}"))
    };
    let lines: Vec<String> = WORTH_A_CALL.iter().chain(&COUNTS).chain(&ENDING).filter_map(line).collect();
    worth_a_call.then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[(Field, &str)]) -> Row {
        let mut row = Row { booking_id: "7".to_owned(), values: vec![None; Field::ALL.len()], ..Row::default() };
        for (field, value) in values {
            row.values[*field as usize] = Some((*value).to_owned());
        }
        row
    }

    #[test]
    fn one_line_each_and_empty_ones_are_left_out() {
        let full = row(&[
            (Field::Reference, "FLAT-1"),
            (Field::SpecialRequests, "Late arrival,\n about 22:00"),
            (Field::Purpose, "business"),
            (Field::Company, " "),
            (Field::Children, "2"),
            (Field::Infants, "0"),
            (Field::Country, "DE"),
        ]);
        let text = notes(&full).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1..], ["Purpose of stay: business", "Children: 2", "Country: DE", "Booking: FLAT-1"]);
        assert!(lines[0].starts_with("Special requests: Late arrival,") && lines[0].ends_with("about 22:00"), "{text}");
    }

    #[test]
    fn nothing_said_is_no_note() {
        assert_eq!(notes(&row(&[(Field::Reference, "FLAT-1"), (Field::Children, "2")])), None);
        assert!(notes(&row(&[(Field::Country, "FR")])).is_some());
    }
}
