//! Compares the enums of this crate with the SQL that repeats them: CHECK constraints, the domain of the queue's states, and the
//! values that functions and statements name. Run by cargo; reads files, needs no server.

use std::collections::BTreeSet;

use super::alerts::AlertState;
use super::queue::QueueState;
use crate::domain::alert::AlertKind;
use crate::domain::breaker::BreakerState;
use crate::domain::error::ErrorClass;
use crate::domain::field::Field;
use crate::domain::operation::Operation;
use crate::domain::snapshot::PaymentState;

const TABLES: &str = include_str!("../../../sql/schema/1_tables.sql");
const ATTACH: &str = include_str!("../../../sql/schema/2_attach.sql");
const FUNCTIONS: &str = include_str!("../../../sql/schema/4_functions.sql");
const DOCTOR: &str = include_str!("../../../sql/schema/5_status_and_doctor.sql");
const ORPHANS: &str = include_str!("../../../sql/queries/queue/recover_orphans.sql");
const HUNG: &str = include_str!("../../../sql/queries/queue/postpone_hung.sql");

type Words = BTreeSet<String>;

fn words<'a>(values: impl IntoIterator<Item = &'a str>) -> Words {
    values.into_iter().map(str::to_owned).collect()
}

/// The texts in single quotes in `sql`.
fn quoted(sql: &str) -> Words {
    words(sql.split('\'').skip(1).step_by(2))
}

/// The values of the list that follows `before` in `sql`.
fn list_after(sql: &str, before: &str) -> Words {
    let (_, rest) = sql.split_once(before).unwrap_or_else(|| panic!("no {before} in the SQL"));
    let (list, _) = rest.split_once(')').unwrap_or_else(|| panic!("no end of the list after {before}"));
    quoted(list)
}

/// The values that `sql` compares `column` with: `column = 'a'`, `column IN ('a', 'b')`, `CASE column WHEN 'a' THEN`.
fn compared(sql: &str, column: &str) -> Words {
    let code: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    // Statements inside a string have doubled quotes.
    let code = code.join("\n").replace("''", "'");
    let mut found = Words::new();
    for (at, _) in code.match_indices(column) {
        let rest = code[at + column.len()..].trim_start();
        if let Some(list) = rest.strip_prefix("IN (").or_else(|| rest.strip_prefix("NOT IN (")) {
            found.extend(quoted(list.split(')').next().unwrap_or_default()));
        } else if let Some(value) = rest.strip_prefix("= '").or_else(|| rest.strip_prefix("<> '")) {
            found.extend(value.split('\'').next().map(str::to_owned));
        } else if code[..at].ends_with("CASE ") {
            // Each WHEN up to END or ELSE names a value.
            let body = rest.split(" ELSE ").next().unwrap_or_default().split(" END").next().unwrap_or_default();
            let named = body.split("WHEN '").skip(1).filter_map(|part| part.split('\'').next());
            found.extend(named.map(str::to_owned));
        }
    }
    found
}

/// The values that only one side has.
fn difference(rust: &Words, sql: &Words) -> Vec<String> {
    rust.symmetric_difference(sql).cloned().collect()
}

#[track_caller]
fn assert_same<'a>(rust: impl IntoIterator<Item = &'a str>, sql: &Words) {
    assert_eq!(difference(&words(rust), sql), Vec::<String>::new());
}

#[track_caller]
fn assert_known<'a>(rust: impl IntoIterator<Item = &'a str>, sql: &Words) {
    let known = words(rust);
    let unknown: Vec<&String> = sql.difference(&known).collect();
    assert!(!sql.is_empty() && unknown.is_empty(), "{unknown:?} of {sql:?}");
}

#[test]
fn alert_kinds_are_those_of_the_check() {
    assert_same(AlertKind::ALL.map(AlertKind::as_str), &list_after(TABLES, "CHECK (kind IN ("));
}

#[test]
fn alert_states_are_those_of_the_check() {
    let by_sql = ["waiting", "placed"];
    assert_same(
        AlertState::ALL.map(AlertState::as_str).into_iter().chain(by_sql),
        &list_after(TABLES, "DEFAULT 'waiting' CHECK (state IN ("),
    );
}

#[test]
fn queue_states_are_those_of_the_domain() {
    let by_sql = ["sending"];
    assert_same(
        QueueState::ALL.map(QueueState::as_str).into_iter().chain(by_sql),
        &list_after(TABLES, "queue_state_known CHECK (VALUE IN ("),
    );
}

#[test]
fn payment_states_are_those_of_the_check() {
    assert_same(PaymentState::ALL.map(PaymentState::as_str), &list_after(TABLES, "CHECK (payment IN ("));
}

#[test]
fn the_mapped_fields_are_those_of_the_code() {
    let (_, rows) = ATTACH.split_once("FROM (VALUES").expect("the fields that attach fills in");
    let (rows, _) = rows.split_once(") AS f (field, expression)").expect("the end of the fields");
    let first = rows.lines().filter_map(|line| line.trim_start().strip_prefix("('"));
    let filled = words(first.filter_map(|line| line.split('\'').next()));
    assert_same(Field::ALL.map(Field::name), &filled);
}

#[test]
fn sql_names_only_operations_that_exist() {
    let others = ["plan"];
    let known = Operation::ALL.map(Operation::as_str);
    for (sql, column) in [(FUNCTIONS, "a.operation"), (FUNCTIONS, "q.operation"), (ORPHANS, "o.operation")] {
        assert_known(known.into_iter().chain(others), &compared(sql, column));
    }
}

#[test]
fn sql_names_only_error_classes_that_exist() {
    let known = ErrorClass::ALL.map(ErrorClass::as_str);
    for sql in [FUNCTIONS, DOCTOR, HUNG] {
        assert_known(known, &compared(sql, "error_class"));
    }
}

#[test]
fn sql_names_only_breaker_states_that_exist() {
    let known = [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen].map(BreakerState::as_str);
    for (sql, column) in [(FUNCTIONS, "w.breaker"), (DOCTOR, "now_.breaker")] {
        assert_known(known, &compared(sql, column));
    }
}

#[test]
fn a_missing_or_an_additional_value_is_noticed() {
    let kinds = words(AlertKind::ALL.map(AlertKind::as_str));
    let fewer = list_after(&TABLES.replace("'stale', ", ""), "CHECK (kind IN (");
    assert_eq!(difference(&kinds, &fewer), ["stale"]);
    let more = list_after(&TABLES.replace("'stale', ", "'stale', 'sunk', "), "CHECK (kind IN (");
    assert_eq!(difference(&kinds, &more), ["sunk"]);
}

#[test]
fn an_unknown_value_of_a_comparison_is_noticed() {
    let sql = "CASE q.state WHEN 'a' THEN 'x' WHEN 'b' THEN 'y' ELSE 'z' END, q.state IN ('c', 'd') -- q.state = 'e'\nAND q.state <> 'f'";
    assert_eq!(compared(sql, "q.state"), words(["a", "b", "c", "d", "f"]));
}
