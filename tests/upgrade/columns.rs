//! Columns, constraints and storage parameters: the elements of CREATE TABLE and the actions of ALTER TABLE.

use super::cursor::{Cursor, split};
use super::tables::{Sort, Tables, nothing_more, thing};
use super::tokens::{Token, join};

const CONSTRAINTS: [&str; 5] = ["primary", "unique", "check", "foreign", "references"];
const CLAUSES: [&str; 8] = ["constraint", "primary", "unique", "check", "references", "not", "default", "generated"];

fn is_one_of(token: &Token, words: &[&str]) -> bool {
    words.iter().any(|word| token.is(word))
}

fn word(text: &str) -> Token {
    Token::Word(text.to_owned())
}

/// Adds one element of CREATE TABLE: a column, or a constraint.
pub fn add(tables: &mut Tables, table: &str, element: &[Token]) -> Result<(), String> {
    let mut cursor = Cursor::new(element);
    match element {
        [first, ..] if first.is("constraint") || is_one_of(first, &CONSTRAINTS) => {
            add_constraint(tables, table, &mut cursor)?;
        }
        _ => add_column(tables, table, &mut cursor)?,
    }
    nothing_more(&cursor)
}

/// Adds a column: its type, NOT NULL, default and identity, always in this order. Its constraints become separate
/// objects with the names that Postgres gives them.
pub fn add_column(tables: &mut Tables, table: &str, cursor: &mut Cursor) -> Result<(), String> {
    let name = cursor.word()?;
    let kind = cursor.until(|token| is_one_of(token, &CLAUSES) || token.is("null"));
    let (mut not_null, mut default, mut generated) = (false, Vec::new(), Vec::new());
    let mut constraints: Vec<(Option<String>, Vec<Token>)> = Vec::new();
    let ends = |token: &Token| is_one_of(token, &CLAUSES);
    while !cursor.rest().is_empty() {
        let given = if cursor.eat("constraint") { Some(cursor.word()?) } else { None };
        if cursor.eat("not null") {
            not_null = true;
        } else if cursor.eat("null") {
        } else if cursor.eat("default") {
            default = cursor.until(ends).to_vec();
        } else if cursor.eat("generated") {
            generated = cursor.until(ends).to_vec();
            not_null = true;
        } else if cursor.eat("primary key") {
            not_null = true;
            constraints
                .push((given, [word("primary"), word("key")].into_iter().chain(in_parentheses(&name)).collect()));
        } else if cursor.eat("unique") {
            constraints.push((given, std::iter::once(word("unique")).chain(in_parentheses(&name)).collect()));
        } else if cursor.rest()[0].is("check") {
            constraints.push((given, cursor.until(ends).to_vec()));
        } else if cursor.rest()[0].is("references") {
            let target = cursor.until(ends).iter().cloned();
            let key = [word("foreign"), word("key")].into_iter().chain(in_parentheses(&name));
            constraints.push((given, key.chain(target).collect()));
        } else {
            return Err(format!("column {name}: {} is not understood", join(cursor.rest())));
        }
    }
    let column = assemble(kind, not_null, &default, &generated);
    tables.add(thing(Sort::Column, table, &name), column)?;
    for (given, definition) in constraints {
        let chosen = given.unwrap_or_else(|| usual_name(tables, table, &definition));
        tables.add(thing(Sort::Constraint, table, &chosen), definition)?;
    }
    Ok(())
}

fn in_parentheses(name: &str) -> [Token; 3] {
    [Token::Symbol('('), word(name), Token::Symbol(')')]
}

fn assemble(kind: &[Token], not_null: bool, default: &[Token], generated: &[Token]) -> Vec<Token> {
    let mut column = kind.to_vec();
    column.extend(not_null.then(|| [word("not"), word("null")]).into_iter().flatten());
    for (clause, tokens) in [("default", default), ("generated", generated)] {
        if !tokens.is_empty() {
            column.push(word(clause));
            column.extend_from_slice(tokens);
        }
    }
    column
}

