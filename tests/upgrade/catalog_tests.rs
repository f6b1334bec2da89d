//! Tests of the catalog model, the script generator and the checks, each with a few lines of SQL.

use super::catalog::Catalog;
use super::library;
use super::script::{Parts, differences, generate, halves, left_out};

const OLD: &str = "
    CREATE SCHEMA guestly;
    CREATE TABLE guestly.queue (id text PRIMARY KEY, state text NOT NULL DEFAULT 'ready' CHECK (state <> ''), due timestamptz);
    CREATE INDEX queue_due ON guestly.queue (due) WHERE state = 'ready';
    COMMENT ON COLUMN guestly.queue.due IS 'when';
    CREATE FUNCTION guestly.row() RETURNS TABLE (a int) LANGUAGE sql AS $$ SELECT 1; $$;
    CREATE FUNCTION guestly.mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE VIEW guestly.status AS SELECT * FROM guestly.row();
    CREATE TRIGGER mark AFTER INSERT ON guestly.queue FOR EACH ROW EXECUTE FUNCTION guestly.mark();
    INSERT INTO guestly.queue VALUES ('a');";

fn catalog(sql: &str) -> Catalog {
    Catalog::of(sql).unwrap()
}

fn parts(tables: &str) -> Parts {
    let text = String::new;
    Parts {
        from: "1".to_owned(),
        to: "2".to_owned(),
        prologue: text(),
        tables: tables.to_owned(),
        data: text(),
        rights: text(),
    }
}

fn upgrade(new: &str, tables: &str) -> Result<String, String> {
    let script = generate(&catalog(OLD), &catalog(new), &parts(tables))?;
    let body: Vec<&str> = script.lines().skip(3).filter(|line| !line.is_empty() && !line.starts_with("--")).collect();
    Ok(body.join("\n"))
}

/// The differences that remain between `new` and the old version after a script.
fn missing(new: &str, script: &str) -> Vec<String> {
    let mut reached = catalog(OLD);
    reached.run(script).unwrap();
    differences(&reached, &catalog(new))
}

fn refusal(script: &str) -> String {
    let error = catalog(OLD).run(script).unwrap_err();
    error.lines().next().unwrap().replace("line 1: ", "")
}

#[test]
fn equal_versions_need_no_script() {
    assert_eq!(upgrade(OLD, "").unwrap(), "");
    assert_eq!(upgrade(&OLD.replace("RETURNS TABLE (a int)", "returns table(\"a\" INTEGER)"), "").unwrap(), "");
}

#[test]
fn a_changed_body_replaces_the_function() {
    let script = upgrade(&OLD.replace("SELECT 1;", "SELECT 2;"), "").unwrap();
    assert_eq!(
        script,
        "CREATE OR REPLACE FUNCTION guestly.row() RETURNS TABLE (a int) LANGUAGE sql AS $$ SELECT 2; $$;"
    );
}

#[test]
fn a_changed_result_recreates_the_dependent_view() {
    let script = upgrade(&OLD.replace("(a int)", "(a int, b int)"), "").unwrap();
    let lines: Vec<&str> = script.lines().map(|line| line.split(" AS ").next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "DROP VIEW guestly.status;",
            "DROP FUNCTION guestly.row();",
            "CREATE FUNCTION guestly.row() RETURNS TABLE (a int, b int) LANGUAGE sql",
            "CREATE VIEW guestly.status"
        ]
    );
}

#[test]
fn a_removed_default_recreates_the_function() {
    let with = "CREATE FUNCTION f(a text DEFAULT '') RETURNS text LANGUAGE sql AS $$ SELECT a $$;";
    let (old, new) = (catalog(with), catalog(&with.replace(" DEFAULT ''", "")));
    assert!(generate(&old, &new, &parts("")).unwrap().contains("DROP FUNCTION @extschema@.f(text);"));
    assert!(!generate(&new, &old, &parts("")).unwrap().contains("DROP"));
}

#[test]
fn another_argument_type_is_another_function() {
    let script = upgrade(&OLD.replace("mark() RETURNS", "mark(a text) RETURNS"), "").unwrap();
    assert!(script.starts_with("DROP TRIGGER mark ON guestly.queue;\nDROP FUNCTION guestly.mark();"), "{script}");
}

#[test]
fn a_changed_trigger_is_gone_while_tables_change() {
    let script = upgrade(&OLD.replace("AFTER INSERT", "AFTER UPDATE"), "SELECT 1;").unwrap();
    assert_eq!(
        script,
        "DROP TRIGGER mark ON guestly.queue;\nSELECT 1;\n\
         CREATE TRIGGER mark AFTER UPDATE ON guestly.queue FOR EACH ROW EXECUTE FUNCTION guestly.mark();"
    );
}

#[test]
fn a_function_in_the_extension_schema_is_qualified() {
    let new = OLD.to_owned()
        + "CREATE FUNCTION guestly_x(a text) RETURNS void LANGUAGE sql AS $$ $$;\
                                COMMENT ON FUNCTION guestly_x(text) IS 'x';";
    let script = upgrade(&new, "").unwrap();
    assert!(script.starts_with("CREATE FUNCTION @extschema@.guestly_x(a text)"), "{script}");
    assert!(script.ends_with("COMMENT ON FUNCTION @extschema@.guestly_x(text) IS 'x';"), "{script}");
}

