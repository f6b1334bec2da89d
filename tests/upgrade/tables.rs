//! A model of tables and their columns, constraints and indexes, built from the statements that create and change them. As in
//! Postgres, a statement about a missing object is an error.

use std::collections::BTreeMap;

use super::columns;
use super::cursor::{Cursor, canonical, split};
use super::tokens::{Token, join};

/// The kind of an object that belongs to a table or domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    Table,
    Domain,
    Column,
    Constraint,
    Index,
    Option,
}

/// An object: its kind, its table or domain, and its name, which is empty for the table or domain itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thing {
    pub sort: Sort,
    pub table: String,
    pub name: String,
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.sort {
            Sort::Table => write!(f, "table {}", self.table),
            Sort::Domain => write!(f, "domain {}", self.table),
            Sort::Column => write!(f, "column {}.{}", self.table, self.name),
            Sort::Index => write!(f, "index {} on {}", self.name, self.table),
            Sort::Constraint => write!(f, "constraint {} of {}", self.name, self.table),
            Sort::Option => write!(f, "storage parameter {} of {}", self.name, self.table),
        }
    }
}

/// All tables and domains: each object with its definition.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    things: BTreeMap<Thing, Vec<Token>>,
}

/// The object of this kind and name.
pub fn thing(sort: Sort, table: &str, name: &str) -> Thing {
    Thing { sort, table: table.to_owned(), name: name.to_owned() }
}

impl Tables {
    /// Each object with its definition, normalised in layout and type names.
    pub fn definitions(&self) -> BTreeMap<Thing, String> {
        self.things.iter().map(|(thing, tokens)| (thing.clone(), canonical(tokens))).collect()
    }

    /// True if the table or domain exists.
    pub fn has(&self, sort: Sort, table: &str) -> bool {
        self.things.contains_key(&thing(sort, table, ""))
    }

    /// True if the table has the column.
    pub fn has_column(&self, table: &str, column: &str) -> bool {
        self.things.contains_key(&thing(Sort::Column, table, column))
    }

    pub fn get(&self, thing: &Thing) -> Result<&Vec<Token>, String> {
        self.things.get(thing).ok_or_else(|| format!("there is no {thing}"))
    }

    pub fn add(&mut self, thing: Thing, definition: Vec<Token>) -> Result<(), String> {
        match self.things.insert(thing.clone(), definition) {
            None => Ok(()),
            Some(_) => Err(format!("{thing} exists already")),
        }
    }

    pub fn set(&mut self, thing: &Thing, definition: Vec<Token>) -> Result<(), String> {
        self.get(thing)?;
        self.things.insert(thing.clone(), definition);
        Ok(())
    }

    pub fn set_option(&mut self, table: &str, name: &str, value: Option<&[Token]>) {
        let option = thing(Sort::Option, table, name);
        match value {
            Some(value) => self.things.insert(option, value.to_vec()),
            None => self.things.remove(&option),
        };
    }

    pub fn remove(&mut self, thing: &Thing) -> Result<(), String> {
        self.things.remove(thing).map(drop).ok_or_else(|| format!("there is no {thing}"))
    }

    pub fn rename(&mut self, old: &Thing, name: &str) -> Result<(), String> {
        let definition = self.get(old)?.clone();
        self.remove(old)?;
        self.add(Thing { name: name.to_owned(), ..old.clone() }, definition)
    }

