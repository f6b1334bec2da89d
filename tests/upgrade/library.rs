//! The functions that the library exports, as declared in the Rust sources. `sql/schema` must declare them equally, because
//! nothing else checks the types of arguments and results.

use super::cursor::{Cursor, canonical};
use super::functions::Function;
use super::tokens::{Token, statements};

/// A function with `#[pg_extern(sql = false)]` or `#[pg_trigger(sql = false)]`.
#[derive(Debug, PartialEq, Eq)]
pub struct Exported {
    pub name: String,
    /// Parameters and result, written as those of `Function`.
    pub shape: String,
    /// STRICT or not; none if it makes no difference.
    pub is_strict: Option<bool>,
}

/// The exported functions of one source. Errors: one is not understood, or pgrx would write SQL of its own for it.
pub fn exported(source: &str) -> Result<Vec<Exported>, String> {
    let mut found = Vec::new();
    for attribute in ["#[pg_extern", "#[pg_trigger"] {
        for (at, _) in source.match_indices(attribute) {
            let declaration = &source[at..];
            let begin = declaration.find("fn ").ok_or("an attribute without a function")?;
            let name: String =
                declaration[begin + 3..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if !declaration[..begin].contains("sql = false") {
                return Err(format!("{name}: write {attribute}(sql = false)], and declare it in sql/schema"));
            }
            let end = declaration.find(" {\n").ok_or_else(|| format!("{name} has no body"))?;
            let is_trigger = attribute == "#[pg_trigger";
            let rust = &declaration[begin + 3 + name.len()..end];
            found.push(read(&name, rust, is_trigger).map_err(|error| format!("{name}: {error}"))?);
        }
    }
    Ok(found)
}

fn read(name: &str, rust: &str, is_trigger: bool) -> Result<Exported, String> {
    if is_trigger {
        let shape = "() returns trigger".to_owned();
        return Ok(Exported { name: name.to_owned(), shape, is_strict: None });
    }
    // A lifetime would read as a string that does not end.
    let rust = rust.replace("'static,", "").replace("'static ", "").replace('&', "") + ";";
    let tokens = statements(&rust)?.into_iter().next().ok_or("nothing follows the name")?.tokens;
    let mut cursor = Cursor::new(&tokens);
    let parameters = split_types(cursor.group()?);
    let (mut shapes, mut nullable) = (Vec::new(), false);
    for parameter in &parameters {
        let mut cursor = Cursor::new(parameter);
        let name = cursor.word()?;
        cursor.eat(":");
        let mut kind = cursor.rest();
        if cursor.eat("default !") {
            kind = split_types(cursor.group()?)[0];
        }
        nullable |= kind[0].is("option");
        shapes.push(format!("in {name} {}", sql_type(kind)?));
    }
    let returns = if cursor.eat("- >") { sql_type(cursor.rest())? } else { "void".to_owned() };
    Ok(Exported {
        name: name.to_owned(),
        shape: format!("({}) returns {returns}", shapes.join(", ")),
        is_strict: (!parameters.is_empty()).then_some(!nullable),
    })
}

/// The parts between commas that stand outside parentheses and angle brackets.
fn split_types(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0;
    let comma = |token: &Token| {
        depth +=
            i32::from(matches!(token, Token::Symbol('(' | '<'))) - i32::from(matches!(token, Token::Symbol(')' | '>')));
        depth == 0 && token.is_symbol(',')
    };
    tokens.split(comma).filter(|part| !part.is_empty()).collect()
}

/// The SQL type to which pgrx maps a Rust type.
fn sql_type(tokens: &[Token]) -> Result<String, String> {
    let inner = tokens.get(2..tokens.len() - 1).unwrap_or_default();
    let text: String = tokens.iter().map(Token::text).collect();
    Ok(match text.as_str() {
        "str" | "string" => "text",
        "bool" => "boolean",
        "i16" => "smallint",
        "i32" => "integer",
        "i64" => "bigint",
        "f64" => "double precision",
        "jsonb" => "jsonb",
        "pg_sys::oid" => "oid",
        "timestampwithtimezone" => "timestamp with time zone",
        _ if text.starts_with("option<") => return sql_type(inner),
        _ if text.starts_with("vec<") => return Ok(sql_type(inner)? + "[]"),
        _ if text.starts_with("tableiterator<(") => return table(Cursor::new(inner).group()?),
        _ => return Err(format!("no SQL type is known for {text}")),
    }
    .to_owned())
}

fn table(columns: &[Token]) -> Result<String, String> {
    let mut found = Vec::new();
    for column in split_types(columns) {
        let mut cursor = Cursor::new(column);
        cursor.eat("name !");
        let [name, kind] = split_types(cursor.group()?)[..] else {
            return Err(format!("{} is no column", canonical(column)));
        };
        found.push(format!("{} {}", canonical(name), sql_type(kind)?));
    }
    Ok(format!("table ({})", found.join(", ")))
}

/// The declaration in SQL of an exported function; none if it is of another language.
pub fn declared(function: &Function) -> Option<Exported> {
    let (_, symbol) = function.definition.split_once("as 'MODULE_PATHNAME', '")?;
    let name = symbol.split('\'').next()?.strip_suffix("_wrapper")?.to_owned();
    // An oid to Rust.
    let shape = function.shape.replace(" regclass", " oid");
    let attributes = function.definition.split(&function.shape[function.shape.find(" returns ")?..]).nth(1)?;
    let is_strict = (!shape.starts_with("() ")).then(|| format!(" {attributes}").contains(" strict "));
    Some(Exported { name, shape, is_strict })
}
