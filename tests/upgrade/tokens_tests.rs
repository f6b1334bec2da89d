//! Tests of the SQL splitter, mainly of semicolons that do not end a statement.

use super::tokens::{Token, join, statements};

fn texts(sql: &str) -> Vec<String> {
    statements(sql).unwrap().into_iter().map(|statement| statement.text).collect()
}

#[test]
fn semicolons_end_statements() {
    assert_eq!(texts("SELECT 1;\n\nSELECT 2 ;;"), ["SELECT 1", "SELECT 2"]);
}

#[test]
fn strings_hide_semicolons() {
    assert_eq!(texts("SELECT 'a;''b;', \"c;\"\"d\";"), ["SELECT 'a;''b;', \"c;\"\"d\""]);
    assert_eq!(texts("SELECT 'a\\'; SELECT E'b\\';c';"), ["SELECT 'a\\'", "SELECT E'b\\';c'"]);
}

#[test]
fn bodies_hide_semicolons() {
    assert_eq!(texts("DO $$ BEGIN; END $$; SELECT 1;"), ["DO $$ BEGIN; END $$", "SELECT 1"]);
    assert_eq!(texts("DO $a$ x; $$ y; $b$ $a$;"), ["DO $a$ x; $$ y; $b$ $a$"]);
}

#[test]
fn a_parameter_begins_no_body() {
    assert_eq!(texts("SELECT $1; SELECT $2;"), ["SELECT $1", "SELECT $2"]);
    assert_eq!(texts("SELECT a$b$c; SELECT 1;"), ["SELECT a$b$c", "SELECT 1"]);
}

#[test]
fn nested_comments_hide_semicolons() {
    assert_eq!(texts("-- a;\nSELECT /* b; /* c; */ d; */ 1;"), ["SELECT /* b; /* c; */ d; */ 1"]);
}

#[test]
fn parentheses_hide_semicolons() {
    assert_eq!(texts("CREATE RULE r AS ON UPDATE TO t DO (SELECT 1; SELECT 2); SELECT 3;").len(), 2);
}

#[test]
fn atomic_bodies_hide_semicolons() {
    let sql = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3;";
    assert_eq!(texts(sql).len(), 2);
}

#[test]
fn lines_for_psql_are_skipped() {
    assert_eq!(texts("\\echo Use \"x\" \\quit\nSELECT 1;"), ["SELECT 1"]);
}

#[test]
fn the_line_of_a_statement_is_known() {
    let lines: Vec<usize> = statements("\nSELECT 1;\n-- x\nSELECT\n2;").unwrap().iter().map(|s| s.line).collect();
    assert_eq!(lines, [2, 4]);
}

#[test]
fn what_does_not_end_is_an_error() {
    for (sql, error) in [
        ("SELECT 1", "line 1: no semicolon"),
        ("\nSELECT 'a", "line 2: a string does not end"),
        ("SELECT \"a", "line 1: a quoted name does not end"),
        ("DO $$ x $a$", "line 1: a body does not end"),
        ("/* /* */", "line 1: a comment does not end"),
    ] {
        assert_eq!(statements(sql), Err(error.to_owned()));
    }
}

#[test]
fn only_case_and_layout_are_ignored() {
    let words = |sql: &str| join(&statements(sql).unwrap()[0].tokens);
    assert_eq!(words("Select\n  a /* x */ , \"b\";"), "select a , b");
    assert_ne!(words("SELECT 'a';"), words("SELECT 'A';"));
    assert_ne!(words("DO $$ a $$;"), words("DO $$ A $$;"));
    assert_eq!(statements("\"char\";").unwrap()[0].tokens, [Token::Quoted("\"char\"".to_owned())]);
}
