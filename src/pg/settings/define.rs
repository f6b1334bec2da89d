//! Defines and reads settings: one function for each kind. Part of `pg::settings`; main thread only.

use std::ffi::{CStr, CString};
use std::sync::OnceLock;
use std::time::Duration;

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

/// A text setting; null unless it is set or has a default.
pub(super) type Text = GucSetting<Option<CString>>;

/// Defines a boolean, with a default from the environment.
pub(super) fn flag(
    name: &'static CStr,
    about: &'static CStr,
    slot: &OnceLock<&'static GucSetting<bool>>,
    variable: &str,
) {
    let default = std::env::var(variable).is_ok_and(|word| is_true(&word));
    let setting = slot.get_or_init(|| Box::leak(Box::new(GucSetting::<bool>::new(default))));
    GucRegistry::define_bool_guc(name, about, c"", setting, GucContext::Sighup, GucFlags::default());
}

/// True for the words that Postgres accepts as true.
fn is_true(word: &str) -> bool {
    matches!(word.trim().to_ascii_lowercase().as_str(), "on" | "true" | "t" | "yes" | "y" | "1")
}

/// Defines a text, with a default from the environment; an empty variable counts as unset.
pub(super) fn text_from(
    name: &'static CStr,
    about: &'static CStr,
    slot: &OnceLock<&'static Text>,
    variable: &str,
    default: &str,
) {
    let given = std::env::var(variable).ok().filter(|value| !value.trim().is_empty());
    let value = given.unwrap_or_else(|| default.to_owned());
    // Lives as long as the process: the server keeps the pointer as the setting's built-in value.
    let value: &'static CStr = Box::leak(CString::new(value).unwrap_or_default().into_boxed_c_str());
    text(name, about, slot.get_or_init(|| Box::leak(Box::new(Text::new(Some(value))))), GucFlags::default());
}

/// Defines a text.
pub(super) fn text(name: &'static CStr, about: &'static CStr, setting: &'static Text, flags: GucFlags) {
    GucRegistry::define_string_guc(name, about, c"", setting, GucContext::Sighup, flags);
}

/// Defines an integer.
pub(super) fn number(name: &'static CStr, about: &'static CStr, setting: &'static GucSetting<i32>, min: i32, max: i32) {
    GucRegistry::define_int_guc(name, about, c"", setting, min, max, GucContext::Sighup, GucFlags::default());
}

/// Defines a duration in milliseconds.
pub(super) fn duration(name: &'static CStr, about: &'static CStr, setting: &'static GucSetting<i32>, min: i32) {
    GucRegistry::define_int_guc(name, about, c"", setting, min, i32::MAX, GucContext::Sighup, GucFlags::UNIT_MS);
}

/// The value of a text; empty if there is none.
pub(super) fn string(setting: &Text) -> String {
    setting.get().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The value of a text whose default comes from the environment.
pub(super) fn late(slot: &OnceLock<&'static Text>) -> String {
    slot.get().map(|setting| string(setting)).unwrap_or_default()
}

/// The value of an integer; 0 for a negative one.
pub(super) fn natural(setting: &GucSetting<i32>) -> u32 {
    u32::try_from(setting.get()).unwrap_or_default()
}

/// The value of a duration in milliseconds.
pub(super) fn millis(setting: &GucSetting<i32>) -> Duration {
    Duration::from_millis(natural(setting).into())
}

/// The value of a text, or the environment's if it is not set: for values that must not appear in pg_settings. A setting that is
/// set overrides the environment, even if it is empty.
pub(super) fn or_environment(setting: &Text, variable: &str) -> String {
    let set = setting.get().map(|text| text.to_string_lossy().into_owned());
    set.unwrap_or_else(|| std::env::var(variable).unwrap_or_default())
}