    /// A name that is unused in the table: Postgres appends a number.
    pub fn free_name(&self, table: &str, wanted: &str) -> String {
        let is_free = |name: &String| {
            !self.things.contains_key(&thing(Sort::Constraint, table, name))
                && !self.things.contains_key(&thing(Sort::Index, table, name))
        };
        let numbered = (1..).map(|number| format!("{wanted}{number}"));
        std::iter::once(wanted.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
    }

    /// CREATE TABLE, after these words.
    pub fn create_table(&mut self, cursor: &mut Cursor) -> Result<(), String> {
        let table = cursor.name()?;
        self.add(thing(Sort::Table, &table, ""), Vec::new())?;
        for element in split(cursor.group()?) {
            columns::add(self, &table, element)?;
        }
        if cursor.eat("with") {
            columns::set_options(self, &table, cursor.group()?)?;
        }
        nothing_more(cursor)
    }

    /// CREATE DOMAIN, after these words.
    pub fn create_domain(&mut self, cursor: &mut Cursor) -> Result<(), String> {
        let domain = cursor.name()?;
        cursor.eat("as");
        let base = cursor.until(|token| ["constraint", "check", "not", "default"].iter().any(|word| token.is(word)));
        self.add(thing(Sort::Domain, &domain, ""), base.to_vec())?;
        while !cursor.rest().is_empty() {
            columns::add_constraint(self, &domain, cursor)?;
        }
        Ok(())
    }

    /// CREATE INDEX, after these words.
    pub fn create_index(&mut self, cursor: &mut Cursor, is_unique: bool) -> Result<(), String> {
        let name = cursor.word()?;
        if !cursor.eat("on") {
            return Err("an index needs a name".to_owned());
        }
        let table = cursor.name()?;
        self.get(&thing(Sort::Table, &table, ""))?;
        let unique = is_unique.then(|| Token::Word("unique".to_owned()));
        let definition = unique.into_iter().chain(cursor.rest().iter().cloned()).collect();
        self.add(thing(Sort::Index, &table, &name), definition)
    }

    /// DROP TABLE or DROP DOMAIN, with all that belongs to it.
    pub fn drop_table(&mut self, sort: Sort, table: &str) -> Result<(), String> {
        self.remove(&thing(sort, table, ""))?;
        self.things.retain(|thing, _| thing.table != table);
        Ok(())
    }

    /// DROP INDEX.
    pub fn drop_index(&mut self, index: &str) -> Result<(), String> {
        let found = self.index(index)?;
        self.remove(&found)
    }

    /// ALTER INDEX, after these words. An index may belong to a constraint, whose name it has.
    pub fn alter_index(&mut self, cursor: &mut Cursor) -> Result<(), String> {
        let found = self.index(&cursor.name()?)?;
        if !cursor.eat("rename to") {
            return Err(format!("ALTER INDEX … {} is not understood", join(cursor.rest())));
        }
        self.rename(&found, &cursor.word()?)
    }

    fn index(&self, index: &str) -> Result<Thing, String> {
        let (schema, name) = index.rsplit_once('.').unwrap_or_default();
        let matches = |thing: &&Thing| {
            matches!(thing.sort, Sort::Index | Sort::Constraint)
                && thing.name == name
                && thing.table.rsplit_once('.').is_some_and(|(of, _)| of == schema)
        };
        self.things.keys().find(matches).cloned().ok_or_else(|| format!("there is no index {index}"))
    }

    /// Renames a table or domain; its constraints and indexes keep their names, as in Postgres.
    pub fn rename_table(&mut self, sort: Sort, table: &str, name: &str) -> Result<String, String> {
        self.get(&thing(sort, table, ""))?;
        let schema = table.rsplit_once('.').map_or("", |(schema, _)| schema);
        let renamed = format!("{schema}.{name}");
        if self.has(sort, &renamed) {
            return Err(format!("{} exists already", thing(sort, &renamed, "")));
        }
        let moved = std::mem::take(&mut self.things).into_iter().map(|(mut thing, definition)| {
            if thing.table == table {
                thing.table.clone_from(&renamed);
            }
            (thing, definition)
        });
        self.things = moved.collect();
        Ok(renamed)
    }

    /// Renames a column, also in constraints and indexes.
    pub fn rename_column(&mut self, table: &str, old: &str, new: &str) -> Result<(), String> {
        self.rename(&thing(Sort::Column, table, old), new)?;
        for (thing, definition) in &mut self.things {
            if thing.table == table && matches!(thing.sort, Sort::Constraint | Sort::Index) {
                definition
                    .iter_mut()
                    .filter(|token| token.is(old))
                    .for_each(|token| *token = Token::Word(new.to_owned()));
            }
        }
        Ok(())
    }

    /// Drops a column with its constraints and indexes.
    pub fn drop_column(&mut self, table: &str, column: &str) -> Result<(), String> {
        self.remove(&thing(Sort::Column, table, column))?;
        self.things.retain(|thing, definition| {
            let depends =
                matches!(thing.sort, Sort::Constraint | Sort::Index) && definition.iter().any(|t| t.is(column));
            thing.table != table || !depends
        });
        Ok(())
    }
}

/// Errors: the statement goes on.
pub fn nothing_more(cursor: &Cursor) -> Result<(), String> {
    match cursor.rest() {
        [] => Ok(()),
        rest => Err(format!("{} is not understood", join(rest))),
    }
}
