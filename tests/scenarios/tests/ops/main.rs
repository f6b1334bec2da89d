//! Operation: settings, functions, status, doctor, worker processes, retention.

mod functions;
mod no_worker;
mod retention;
mod settings;
mod status_and_doctor;
mod worker_lifecycle;
