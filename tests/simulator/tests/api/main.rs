//! The simulator over its socket: every file is one subject. Milliseconds each; no other process is needed.

#[cfg(test)]
mod business;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod support;