#[test]
fn comments_follow_a_renamed_column() {
    let new = OLD.replace(" due ", " due_at ").replace("(due)", "(due_at)").replace("queue.due ", "queue.due_at ");
    assert_eq!(missing(&new, "ALTER TABLE guestly.queue RENAME due TO due_at;"), Vec::<String>::new());
    assert!(upgrade(OLD.replace("'when'", "'since'").as_str(), "").unwrap().ends_with(".due IS 'since';"));
    assert!(
        upgrade(&OLD.replace("COMMENT ON COLUMN guestly.queue.due IS 'when';", ""), "")
            .unwrap()
            .ends_with("due IS NULL;")
    );
}

#[test]
fn each_unchanged_part_of_a_table_is_named() {
    for (old, new, named) in [
        ("due timestamptz", "due timestamptz, n int", "column guestly.queue.n is missing"),
        ("due timestamptz", "due timestamptz NOT NULL", "column guestly.queue.due is still"),
        ("DEFAULT 'ready'", "DEFAULT ''", "column guestly.queue.state is still"),
        ("id text PRIMARY KEY", "id text NOT NULL", "constraint queue_pkey of guestly.queue is still there"),
        ("state <> ''", "state <> '-'", "constraint queue_state_check of guestly.queue is still"),
        ("(due) WHERE", "(due, id) WHERE", "index queue_due on guestly.queue is still"),
        (
            "INSERT INTO",
            "ALTER TABLE guestly.queue SET (fillfactor = 70); INSERT INTO",
            "storage parameter fillfactor of guestly.queue",
        ),
        ("INSERT INTO", "CREATE DOMAIN guestly.d AS text; INSERT INTO", "domain guestly.d is missing"),
        ("INSERT INTO", "CREATE SEQUENCE guestly.s; INSERT INTO", "sequence guestly.s is missing"),
    ] {
        let found = missing(&OLD.replacen(old, new, 1), "");
        assert!(found.iter().any(|line| line.starts_with(named)), "{named}: {found:?}");
    }
}

#[test]
fn a_renamed_table_keeps_the_names_of_its_indexes() {
    let new = OLD.replace("guestly.queue", "guestly.jobs");
    let found = missing(&new, "ALTER TABLE guestly.queue RENAME TO jobs; DROP TRIGGER mark ON guestly.queue;");
    assert!(found.contains(&"constraint queue_pkey of guestly.jobs is still there".to_owned()), "{found:?}");
}

#[test]
fn what_is_not_there_cannot_change() {
    for (script, error) in [
        ("ALTER TABLE guestly.x ADD COLUMN a text;", "there is no table guestly.x"),
        ("ALTER TABLE guestly.queue DROP COLUMN a;", "there is no column guestly.queue.a"),
        ("ALTER TABLE guestly.queue ADD COLUMN due text;", "column guestly.queue.due exists already"),
        ("DROP FUNCTION guestly.mark();", "trigger mark on guestly.queue depends on guestly.mark()"),
        ("CREATE FUNCTION guestly.mark() RETURNS trigger LANGUAGE c AS '';", "function guestly.mark() exists already"),
        ("CREATE INDEX queue_due ON guestly.queue (id);", "index queue_due on guestly.queue exists already"),
        ("ALTER TABLE guestly.queue CLUSTER ON queue_due;", "ALTER TABLE … cluster on queue_due is not understood"),
    ] {
        assert_eq!(refusal(script), error);
    }
}

#[test]
fn a_new_statement_is_left_out_unless_it_is_named() {
    let new = catalog(&(OLD.to_owned() + "INSERT INTO guestly.queue\n VALUES ('b');"));
    let left = |hand: &str| left_out(&catalog(OLD), &new, hand).unwrap();
    assert_eq!(left(""), ["INSERT INTO guestly.queue VALUES ('b')"]);
    assert_eq!(left("INSERT INTO guestly.queue VALUES ('b');"), Vec::<String>::new());
    assert_eq!(left("-- not in an upgrade: INSERT INTO guestly.queue"), Vec::<String>::new());
}

#[test]
fn the_hand_written_part_has_two_halves() {
    assert_eq!(halves("SELECT 1;\n-- [data]\nSELECT 2;\n"), ("SELECT 1;".to_owned(), "SELECT 2;".to_owned()));
    assert_eq!(halves("SELECT 1;"), ("SELECT 1;".to_owned(), String::new()));
}

#[test]
fn declarations_of_rust_and_sql_are_compared() {
    let rust = "#[pg_extern(sql = false)]\nfn f(a: &str, b: default!(Option<f64>, \"NULL\")) -> TableIterator<'static, \
                (name!(c, Vec<String>), name!(d, Option<pg_sys::Oid>))> {\n}\n";
    let sql = "CREATE FUNCTION guestly.f(a text, b double precision DEFAULT NULL) RETURNS TABLE (c text[], d oid) \
               LANGUAGE c AS 'MODULE_PATHNAME', 'f_wrapper';";
    let declared = |sql: &str| catalog(sql).functions.values().filter_map(library::declared).collect::<Vec<_>>();
    assert_eq!(library::exported(rust).unwrap(), declared(sql));
    for (old, new) in
        [("a text", "a oid"), ("d oid", "d text"), (" LANGUAGE c", " STRICT LANGUAGE c"), ("f_wrapper", "g_wrapper")]
    {
        assert_ne!(library::exported(rust).unwrap(), declared(&sql.replace(old, new)), "{new}");
    }
    assert!(library::exported("#[pg_extern]\nfn f() {\n").is_err());
}
