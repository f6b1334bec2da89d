//! A model of the catalog: all objects that the statements of one version create, without a server.

use std::collections::BTreeMap;

use super::columns;
use super::cursor::{Cursor, canonical, split};
use super::functions::{self, Function};
use super::tables::{Sort, Tables, nothing_more, thing};
use super::tokens::{Statement, join, statements};

/// The objects of one version.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    pub tables: Tables,
    /// By signature.
    pub functions: BTreeMap<String, Function>,
    /// Views (`view guestly.status`) and triggers (`trigger watch on guestly.field_map`).
    pub dependents: BTreeMap<String, Statement>,
    /// Schemas, sequences, types and policies: the hand-written part of an upgrade script creates and drops them.
    pub objects: BTreeMap<String, Statement>,
    /// By target, as in `column guestly.queue.state`.
    pub comments: BTreeMap<String, String>,
    /// Functions, views and triggers in the order of their creation.
    pub order: Vec<String>,
    /// Statements that define nothing.
    pub others: Vec<Statement>,
}

/// Statements that define nothing, by their first word.
const OTHERS: [&str; 12] =
    ["do", "insert", "update", "delete", "select", "set", "grant", "revoke", "lock", "with", "truncate", "reindex"];
const KINDS: [&str; 6] = ["schema", "sequence", "type", "policy", "rule", "operator"];

impl Catalog {
    /// The catalog after a script. Errors: the line and the statement that fails or is not understood.
    pub fn run(&mut self, script: &str) -> Result<(), String> {
        for statement in statements(script)? {
            self.apply(&statement).map_err(|error| {
                let begin: String = statement.text.chars().take(90).collect();
                format!("line {}: {error}\n    in: {begin}", statement.line)
            })?;
        }
        Ok(())
    }

    /// The catalog of a script that begins with an empty one.
    pub fn of(script: &str) -> Result<Self, String> {
        let mut catalog = Self::default();
        catalog.run(script)?;
        Ok(catalog)
    }

    fn apply(&mut self, statement: &Statement) -> Result<(), String> {
        let mut cursor = Cursor::new(&statement.tokens);
        if OTHERS.iter().any(|word| statement.tokens[0].is(word)) {
            self.others.push(statement.clone());
            Ok(())
        } else if cursor.eat("create") {
            self.create(statement, cursor)
        } else if cursor.eat("comment on") {
            self.comment(&mut cursor)
        } else if cursor.eat("drop") {
            self.drop(&mut cursor)
        } else if cursor.eat("alter extension") {
            Ok(())
        } else if cursor.eat("alter") {
            self.alter(&mut cursor)
        } else {
            Err("this statement is not understood".to_owned())
        }
    }

    fn create(&mut self, statement: &Statement, mut cursor: Cursor) -> Result<(), String> {
        let replaces = cursor.eat("or replace");
        if cursor.eat("function") {
            return self.create_function(statement);
        } else if cursor.eat("table") {
            return self.tables.create_table(&mut cursor);
        } else if cursor.eat("domain") {
            return self.tables.create_domain(&mut cursor);
        } else if cursor.eat("unique index") || cursor.eat("index") {
            let is_unique = statement.tokens[1].is("unique");
            return self.tables.create_index(&mut cursor, is_unique);
        }
        if cursor.eat("view") {
            let name = format!("view {}", cursor.name()?);
            return self.add_dependent(name, statement, replaces);
        }
        if cursor.eat("trigger") {
            let name = cursor.word()?;
            cursor.until(|token| token.is("on"));
            let on = if cursor.eat("on") { cursor.name()? } else { return Err("a trigger on nothing".to_owned()) };
            if !self.tables.has(Sort::Table, &on) {
                return Err(format!("there is no table {on}"));
            }
            return self.add_dependent(format!("trigger {name} on {on}"), statement, replaces);
        }
        let kind = KINDS.into_iter().find(|kind| cursor.eat(kind)).ok_or("this CREATE is not understood")?;
        let absent = cursor.eat("if not exists");
        let name = if kind == "schema" { cursor.word()? } else { cursor.name()? };
        let on = if kind == "policy" && cursor.eat("on") { format!(" on {}", cursor.name()?) } else { String::new() };
        let object = format!("{kind} {name}{on}");
        if self.objects.contains_key(&object) {
            return if absent { Ok(()) } else { Err(format!("{object} exists already")) };
        }
        self.objects.insert(object, statement.clone());
        Ok(())
    }

