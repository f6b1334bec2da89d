//! Notices and warnings of one session.

use guestly_scenarios::Cluster;
use std::sync::{Arc, Mutex};

/// Runs statements in one session of a superuser and gives its notices, `LEVEL: message; hint` one a line, or its error.
pub fn notices(cluster: &Cluster, statements: &str) -> Result<String, String> {
    let words = Arc::new(Mutex::new(String::new()));
    let ears = Arc::clone(&words);
    let mut client = postgres::Config::new()
        .host_path(cluster.socket_folder())
        .user("postgres")
        .dbname(cluster.name())
        .notice_callback(move |notice| {
            let hint = notice.hint().unwrap_or_default();
            let line = format!("{}: {}; {hint}\n", notice.severity(), notice.message());
            ears.lock().unwrap_or_else(|error| error.into_inner()).push_str(&line);
        })
        .connect(postgres::NoTls)
        .map_err(|error| error.to_string())?;
    client.batch_execute(statements).map_err(|error| {
        let complaint = error
            .as_db_error()
            .map(|it| format!("{}: {}; hint: {}", it.code().code(), it.message(), it.hint().unwrap_or_default()));
        complaint.unwrap_or_else(|| error.to_string())
    })?;
    // With its answer all that was said before has arrived.
    client.simple_query("SELECT 1").map_err(|error| error.to_string())?;
    Ok(words.lock().unwrap_or_else(|error| error.into_inner()).clone())
}
