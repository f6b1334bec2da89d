//! Tests of the simulator over its socket, one subject in each file. They take milliseconds and need no other process.

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
