//! The simulator over its socket: one subject a file. Milliseconds each; no other process is needed.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod creates;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod searches;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod updates;
