//! The version of this library, and the texts for SQL objects of another version. Imports nothing.

/// The version of the SQL objects that this library works with.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The sentence for SQL objects of version `sql_version`, which is not [`VERSION`].
pub fn mismatch(sql_version: &str) -> String {
    format!("the library is version {VERSION} and the SQL objects are version {sql_version}")
}

/// The command that brings library and SQL objects to one version.
pub fn update_hint(sql_version: &str) -> &'static str {
    let numbers =
        |version: &str| -> Vec<u32> { version.split('.').map(|part| part.parse().unwrap_or_default()).collect() };
    if numbers(sql_version) < numbers(VERSION) {
        "Run ALTER EXTENSION guestly_sync UPDATE."
    } else {
        "Restart the server: it still runs the older library."
    }
}
