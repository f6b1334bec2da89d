//! The simulator's time: a monotonic clock, the wall clock, and an offset that tests can advance.
//! Used by every module, on any thread. Must not import anything of the crate.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A reading of all clocks, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Now {
    /// Since the start of the simulator, never advanced by tests: lags, settle windows, late commits.
    pub mono: u64,
    /// `mono` plus the advanced offset: token life, 24 h windows, rate buckets.
    pub sim: i64,
    /// Real wall clock since the Unix epoch.
    pub wall: i64,
    /// Wall clock plus the offset: dates in bodies, "in the past" checks.
    pub sim_wall: i64,
}

/// The wall clock is read once, at the start, so that both clocks advance together.
pub(crate) struct Clock {
    start: Instant,
    wall_at_start: i64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), wall_at_start: i64::try_from(wall.as_micros()).unwrap_or(0) }
    }

    pub(crate) fn mono(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn at(&self, mono: u64, offset: i64) -> Now {
        let signed = i64::try_from(mono).unwrap_or(i64::MAX / 4);
        let wall = self.wall_at_start + signed;
        Now { mono, sim: signed.saturating_add(offset), wall, sim_wall: wall.saturating_add(offset) }
    }

    pub(crate) fn now(&self, offset: i64) -> Now {
        self.at(self.mono(), offset)
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// Year, month, day of a count of days since 1970-01-01.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// `YYYY-MM-DD` to days; `None` for any other text or a day that does not exist.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let part = |from: usize, to: usize| {
        let digits = &bytes[from..to];
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
    };
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let days = days_from_civil(year, month, day);
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

/// Days to `YYYY-MM-DD`.
pub(crate) fn format_date(days: i64) -> String {
    let (year, month, day) = civil_from_days(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Microseconds since the epoch to `YYYY-MM-DDTHH:MM:SS.mmmZ`.
pub(crate) fn iso(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    let (date, second) = (format_date(seconds.div_euclid(86_400)), seconds.rem_euclid(86_400));
    let millis = micros.rem_euclid(1_000_000) / 1000;
    format!("{date}T{:02}:{:02}:{:02}.{millis:03}Z", second / 3600, second / 60 % 60, second % 60)
}

/// An ISO 8601 date or date-time (`Z`, `+HH:MM`, or nothing = UTC) to microseconds since the epoch.
pub(crate) fn parse_iso(text: &str) -> Option<i64> {
    let days = parse_date(text.get(0..10)?)?;
    let rest = text.get(10..)?;
    if rest.is_empty() {
        return Some(days * 86_400_000_000);
    }
    let rest = rest.strip_prefix(['T', ' '])?;
    let number = |from: usize| rest.get(from..from + 2)?.parse::<i64>().ok();
    let (hour, minute, second) = (number(0)?, number(3)?, number(6)?);
    let tail = rest.get(8..)?;
    let zone_at = tail.find(['Z', '+', '-']).unwrap_or(tail.len());
    let fraction = tail[..zone_at].strip_prefix('.').unwrap_or("");
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let micros = digits.parse::<i64>().ok()?;
    let zone = &tail[zone_at..];
    let shift = if zone.len() >= 6 {
        let minutes = zone.get(1..3)?.parse::<i64>().ok()? * 60 + zone.get(4..6)?.parse::<i64>().ok()?;
        if zone.starts_with('-') { -minutes } else { minutes }
    } else {
        0
    };
    let seconds = days * 86_400 + hour * 3600 + (minute - shift) * 60 + second;
    Some(seconds * 1_000_000 + micros)
}

/// Microseconds since the epoch as an HTTP date.
pub(crate) fn http_date(micros: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let seconds = micros.div_euclid(1_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let weekday = DAYS.get(usize::try_from(days.rem_euclid(7)).unwrap_or(0)).unwrap_or(&"Thu");
    let month = MONTHS.get(usize::try_from(month - 1).unwrap_or(0)).unwrap_or(&"Jan");
    format!("{weekday}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT", second / 3600, second / 60 % 60, second % 60)
}

/// The reverse of [`http_date`].
pub(crate) fn parse_http_date(text: &str) -> Option<i64> {
    let mut words = text.split(", ").nth(1)?.split([' ', ':']);
    let day = words.next()?.parse::<i64>().ok()?;
    let name = words.next()?;
    let month = i64::try_from(MONTHS.iter().position(|m| *m == name)?).ok()? + 1;
    let year = words.next()?.parse::<i64>().ok()?;
    let mut clock = || words.next()?.parse::<i64>().ok();
    let second = clock()? * 3600 + clock()? * 60 + clock()?;
    Some((days_from_civil(year, month, day) * 86_400 + second) * 1_000_000)
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
