//! The confirmation code of a booking: the same in every attempt, version and process. Imports nothing; pure, any thread.
//! A change of the result would break the look-up of existing reservations.

/// Crockford's alphabet: no I, L, O or U, which are easily misread.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Marks codes that are not the host's own reference.
const PREFIX: &str = "GS-";

/// Longest code that every endpoint of the API accepts, in characters.
const LONGEST: usize = 30;

/// Characters after the prefix, five bits each.
const CODE_CHARS: u32 = 20;

/// The confirmation code of a booking's reservation.
///
/// It is the host's own `reference` if that consists of 5 to 30 ASCII letters, digits and hyphens (which every endpoint of
/// the API accepts), so that both sides show the same code; otherwise `GS-` and 20 characters derived from `booking_id`
/// alone.
///
/// ```
/// use guestly_sync::domain::confirmation_code::confirmation_code;
///
/// assert_eq!(confirmation_code("4711", Some("BK-0000123")), "BK-0000123");
/// assert_eq!(confirmation_code("4711", None), "GS-49KNE9VVG1Q907MVJ590");
/// ```
pub fn confirmation_code(booking_id: &str, reference: Option<&str>) -> String {
    match reference {
        Some(reference) if is_code(reference) => reference.to_owned(),
        _ => derived(booking_id),
    }
}

/// The code of the next reservation of a booking whose reservation with the code `former` has ended. An ended reservation
/// cannot be reopened, and its code could be refused or, in a look-up, find the former reservation.
///
/// ```
/// use guestly_sync::domain::confirmation_code::next_code;
///
/// assert_eq!(next_code("BK-0000123", "BK-0000123"), "BK-0000123-2");
/// assert_eq!(next_code("BK-0000123-2", "BK-0000123"), "BK-0000123-3");
/// ```
pub fn next_code(former: &str, own: &str) -> String {
    let own = if own.len() + 4 <= LONGEST { own.to_owned() } else { derived(own) };
    let number = former.strip_prefix(own.as_str()).and_then(|rest| rest.strip_prefix('-'));
    let number = number.and_then(|number| number.parse::<u32>().ok()).unwrap_or(1);
    format!("{own}-{}", number.saturating_add(1))
}

/// A short hash of a text; empty for an empty text.
pub fn fingerprint(text: &str) -> String {
    if text.is_empty() { String::new() } else { derived(text) }
}

fn is_code(reference: &str) -> bool {
    (5..=LONGEST).contains(&reference.len())
        && reference.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn derived(booking_id: &str) -> String {
    let hash = fnv1a_128(booking_id.as_bytes());
    // Folding uses every bit; truncation would drop some.
    let bits = 5 * CODE_CHARS;
    let folded = hash ^ (hash >> bits);
    let code = (0..CODE_CHARS).rev().map(|place| {
        let five = (folded >> (5 * place)) & 31;
        char::from(ALPHABET[five as usize])
    });
    PREFIX.chars().chain(code).collect()
}

/// FNV-1a with 128 bits. Written here because the standard hasher may change between Rust versions.
fn fnv1a_128(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
#[path = "confirmation_code_tests.rs"]
mod tests;
