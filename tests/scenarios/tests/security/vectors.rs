//! The places of a host's table where its owner may put code, each with an attack in it.

use super::findings::wrapper;
use guestly_scenarios::Site;

/// Plants a vector: its function, then its statement, as the owner of the table.
pub fn plant(site: &Site, owner: &str, name: &str, place: &str, statement: &str) {
    wrapper(site, name, place);
    site.as_user(owner).sql(&statement.replace("{f}", &format!("loot.{name}(1)")));
}

/// What planning evaluates, on a table or a partition of it.
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
        &format!("CREATE STATISTICS loot.{short}_s ON ({{f}}), created_at FROM {table}"),
    );
    plant(site, owner, &format!("{short}_d"), check, &format!("ALTER TABLE {table} ADD CHECK ({{f}} = 1)"));
}

/// A foreign table among the children of `properties`, if the server has file_fdw.
pub fn plant_foreign_child(site: &Site, place: &str) -> bool {
    if !site.query_one::<bool>("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'file_fdw')") {
        println!("skipped: {}: this server has no file_fdw", place);
        return false;
    }
    wrapper(site, "j", place);
    site.sql(
        "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; \
         CREATE FOREIGN TABLE properties_file (CHECK (loot.j(1) = 1)) INHERITS (properties) SERVER files \
         OPTIONS (filename '/dev/null', format 'csv'); ALTER FOREIGN TABLE properties_file OWNER TO mallory",
    );
    true
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
        "CREATE OR REPLACE FUNCTION loot.on_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM loot.attack(TG_NAME); RETURN NEW; END $$; ALTER FUNCTION loot.on_row OWNER TO mallory",
    );
    site.as_user(owner).sql(&format!(
        "CREATE TRIGGER \"{at_once}\" BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION loot.on_row(); \
         CREATE CONSTRAINT TRIGGER \"{deferred}\" AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION loot.on_row()"
    ));
}

/// Columns of mallory's types, with casts and an operator, and a function for the mapping.
pub fn plant_types(site: &Site) {
    site.as_user("mallory").sql(
        "CREATE TYPE loot.mood AS ENUM ('calm'); CREATE TYPE loot.slug AS ENUM ('canal-loft', 'garden-flat', 'roof-studio'); \
         CREATE FUNCTION loot.mood_text(m loot.mood) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM loot.attack('cast to text'); RETURN format('%s', m); END $$; \
         CREATE FUNCTION loot.mood_json(m loot.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM loot.attack('cast to json'); RETURN '1'; END $$; \
         CREATE FUNCTION loot.same_mood(loot.mood, loot.mood) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM loot.attack('operator'); RETURN true; END $$; \
         CREATE FUNCTION loot.slug_text(s loot.slug) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM loot.attack('cast of a slug'); RETURN format('%s', s); END $$; \
         CREATE FUNCTION loot.mapped(b bookings) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM loot.attack('mapping'); RETURN 'x'; END $$; \
         CREATE CAST (loot.mood AS text) WITH FUNCTION loot.mood_text(loot.mood); \
         CREATE CAST (loot.mood AS json) WITH FUNCTION loot.mood_json(loot.mood); \
         CREATE CAST (loot.slug AS text) WITH FUNCTION loot.slug_text(loot.slug); \
         CREATE OPERATOR public.= (LEFTARG = loot.mood, RIGHTARG = loot.mood, FUNCTION = loot.same_mood); \
         ALTER TABLE properties ALTER slug TYPE loot.slug USING slug::loot.slug",
    );
    site.as_user("site_owner").sql("ALTER TABLE bookings ADD mood loot.mood DEFAULT 'calm'");
}
