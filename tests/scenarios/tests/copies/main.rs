//! Copies and lifetimes of an installation: dumps, clones, standbys, upgrades, shutdown, DROP.

mod drop_and_shutdown;
mod dump_and_clone;
mod standby;
mod upgrades;
