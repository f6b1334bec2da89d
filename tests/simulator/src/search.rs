//! `GET /v1/reservations-v3/search`: reads the index, which lags. Called by state.rs under its lock.

use crate::answer::Answer;
use crate::call::Call;
use crate::clock::{Now, parse_iso};
use crate::config::Profile;
use crate::reservations::{Fields, Reservation};
use crate::state::State;
use serde_json::{Value, json};

/// One condition of the query.
struct Filter {
    field: String,
    operator: String,
    values: Vec<String>,
}

const SORTS: [&str; 4] = ["_id", "checkIn", "checkOut", "createdAt"];

fn allowed(field: &str, operator: &str) -> bool {
    match field {
        "status" => matches!(operator, "eq" | "ne" | "in" | "nin"),
        "listingId" | "confirmationCode" | "source" => matches!(operator, "eq" | "in"),
        "checkIn" | "checkOut" | "createdAt" | "lastUpdatedAt" => {
            matches!(operator, "eq" | "gte" | "gt" | "lte" | "lt")
        }
        _ => false,
    }
}

impl Filter {
    fn parse(key: &str, value: &str) -> Option<Self> {
        let inner = key.strip_prefix("filter[")?.strip_suffix(']')?;
        let (field, operator) = inner.split_once("][").unwrap_or((inner, "eq"));
        let values = value.split(',').map(|v| v.trim().to_owned()).collect();
        Some(Self { field: field.to_owned(), operator: operator.to_owned(), values })
    }

    fn is_valid(&self) -> bool {
        let time = matches!(self.field.as_str(), "createdAt" | "lastUpdatedAt");
        let date = matches!(self.field.as_str(), "checkIn" | "checkOut");
        let readable =
            |v: &String| (!time || parse_iso(v).is_some()) && (!date || crate::clock::parse_date(v).is_some());
        allowed(&self.field, &self.operator) && self.values.iter().all(readable)
    }

    fn holds(&self, r: &Reservation, f: &Fields) -> bool {
        let text = |value: &str| self.values.iter().any(|v| v == value);
        let against = |micros: i64| {
            let wanted = self.values.first().and_then(|v| parse_iso(v)).unwrap_or(0);
            self.compare(micros.cmp(&wanted))
        };
        let date = |value: &str| self.values.first().is_some_and(|v| self.compare(value.cmp(v.as_str())));
        match self.field.as_str() {
            "status" => text(&f.status) != matches!(self.operator.as_str(), "ne" | "nin"),
            "listingId" => text(&f.listing),
            "confirmationCode" => text(&r.code),
            "source" => text(&f.source),
            "checkIn" => date(&f.check_in),
            "checkOut" => date(&f.check_out),
            "createdAt" => against(r.created),
            "lastUpdatedAt" => against(f.updated),
            _ => true,
        }
    }

    fn compare(&self, order: std::cmp::Ordering) -> bool {
        match self.operator.as_str() {
            "gte" => order.is_ge(),
            "gt" => order.is_gt(),
            "lte" => order.is_le(),
            "lt" => order.is_lt(),
            _ => order.is_eq(),
        }
    }
}

struct Page {
    limit: usize,
    skip: usize,
    sort: String,
}

impl State {
    /// Answers a search.
    pub(crate) fn search(&self, call: &Call, now: Now) -> Answer {
        match self.parse_search(call) {
            Ok((filters, page)) => self.run_search(&filters, &page, now),
            Err(message) => Answer::nest(400, &format!("VALIDATION_ERROR - {message}")),
        }
    }

    fn parse_search(&self, call: &Call) -> Result<(Vec<Filter>, Page), String> {
        let lenient = self.knobs.profile == Profile::Hostile;
        let mut filters = Vec::new();
        let mut page = Page { limit: 25, skip: 0, sort: "-_id".into() };
        for (key, value) in &call.request.query {
            match key.as_str() {
                "limit" => {
                    let limit = value.parse().ok().filter(|n| (1..=100).contains(n));
                    page.limit = limit.ok_or("limit must be between 1 and 100")?;
                }
                "skip" => page.skip = value.parse().map_err(|_| "skip must not be less than 0")?,
                "sort" if SORTS.contains(&value.trim_start_matches('-')) => page.sort.clone_from(value),
                _ => match Filter::parse(key, value) {
                    Some(filter) if filter.is_valid() => filters.push(filter),
                    _ if lenient => {}
                    _ => return Err(format!("unsupported parameter {key}")),
                },
            }
        }
        Ok((filters, page))
    }

    /// The reservations that may match, by the narrowest index.
    fn candidates(&self, filters: &[Filter]) -> Vec<usize> {
        let by = |field: &str| filters.iter().find(|f| f.field == field);
        let mut found: Vec<usize> = if let Some(filter) = by("confirmationCode") {
            filter.values.iter().flat_map(|code| self.reservations.with_code(code)).copied().collect()
        } else if let Some(filter) = by("listingId") {
            filter.values.iter().flat_map(|id| self.reservations.on_listing(id)).copied().collect()
        } else {
            (0..self.reservations.list.len()).collect()
        };
        found.sort_unstable();
        found.dedup();
        found
    }

    fn run_search(&self, filters: &[Filter], page: &Page, now: Now) -> Answer {
        let mut hits: Vec<(&Reservation, &Fields)> = self
            .candidates(filters)
            .into_iter()
            .filter_map(|index| self.reservations.list.get(index))
            .filter_map(|r| r.indexed(now.mono).map(|f| (r, f)))
            .filter(|(r, f)| filters.iter().all(|filter| filter.holds(r, f)))
            .collect();
        match page.sort.trim_start_matches('-') {
            "checkIn" => hits.sort_by(|a, b| a.1.check_in.cmp(&b.1.check_in)),
            "checkOut" => hits.sort_by(|a, b| a.1.check_out.cmp(&b.1.check_out)),
            "createdAt" => hits.sort_by_key(|hit| hit.0.created),
            _ => {}
        }
        if page.sort.starts_with('-') {
            hits.reverse();
        }
        let more = hits.len() > page.skip + page.limit;
        let rows: Vec<Value> = hits.iter().skip(page.skip).take(page.limit).map(|(r, f)| self.row(r, f)).collect();
        let pagination = json!({"skip": page.skip, "limit": page.limit, "hasMore": more});
        Answer::json(200, &json!({"results": rows, "pagination": pagination}))
    }

    fn row(&self, r: &Reservation, f: &Fields) -> Value {
        let mut row = self.common_body(r, f);
        if let Some(map) = row.as_object_mut() {
            map.insert(self.knobs.search_id_key.clone(), json!(r.id));
            if !self.knobs.origin_in_search {
                map.remove("origin");
                map.remove("originId");
            }
        }
        row
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