    fn create_function(&mut self, statement: &Statement) -> Result<(), String> {
        let (function, replaces) = functions::create(statement)?;
        let signature = function.signature.clone();
        match self.functions.get(&signature) {
            None => self.order.push(signature.clone()),
            Some(_) if !replaces => return Err(format!("function {signature} exists already")),
            Some(old) if !function.can_replace(old) => {
                return Err(format!("CREATE OR REPLACE cannot change parameters or the result of {signature}"));
            }
            Some(_) => {}
        }
        self.functions.insert(signature, function);
        Ok(())
    }

    fn add_dependent(&mut self, name: String, statement: &Statement, replaces: bool) -> Result<(), String> {
        let known = self.dependents.insert(name.clone(), statement.clone()).is_some();
        if known && !replaces {
            return Err(format!("{name} exists already"));
        }
        if !known {
            self.order.push(name);
        }
        Ok(())
    }

    fn comment(&mut self, cursor: &mut Cursor) -> Result<(), String> {
        let kind = cursor.word()?;
        let target = match kind.as_str() {
            "function" => functions::signature(cursor)?,
            _ => canonical(cursor.until(|token| token.is("is"))),
        };
        let exists = match kind.as_str() {
            "function" => self.functions.contains_key(&target),
            "table" => self.tables.has(Sort::Table, &target),
            "domain" => self.tables.has(Sort::Domain, &target),
            "column" => self.has_column(&target),
            "view" => self.dependents.contains_key(&format!("view {target}")),
            _ => true,
        };
        if !exists {
            return Err(format!("there is no {kind} {target}"));
        }
        cursor.eat("is");
        let words = join(cursor.rest());
        let key = format!("{kind} {target}");
        if words == "null" {
            self.comments.remove(&key)
        } else {
            self.comments.insert(key, words)
        };
        Ok(())
    }

    fn drop(&mut self, cursor: &mut Cursor) -> Result<(), String> {
        let kind = cursor.word()?;
        let may_lack = cursor.eat("if exists");
        loop {
            let name = match kind.as_str() {
                "function" => functions::signature(cursor)?,
                "trigger" | "policy" => {
                    let name = cursor.word()?;
                    cursor.eat("on");
                    format!("{name} on {}", cursor.name()?)
                }
                _ => cursor.name()?,
            };
            if !self.drop_one(&kind, &name)? && !may_lack {
                return Err(format!("there is no {kind} {name}"));
            }
            if !cursor.eat(",") {
                return nothing_more(cursor);
            }
        }
    }

    /// True if there was such an object.
    fn drop_one(&mut self, kind: &str, name: &str) -> Result<bool, String> {
        let key = format!("{kind} {name}");
        let known = match kind {
            "function" => self.drop_function(name)?,
            "view" | "trigger" => self.dependents.remove(&key).is_some(),
            "table" => self.drop_table(name)?,
            "domain" => self.tables.drop_table(Sort::Domain, name).is_ok(),
            "index" => self.tables.drop_index(name).is_ok(),
            _ => self.objects.remove(&key).is_some(),
        };
        self.comments.remove(&key);
        self.order.retain(|known| *known != key && *known != name);
        Ok(known)
    }

    fn drop_function(&mut self, signature: &str) -> Result<bool, String> {
        match self.dependents_of(signature).first() {
            Some(dependent) => Err(format!("{dependent} depends on {signature}")),
            None => Ok(self.functions.remove(signature).is_some()),
        }
    }

