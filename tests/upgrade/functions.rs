//! Reads CREATE FUNCTION, as far as an upgrade script needs it.

use super::cursor::{Cursor, canonical, split};
use super::tokens::{Statement, Token};

/// A function of one version.
#[derive(Clone, Debug)]
pub struct Function {
    /// Name and argument types: what DROP FUNCTION and COMMENT take.
    pub signature: String,
    /// Names and modes of the parameters, and the result: CREATE OR REPLACE cannot change them.
    pub shape: String,
    /// The number of parameters with a default. CREATE OR REPLACE can add defaults and remove none.
    pub defaults: usize,
    /// The whole definition: equal for equal functions.
    pub definition: String,
    /// The statement from the name on, as written.
    pub source: String,
}

impl Function {
    /// True if CREATE OR REPLACE can turn `old` into this one.
    pub fn can_replace(&self, old: &Function) -> bool {
        self.shape == old.shape && self.defaults >= old.defaults
    }
}

const ATTRIBUTES: [&str; 17] = [
    "language",
    "strict",
    "immutable",
    "stable",
    "volatile",
    "set",
    "as",
    "security",
    "parallel",
    "cost",
    "rows",
    "called",
    "leakproof",
    "window",
    "not",
    "begin",
    "return",
];

/// The function of a CREATE FUNCTION statement, and true for OR REPLACE. Errors: it is not understood.
pub fn create(statement: &Statement) -> Result<(Function, bool), String> {
    let mut cursor = Cursor::new(&statement.tokens);
    let replaces = cursor.eat("create or replace function");
    if !replaces && !cursor.eat("create function") {
        return Err("this is no CREATE FUNCTION".to_owned());
    }
    let name = cursor.name()?;
    let parameters = split(cursor.group()?).into_iter().map(parameter).collect::<Result<Vec<_>, _>>()?;
    let returns = match cursor.eat("returns") {
        true => canonical(cursor.until(|token| ATTRIBUTES.iter().any(|word| token.is(word)))),
        false => String::new(),
    };
    let inputs: Vec<&str> = parameters.iter().filter(|p| !p.is_output).map(|p| p.kind.as_str()).collect();
    let shape: Vec<String> = parameters.iter().map(|p| format!("{} {}", p.name, p.kind)).collect();
    let text = &statement.text;
    let source = text[text.find('(').unwrap_or(0)..].to_owned();
    let function = Function {
        signature: format!("{name}({})", inputs.join(", ")),
        shape: format!("({}) returns {returns}", shape.join(", ")),
        defaults: parameters.iter().filter(|p| p.has_default).count(),
        definition: format!(
            "({}) returns {returns} {}",
            parameters.iter().map(|p| p.text.as_str()).collect::<Vec<_>>().join(", "),
            canonical(cursor.rest())
        ),
        source: format!("{name}{source}"),
    };
    Ok((function, replaces))
}

/// The name and argument types in DROP FUNCTION and COMMENT ON FUNCTION. Errors: they are not understood.
pub fn signature(cursor: &mut Cursor) -> Result<String, String> {
    let name = cursor.name()?;
    let types: Vec<String> = split(cursor.group()?).into_iter().map(canonical).collect();
    Ok(format!("{name}({})", types.join(", ")))
}

struct Parameter {
    /// With its mode, as in `OUT name`.
    name: String,
    kind: String,
    is_output: bool,
    has_default: bool,
    text: String,
}

fn parameter(tokens: &[Token]) -> Result<Parameter, String> {
    let mut cursor = Cursor::new(tokens);
    let mode = ["inout", "out", "variadic", "in"].into_iter().find(|mode| cursor.eat(mode)).unwrap_or("in");
    let declared = cursor.until(|token| token.is("default") || token.is_symbol('='));
    let [Token::Word(name) | Token::Quoted(name), kind @ ..] = declared else {
        return Err(format!("the parameter {} is not understood", canonical(tokens)));
    };
    if kind.is_empty() || kind[0].is_symbol('.') {
        return Err(format!("the parameter {} has no name", canonical(tokens)));
    }
    Ok(Parameter {
        name: format!("{mode} {name}"),
        kind: canonical(kind),
        is_output: mode == "out",
        has_default: !cursor.rest().is_empty(),
        text: canonical(tokens),
    })
}