/// The name that Postgres gives to a constraint: of the table, and of the columns of a key or the only column of a check.
fn usual_name(tables: &Tables, table: &str, definition: &[Token]) -> String {
    let table_name = table.rsplit('.').next().unwrap_or(table);
    let mut columns: Vec<String> = Vec::new();
    let own = definition.iter().take_while(|token| !token.is("references")).map(Token::text);
    for name in own.filter(|name| tables.has_column(table, name)) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    let columns = if definition[0].is("check") && columns.len() > 1 { String::new() } else { columns.join("_") };
    let end = match &definition[0] {
        first if first.is("primary") => return tables.free_name(table, &format!("{table_name}_pkey")),
        first if first.is("unique") => "key",
        first if first.is("foreign") => "fkey",
        _ => "check",
    };
    let parts: Vec<&str> = [table_name, &columns, end].into_iter().filter(|part| !part.is_empty()).collect();
    tables.free_name(table, &parts.join("_"))
}

/// Adds the constraint of a table or domain that comes next.
pub fn add_constraint(tables: &mut Tables, table: &str, cursor: &mut Cursor) -> Result<(), String> {
    let given = if cursor.eat("constraint") { Some(cursor.word()?) } else { None };
    let definition = cursor.until(|token| token.is("constraint"));
    let first = definition.first().ok_or("a constraint is missing")?;
    let is_key = first.is("primary");
    let name = given.unwrap_or_else(|| usual_name(tables, table, definition));
    tables.add(thing(Sort::Constraint, table, &name), definition.to_vec())?;
    let columns = if is_key { Cursor::new(&definition[2..]).group()? } else { &[] };
    for column in columns.iter().filter(|token| !token.is_symbol(',')) {
        change_column(tables, table, &column.text(), &[word("set"), word("not"), word("null")])?;
    }
    Ok(())
}

/// Sets the storage parameters of a table: `fillfactor = 70, …`.
pub fn set_options(tables: &mut Tables, table: &str, options: &[Token]) -> Result<(), String> {
    for option in split(options) {
        let mut cursor = Cursor::new(option);
        let name = cursor.word()?;
        let value = if cursor.eat("=") { cursor.rest() } else { &[] };
        tables.set_option(table, &name, Some(value));
    }
    Ok(())
}

/// One action of ALTER TABLE or ALTER DOMAIN, except RENAME.
pub fn alter(tables: &mut Tables, table: &str, action: &[Token]) -> Result<(), String> {
    let mut cursor = Cursor::new(action);
    if cursor.eat("add column") {
        add_column(tables, table, &mut cursor)
    } else if cursor.eat("add") {
        add_constraint(tables, table, &mut cursor)?;
        nothing_more(&cursor)
    } else if cursor.eat("drop column") {
        tables.drop_column(table, &cursor.word()?)
    } else if cursor.eat("drop constraint") {
        tables.remove(&thing(Sort::Constraint, table, &cursor.word()?))
    } else if cursor.eat("alter column") || cursor.eat("alter") {
        let column = cursor.word()?;
        change_column(tables, table, &column, cursor.rest())
    } else if cursor.eat("set") {
        set_options(tables, table, cursor.group()?)
    } else if cursor.eat("reset") {
        for option in split(cursor.group()?) {
            tables.set_option(table, &join(option), None);
        }
        Ok(())
    } else if ["validate constraint", "enable trigger", "disable trigger", "owner to"].iter().any(|w| cursor.eat(w)) {
        Ok(())
    } else {
        Err(format!("ALTER TABLE … {} is not understood", join(action)))
    }
}

/// ALTER COLUMN.
fn change_column(tables: &mut Tables, table: &str, column: &str, change: &[Token]) -> Result<(), String> {
    let key = thing(Sort::Column, table, column);
    let definition = tables.get(&key)?.clone();
    let mut parts = Cursor::new(&definition);
    let mut kind = parts.until(|token| is_one_of(token, &CLAUSES));
    let mut not_null = parts.eat("not null");
    let mut default = if parts.eat("default") { parts.until(|token| token.is("generated")) } else { &[] };
    let generated = if parts.eat("generated") { parts.rest() } else { &[] };
    let mut cursor = Cursor::new(change);
    if cursor.eat("type") || cursor.eat("set data type") {
        kind = cursor.until(|token| token.is("using"));
    } else if cursor.eat("set not null") {
        not_null = true;
    } else if cursor.eat("drop not null") {
        not_null = false;
    } else if cursor.eat("set default") {
        default = cursor.rest();
    } else if cursor.eat("drop default") {
        default = &[];
    } else {
        return Err(format!("ALTER COLUMN {column} {} is not understood", join(change)));
    }
    tables.set(&key, assemble(kind, not_null, default, generated))
}
