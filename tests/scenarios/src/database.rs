//! One database of a test server, as a user reaches it: SQL over the server's own socket. Called by the tests and by
//! `host`, on test threads. Must not know how the server is started or stopped.

use crate::wait::wait_until;
use postgres::types::{FromSqlOwned, ToSql};
use postgres::{Client, Config, NoTls, Row};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One database as one user. Each call opens a connection of its own, so it also works after a restart.
#[derive(Clone, Debug)]
pub struct Database {
    socket_folder: PathBuf,
    name: String,
    user: String,
}

impl Database {
    pub(crate) fn new(socket_folder: &Path, name: &str) -> Self {
        Self { socket_folder: socket_folder.to_owned(), name: name.to_owned(), user: "postgres".to_owned() }
    }

    /// The same database as another login role.
    #[must_use]
    pub fn as_user(&self, user: &str) -> Self {
        Self { user: user.to_owned(), ..self.clone() }
    }

    /// Another database of the same server, as the same user. It need not exist yet.
    #[must_use]
    pub fn database(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connection arguments of `psql`, `pg_dump` and other clients: `-h <folder> -U <user> -d <name>`.
    pub fn arguments(&self) -> [String; 6] {
        let folder = self.socket_folder.display().to_string();
        ["-h".to_owned(), folder, "-U".to_owned(), self.user.clone(), "-d".to_owned(), self.name.clone()]
    }

    /// Opens a connection, or says why it cannot.
    pub fn try_client(&self) -> Result<Client, String> {
        Config::new()
            .host_path(&self.socket_folder)
            .user(&self.user)
            .dbname(&self.name)
            .application_name("scenario")
            .connect_timeout(Duration::from_secs(10))
            .connect(NoTls)
            .map_err(|error| describe(&error))
    }

    /// Opens a connection, for anything that needs a session: transactions, locks, `SET ROLE`, notices.
    ///
    /// # Panics
    /// If the server refuses the connection.
    #[track_caller]
    pub fn client(&self) -> Client {
        match self.try_client() {
            Ok(client) => client,
            Err(error) => panic!("no connection to {}: {error}", self.name),
        }
    }

    /// Runs statements without parameters, in one transaction unless they have their own, or gives the server's
    /// error: SQLSTATE, message, detail and hint in one line.
    pub fn try_sql(&self, statements: &str) -> Result<(), String> {
        self.try_client()?.batch_execute(statements).map_err(|error| describe(&error))
    }

    /// Runs statements that must succeed.
    ///
    /// # Panics
    /// With the server's error.
    #[track_caller]
    pub fn sql(&self, statements: &str) {
        if let Err(error) = self.try_sql(statements) {
            panic!("{error}\nin: {statements}");
        }
    }

    /// Runs statements after `SET ROLE role`, for roles that may not log in.
    pub fn try_sql_as(&self, role: &str, statements: &str) -> Result<(), String> {
        self.try_sql(&format!("SET ROLE \"{role}\"; {statements}"))
    }

    /// All rows of a query.
    ///
    /// # Panics
    /// With the server's error.
    #[track_caller]
    pub fn query(&self, query: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        match self.client().query(query, parameters) {
            Ok(rows) => rows,
            Err(error) => panic!("{}\nin: {query}", describe(&error)),
        }
    }

    /// The first column of the only row. Ask for `Option<T>` where it may be null.
    ///
    /// # Panics
    /// With the server's error, or if there is not exactly one row, or if it is not a `T`.
    #[track_caller]
    pub fn query_one<T: FromSqlOwned>(&self, query: &str) -> T {
        let rows = self.query(query, &[]);
        assert!(rows.len() == 1, "{} rows instead of one from: {query}", rows.len());
        value(&rows[0], query)
    }

    /// The first column of every row.
    ///
    /// # Panics
    /// With the server's error, or if it is not a `T`.
    #[track_caller]
    pub fn query_all<T: FromSqlOwned>(&self, query: &str) -> Vec<T> {
        let rows = self.query(query, &[]);
        rows.iter().map(|row| value(row, query)).collect()
    }

    /// The doctor's row about a check: `status`, `detail` and `fix`, which is empty if none is needed.
    ///
    /// # Panics
    /// If there is not exactly one row.
    #[track_caller]
    #[must_use]
    pub fn doctor(&self, check: &str) -> [String; 3] {
        let query = "SELECT status, detail, coalesce(fix, '') FROM guestly_doctor() WHERE check_name = $1";
        let rows = self.query(query, &[&check]);
        let [row] = rows.as_slice() else { panic!("{} rows of the doctor about {check}", rows.len()) };
        [row.get(0), row.get(1), row.get(2)]
    }

    /// The same as `status: detail`, and the fix.
    #[track_caller]
    #[must_use]
    pub fn doctor_line(&self, check: &str) -> (String, String) {
        let [status, detail, fix] = self.doctor(check);
        (format!("{status}: {detail}"), fix)
    }

    /// Asks every 20 ms, over one connection, until the first column of the query's only row is true; the second
    /// column, a text, is the state to report in a failure. Gives the time it took. A lost connection or a failing query
    /// counts as "not yet".
    ///
    /// # Panics
    /// After `timeout`, with `what` and the last state.
    #[track_caller]
    pub fn wait_for(&self, what: &str, timeout: Duration, query: &str) -> Duration {
        let mut client = None;
        wait_until(what, timeout, || match self.look(&mut client, query) {
            Ok((done, seen)) => (done, seen),
            Err(error) => {
                client = None;
                (false, error)
            }
        })
    }

    fn look(&self, client: &mut Option<Client>, query: &str) -> Result<(bool, String), String> {
        let connected = match client {
            Some(connected) => connected,
            None => client.insert(self.try_client()?),
        };
        let Some(row) = connected.query_opt(query, &[]).map_err(|error| describe(&error))? else {
            return Ok((false, "no row".to_owned()));
        };
        let done: Option<bool> = row.try_get(0).map_err(|error| error.to_string())?;
        let seen: Option<String> = row.try_get(1).map_err(|error| error.to_string())?;
        Ok((done == Some(true), seen.unwrap_or_else(|| "null".to_owned())))
    }
}

#[track_caller]
fn value<T: FromSqlOwned>(row: &Row, query: &str) -> T {
    match row.try_get(0) {
        Ok(value) => value,
        Err(error) => panic!("{error}\nin: {query}"),
    }
}

/// A server's error as one line: SQLSTATE, message, detail and hint.
pub fn describe(error: &postgres::Error) -> String {
    let Some(server_error) = error.as_db_error() else {
        return error.to_string();
    };
    let mut words = format!("{}: {}", server_error.code().code(), server_error.message());
    for (name, text) in [("detail", server_error.detail()), ("hint", server_error.hint())] {
        if let Some(text) = text {
            words.push_str(&format!("; {name}: {text}"));
        }
    }
    words
}