    /// The views and triggers that name a function.
    pub fn dependents_of(&self, signature: &str) -> Vec<String> {
        let call = signature.split('(').next().unwrap_or(signature).replace("@extschema@.", "") + "(";
        let names = |statement: &Statement| {
            let text = canonical(&statement.tokens).replace(" (", "(");
            text.match_indices(&call).any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        self.dependents.iter().filter(|(_, statement)| names(statement)).map(|(name, _)| name.clone()).collect()
    }

    fn drop_table(&mut self, table: &str) -> Result<bool, String> {
        let dependent = self.functions.keys().find(|signature| {
            signature.split(['(', ')', ',']).skip(1).any(|kind| kind.trim().trim_end_matches("[]") == table)
        });
        if let Some(dependent) = dependent {
            return Err(format!("{dependent} depends on {table}"));
        }
        let on = format!(" on {table}");
        self.dependents.retain(|name, _| !name.ends_with(&on));
        self.order.retain(|name| !name.ends_with(&on));
        let column = format!("column {table}.");
        self.comments.retain(|target, _| !target.starts_with(&column));
        Ok(self.tables.drop_table(Sort::Table, table).is_ok())
    }

    fn alter(&mut self, cursor: &mut Cursor) -> Result<(), String> {
        let sort = match cursor.word()?.as_str() {
            "table" => Sort::Table,
            "domain" => Sort::Domain,
            "index" => return self.tables.alter_index(cursor),
            "function" | "schema" | "view" | "sequence" => return Ok(()),
            kind => return Err(format!("ALTER {kind} is not understood")),
        };
        cursor.eat("only");
        let table = cursor.name()?;
        self.tables.get(&thing(sort, &table, ""))?;
        if cursor.eat("rename to") {
            let renamed = self.tables.rename_table(sort, &table, &cursor.word()?)?;
            let word = if sort == Sort::Table { "table" } else { "domain" };
            self.move_comments(&format!("{word} {table}"), &format!("{word} {renamed}"), "");
            self.move_comments(&format!("column {table}"), &format!("column {renamed}"), ".");
        } else if cursor.eat("rename constraint") {
            let old = thing(Sort::Constraint, &table, &cursor.word()?);
            cursor.eat("to");
            self.tables.rename(&old, &cursor.word()?)?;
        } else if cursor.eat("rename column") || cursor.eat("rename") {
            let old = cursor.word()?;
            cursor.eat("to");
            let new = cursor.word()?;
            self.tables.rename_column(&table, &old, &new)?;
            self.move_comments(&format!("column {table}.{old}"), &format!("column {table}.{new}"), "");
        } else {
            for action in split(cursor.rest()) {
                columns::alter(&mut self.tables, &table, action)?;
            }
        }
        let comments = std::mem::take(&mut self.comments).into_iter();
        let stay =
            |(target, _): &(String, String)| target.strip_prefix("column ").is_none_or(|path| self.has_column(path));
        self.comments = comments.filter(stay).collect();
        Ok(())
    }

    /// True for a column, and for any name after that of a view.
    fn has_column(&self, path: &str) -> bool {
        let Some((relation, column)) = path.rsplit_once('.') else { return false };
        self.tables.has_column(relation, column) || self.dependents.contains_key(&format!("view {relation}"))
    }

    /// Renames the targets of comments with their objects; `then` follows the name in the affected targets.
    fn move_comments(&mut self, old: &str, new: &str, then: &str) {
        let moved = std::mem::take(&mut self.comments).into_iter().map(|(target, words)| {
            match target
                .strip_prefix(old)
                .filter(|rest| rest.is_empty() || (!then.is_empty() && rest.starts_with(then)))
            {
                Some(rest) => (format!("{new}{rest}"), words),
                None => (target, words),
            }
        });
        self.comments = moved.collect();
    }
}
