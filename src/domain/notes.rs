//! The notes of a reservation: what the host knows of a stay and Guestly has no field for, one line each.
//! Called by `domain::booking` and `domain::update`; pure, any thread.

use super::field::{Field, Row};
use super::redact::clean;

/// Characters of one line.
const LONGEST: usize = 1000;

/// What the guest or the host said; notes are worth a call only if there is some of it.
const SAID: [(Field, &str); 3] =
    [(Field::SpecialRequests, "Special requests"), (Field::Purpose, "Purpose of stay"), (Field::Company, "Company")];
/// What stands in the reservation anyway, for whoever reads the notes.
const COUNTED: [(Field, &str); 2] = [(Field::Children, "Children"), (Field::Infants, "Infants")];
const ENDING: [(Field, &str); 2] = [(Field::Country, "Country"), (Field::Reference, "Booking")];

/// The text, empty lines left out; none where nobody said anything.
#[must_use]
pub fn notes(row: &Row) -> Option<String> {
    let said = SAID.iter().chain(&ENDING[..1]).any(|(field, _)| row.get(*field).is_some());
    let line = |(field, name): &(Field, &str)| {
        let text = clean(row.get(*field)?, LONGEST);
        let counts_nothing = COUNTED.iter().any(|(counted, _)| counted == field) && text == "0";
        (!text.is_empty() && !counts_nothing).then(|| format!("{name}: {text}"))
    };
    let lines: Vec<String> = SAID.iter().chain(&COUNTED).chain(&ENDING).filter_map(line).collect();
    said.then(|| lines.join("\n"))
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
