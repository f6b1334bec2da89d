//! Hostile tables: the owners of `bookings` and `properties` put code wherever planning or execution evaluates it. For
//! every caller it runs as the owner of a table and gains nothing.

use super::entry_points::AttackRun;
use super::leaks::site;
use super::vectors::{partition, plant, plant_foreign_child, plant_planning, plant_triggers, plant_types};

/// The roles that own a table.
const OWNERS: [&str; 3] = ["site_owner", "mallory", "heir"];

/// Statements of a careless superuser, which all vectors reach.
const READ: &str =
    "SELECT count(*) FROM bookings WHERE id IS NOT NULL; SELECT count(*) FROM properties WHERE id IS NOT NULL";

const CHILDREN: [&str; 10] = [
    "bookings: index expression",
    "bookings: index predicate",
    "bookings: statistics",
    "properties: index expression",
    "properties: index predicate",
    "properties: statistics",
    "child of bookings: check",
    "child of properties: check",
    "child of bookings: index of another owner",
    "foreign child of properties: check",
];

#[test]
fn code_run_by_planning_runs_as_the_owner() {
    let site = site();
    plant_planning(&site, "site_owner", "bookings", [CHILDREN[0], CHILDREN[1], CHILDREN[2], "bookings: check"]);
    plant_planning(&site, "mallory", "properties", [CHILDREN[3], CHILDREN[4], CHILDREN[5], "properties: check"]);
    plant(&site, "site_owner", "g", CHILDREN[6], "CREATE TABLE bookings_child (CHECK ({f} = 1)) INHERITS (bookings)");
    plant(&site, "mallory", "h", CHILDREN[7], "CREATE TABLE properties_child (CHECK ({f} = 1)) INHERITS (properties)");
    site.as_user("site_owner").sql("CREATE TABLE bookings_other () INHERITS (bookings)");
    site.sql("ALTER TABLE bookings_other OWNER TO mallory");
    plant(&site, "mallory", "i", CHILDREN[8], "CREATE INDEX ON bookings_other (({f}))");
    plant_foreign_child(&site, CHILDREN[9]);
    AttackRun::of(site).parts(&["bookings_other"]).run().assert_contained(&OWNERS, &CHILDREN, READ);
}

#[test]
fn code_run_by_planning_after_an_update_runs_as_the_owner() {
    let site = site();
    site.sql("CREATE EXTENSION guestly_sync VERSION '0.2.0'; ALTER EXTENSION guestly_sync UPDATE");
    plant_planning(&site, "site_owner", "bookings", [CHILDREN[0], CHILDREN[1], CHILDREN[2], "bookings: check"]);
    plant_planning(&site, "mallory", "properties", [CHILDREN[3], CHILDREN[4], CHILDREN[5], "properties: check"]);
    AttackRun::of(site).run().assert_contained(&OWNERS, &CHILDREN[..6], READ);
}

const PARTS: [&str; 10] = [
    "partition of bookings: index expression",
    "partition of bookings: index predicate",
    "partition of bookings: statistics",
    "partition of bookings: check",
    "partition of properties: index expression",
    "partition of properties: index predicate",
    "partition of properties: statistics",
    "partition of properties: check",
    "trigger of a partition",
    "deferred trigger of a partition",
];

#[test]
fn code_of_foreign_partitions_gains_no_privileges() {
    let site = site();
    partition(&site, "properties", "mallory");
    partition(&site, "bookings", "site_owner");
    site.as_user("site_owner").sql("ALTER TABLE bookings ADD FOREIGN KEY (property_id) REFERENCES properties");
    let [b1, b2, b3, b4, p1, p2, p3, p4, ..] = PARTS;
    plant_planning(&site, "mallory", "bookings_0", [b1, b2, b3, b4]);
    plant_planning(&site, "mallory", "properties_1", [p1, p2, p3, p4]);
    plant_triggers(&site, "mallory", "bookings_0", PARTS[8], PARTS[9]);
    plant_triggers(&site, "mallory", "bookings_1", PARTS[8], PARTS[9]);
    let control = format!("{READ}; UPDATE bookings SET adults = adults; SET CONSTRAINTS ALL IMMEDIATE");
    AttackRun::of(site).parts(&["bookings_0", "bookings_1"]).run().assert_contained(&OWNERS, &PARTS, &control);
}

const RUNNING: [&str; 13] = [
    "before trigger",
    "deferred trigger",
    "statement trigger",
    "generated column",
    "column default",
    "check",
    "rule",
    "domain",
    "cast to text",
    "cast to json",
    "operator",
    "cast of a slug",
    "mapping",
];

