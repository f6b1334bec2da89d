//! Load and idleness: latency, large batches, faults in quantity, memory. Its tests measure time.

mod idle;
mod latency;
mod overload;
mod torture;
