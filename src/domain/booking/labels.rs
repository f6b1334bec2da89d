//! The host's column names, for messages. Part of `domain::booking`; pure, any thread.

use crate::domain::field::Field;

/// The name of each field in messages: the host's column if the expression is just a column, otherwise the field's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels(Vec<String>);

impl Labels {
    /// Labels from the mapping expressions, in the order of [`Field::ALL`]; a missing expression is labeled by its field.
    #[must_use]
    pub fn from_expressions(expressions: &[Option<String>]) -> Self {
        let label = |field: &Field, expression: Option<&Option<String>>| {
            let column = expression.and_then(|text| text.as_deref()).and_then(plain_column);
            column.unwrap_or_else(|| field.name().to_owned())
        };
        Self(Field::ALL.iter().map(|field| label(field, expressions.get(*field as usize))).collect())
    }

    pub(super) fn of(&self, field: Field) -> &str {
        self.0.get(field as usize).map_or(field.name(), String::as_str)
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::from_expressions(&[])
    }
}

/// The column of `b.check_in_date` or `b."check in"`; `None` for any other expression.
fn plain_column(expression: &str) -> Option<String> {
    let name = expression.trim().strip_prefix("b.")?;
    if let Some(quoted) = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return (!quoted.contains('"')).then(|| quoted.to_owned());
    }
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_column_becomes_a_label() {
        assert_eq!(plain_column(" b.total "), Some("total".to_owned()));
        assert_eq!(plain_column("b.\"Check In\""), Some("Check In".to_owned()));
        assert_eq!(plain_column("b.a + b.c"), None);
        assert_eq!(plain_column("(SELECT 1)"), None);
    }
}
