//! The places in a host's table that can hold code, each with the attack in it.

use super::findings::wrapper;
use guestly_scenarios::Site;

/// Plants a vector: its function, then its statement, as the owner of the table.
pub fn plant(site: &Site, owner: &str, name: &str, place: &str, statement: &str) {
    wrapper(site, name, place);
    site.as_user(owner).sql(&statement.replace("{f}", &format!("hostile.{name}(1)")));
}

/// Code that planning evaluates, on a table or a partition.
pub fn plant_planning(site: &Site, owner: &str, table: &str, places: [&str; 4]) {
    let short = table.replace('.', "_");
    let [expression, predicate, statistics, check] = places;
    plant(site, owner, &format!("{short}_a"), expression, &format!("CREATE INDEX ON {table} (({{f}}))"));
    plant(site, owner, &format!("{short}_b"), predicate, &format!("CREATE INDEX ON {table} (id) WHERE {{f}} = 1"));
    plant(
        site,
        owner,
        &format!("{short}_c"),
        statistics,
        &format!("CREATE STATISTICS hostile.{short}_s ON ({{f}}), created_at FROM {table}"),
    );
    plant(site, owner, &format!("{short}_d"), check, &format!("ALTER TABLE {table} ADD CHECK ({{f}} = 1)"));
}

/// A foreign table among the children of `properties`.
pub fn plant_foreign_child(site: &Site, place: &str) {
    let has_wrapper = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'file_fdw')";
    assert!(site.query_one::<bool>(has_wrapper), "file_fdw is missing: install PostgreSQL's contrib modules");
    wrapper(site, "j", place);
    site.sql(
        "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; \
         CREATE FOREIGN TABLE properties_file (CHECK (hostile.j(1) = 1)) INHERITS (properties) SERVER files \
         OPTIONS (filename '/dev/null', format 'csv'); ALTER FOREIGN TABLE properties_file OWNER TO mallory",
    );
}

/// Makes a partitioned table of an ordinary one; its partitions belong to mallory.
pub fn partition(site: &Site, table: &str, owner: &str) {
    site.sql(&format!(
        "CREATE TABLE parts (LIKE {table} INCLUDING DEFAULTS) PARTITION BY HASH (id); ALTER TABLE parts ADD PRIMARY KEY (id); \
         CREATE TABLE {table}_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0); \
         CREATE TABLE {table}_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1); INSERT INTO parts SELECT * FROM {table}; \
         DROP TABLE {table} CASCADE; ALTER TABLE parts RENAME TO {table}; ALTER TABLE {table} OWNER TO {owner}; \
         ALTER TABLE {table}_0 OWNER TO mallory; ALTER TABLE {table}_1 OWNER TO mallory; GRANT SELECT, REFERENCES ON {table} TO site_owner, heir"
    ));
}

/// Two row triggers, the second one deferred; each one's place is its name.
pub fn plant_triggers(site: &Site, owner: &str, table: &str, at_once: &str, deferred: &str) {
    site.sql(
        "CREATE OR REPLACE FUNCTION hostile.on_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM hostile.attack(TG_NAME); RETURN NEW; END $$; ALTER FUNCTION hostile.on_row OWNER TO mallory",
    );
    site.as_user(owner).sql(&format!(
        "CREATE TRIGGER \"{at_once}\" BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION hostile.on_row(); \
         CREATE CONSTRAINT TRIGGER \"{deferred}\" AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION hostile.on_row()"
    ));
}

/// Columns of mallory's types, with casts and an operator, and a function for the mapping.
pub fn plant_types(site: &Site) {
    site.as_user("mallory").sql(
        "CREATE TYPE hostile.mood AS ENUM ('calm'); CREATE TYPE hostile.slug AS ENUM ('canal-loft', 'garden-flat', 'roof-studio'); \
         CREATE FUNCTION hostile.mood_text(m hostile.mood) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM hostile.attack('cast to text'); RETURN format('%s', m); END $$; \
         CREATE FUNCTION hostile.mood_json(m hostile.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM hostile.attack('cast to json'); RETURN '1'; END $$; \
         CREATE FUNCTION hostile.same_mood(hostile.mood, hostile.mood) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM hostile.attack('operator'); RETURN true; END $$; \
         CREATE FUNCTION hostile.slug_text(s hostile.slug) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM hostile.attack('cast of a slug'); RETURN format('%s', s); END $$; \
         CREATE FUNCTION hostile.mapped(b bookings) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM hostile.attack('mapping'); RETURN 'x'; END $$; \
         CREATE CAST (hostile.mood AS text) WITH FUNCTION hostile.mood_text(hostile.mood); \
         CREATE CAST (hostile.mood AS json) WITH FUNCTION hostile.mood_json(hostile.mood); \
         CREATE CAST (hostile.slug AS text) WITH FUNCTION hostile.slug_text(hostile.slug); \
         CREATE OPERATOR public.= (LEFTARG = hostile.mood, RIGHTARG = hostile.mood, FUNCTION = hostile.same_mood); \
         ALTER TABLE properties ALTER slug TYPE hostile.slug USING slug::hostile.slug",
    );
    site.as_user("site_owner").sql("ALTER TABLE bookings ADD mood hostile.mood DEFAULT 'calm'");
}
