//! Security: hostile tables and code, privileges, search paths, secrets.

mod attack;
mod confused_deputy;
mod entry_points;
mod findings;
mod host_code;
mod hostile_tables;
mod leaks;
mod notices;
mod owner_role;
mod privileges;
mod search_path_attacks;
mod secrets;
mod table_squatting;
mod vectors;