#[test]
fn code_run_by_execution_runs_as_the_owner() {
    let site = site();
    let owner = "site_owner";
    plant_triggers(&site, owner, "bookings", RUNNING[0], RUNNING[1]);
    site.as_user(owner).sql(
        "CREATE TABLE ruled (n integer); GRANT INSERT ON ruled TO heir; \
         CREATE TRIGGER \"statement trigger\" AFTER UPDATE ON bookings FOR EACH STATEMENT EXECUTE FUNCTION hostile.on_row()",
    );
    plant(&site, owner, "gen", RUNNING[3], "ALTER TABLE bookings ADD gen integer GENERATED ALWAYS AS ({f}) STORED");
    plant(&site, owner, "def", RUNNING[4], "ALTER TABLE bookings ADD def integer DEFAULT {f}");
    plant(&site, owner, "chk", RUNNING[5], "ALTER TABLE bookings ADD CHECK ({f} = 1)");
    plant(
        &site,
        owner,
        "rul",
        RUNNING[6],
        "CREATE RULE noted AS ON UPDATE TO bookings DO ALSO INSERT INTO ruled VALUES ({f})",
    );
    plant(&site, "mallory", "dom", RUNNING[7], "CREATE DOMAIN hostile.trap AS text CHECK ({f} = 1)");
    plant_types(&site);
    let attack = AttackRun::of(site)
        .mapping("company", "('x'::hostile.trap)::text || hostile.mapped(b)")
        .mapping("country", "b.mood::text");
    let control = "SELECT sample.make_bookings(1); UPDATE bookings SET adults = adults; SET CONSTRAINTS ALL IMMEDIATE; \
                   SELECT 'x'::hostile.trap, mood::text, to_jsonb(b), mood = mood, hostile.mapped(b) FROM bookings b; SELECT slug::text FROM properties";
    attack.run().assert_contained(&OWNERS, &RUNNING, control);
}

#[test]
fn deferred_triggers_of_another_table_run_as_its_owner() {
    let site = site();
    site.as_user("site_owner").sql("CREATE TABLE audit (id uuid)");
    plant_triggers(&site, "site_owner", "audit", "trigger of audit", "deferred trigger of audit");
    site.as_user("site_owner").sql(
        "CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO public.audit VALUES (NEW.id); RETURN NULL; END $$; \
         CREATE TRIGGER audited AFTER UPDATE ON bookings FOR EACH ROW EXECUTE FUNCTION audited(); \
         GRANT INSERT ON audit TO heir",
    );
    let control = "UPDATE bookings SET adults = adults; SET CONSTRAINTS ALL IMMEDIATE";
    AttackRun::of(site).run().assert_contained(&OWNERS, &["trigger of audit", "deferred trigger of audit"], control);
}

#[test]
fn an_event_trigger_never_runs_as_superuser() {
    let site = site();
    site.as_user("mallory").sql(
        "CREATE FUNCTION hostile.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.attack('event trigger'); END $$",
    );
    let create = "CREATE EVENT TRIGGER spy ON ddl_command_end EXECUTE FUNCTION hostile.on_ddl()";
    // Only a superuser can create such a trigger, and it runs as the role of the DDL: for GRANTs on the extension's tables
    // that is `guestly_owner`, which has no special privileges.
    AttackRun::of(site).later("postgres", create).run_calls(false).assert_contained_except(
        &OWNERS,
        &["event trigger"],
        "CREATE TABLE spied ()",
        |line| {
            line.contains(" ran code as guestly_owner: ")
                && !line.contains("SUPERUSER")
                && !line.contains("as a superuser")
        },
    );
}

#[test]
fn a_view_in_place_of_properties_runs_as_its_owner() {
    let site = site();
    site.as_user("mallory").sql("ALTER TABLE properties RENAME TO homes");
    plant(&site, "mallory", "pla", "view, planned", "CREATE VIEW view_of_homes AS SELECT * FROM homes WHERE {f} = 1");
    site.as_user("mallory").sql(
        "CREATE FUNCTION hostile.slug(slug text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM hostile.attack('view, run'); \
             RETURN slug; END $$; \
         CREATE VIEW properties AS SELECT id, hostile.slug(slug) AS slug, base_price, cleaning_fee, is_active FROM view_of_homes; \
         GRANT SELECT ON properties TO site_owner, heir",
    );
    AttackRun::of(site)
        .mapping("property", "(SELECT p.slug FROM properties p WHERE p.id = b.property_id)")
        .run()
        .assert_contained(&OWNERS, &["view, planned", "view, run"], "SELECT id, slug FROM properties");
}

#[test]
fn row_security_policies_run_as_the_owner() {
    let site = site();
    plant(&site, "mallory", "p", "policy on properties", "CREATE POLICY p ON properties USING ({f} = 1)");
    plant(&site, "site_owner", "b", "policy on bookings", "CREATE POLICY b ON bookings USING ({f} = 1)");
    site.sql("CREATE ROLE reader IN ROLE pg_read_all_data; GRANT USAGE ON SCHEMA public, hostile TO reader");
    // Policies do not apply to superusers; other roles run them with their own privileges.
    let control = format!("SET LOCAL ROLE reader; {READ}");
    let enable = "ALTER TABLE properties ENABLE ROW LEVEL SECURITY";
    AttackRun::of(site).later("mallory", enable).may_fail().run().assert_contained(
        &OWNERS,
        &["policy on properties", "policy on bookings"],
        &control,
    );
}

#[test]
fn extension_updates_run_planning_code_as_the_owner() {
    for version in ["0.1.0", "0.2.0"] {
        let site = site();
        site.sql(&format!("CREATE EXTENSION guestly_sync VERSION '{version}'"));
        plant_planning(&site, "site_owner", "bookings", [CHILDREN[0], CHILDREN[1], CHILDREN[2], "bookings: check"]);
        plant_planning(&site, "mallory", "properties", [CHILDREN[3], CHILDREN[4], CHILDREN[5], "properties: check"]);
        plant(
            &site,
            "site_owner",
            "g",
            CHILDREN[6],
            "CREATE TABLE bookings_child (CHECK ({f} = 1)) INHERITS (bookings)",
        );
        let attack = AttackRun::of(site);
        attack.call("postgres", "ALTER EXTENSION", "ALTER EXTENSION guestly_sync UPDATE").unwrap();
        attack.assert_contained(&OWNERS, &CHILDREN[..7], READ);
    }
}
