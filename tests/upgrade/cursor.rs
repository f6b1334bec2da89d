//! Reads the tokens of one statement from left to right.

use super::tokens::{Token, join};

/// A place among the tokens of a statement.
pub struct Cursor<'a> {
    tokens: &'a [Token],
}

impl<'a> Cursor<'a> {
    pub fn new(tokens: &'a [Token]) -> Self {
        Self { tokens }
    }

    /// Takes these words if they come next. A word may be a single character.
    pub fn eat(&mut self, words: &str) -> bool {
        let wanted: Vec<&str> = words.split(' ').collect();
        let comes = self.tokens.len() >= wanted.len()
            && wanted.iter().zip(self.tokens).all(|(word, token)| token.text() == *word);
        if comes {
            self.tokens = &self.tokens[wanted.len()..];
        }
        comes
    }

    /// Takes the next token. Errors: there is none.
    pub fn take(&mut self) -> Result<&'a Token, String> {
        let (first, rest) = self.tokens.split_first().ok_or("the statement ends too early")?;
        self.tokens = rest;
        Ok(first)
    }

    /// Takes one name without its schema. Errors: none comes.
    pub fn word(&mut self) -> Result<String, String> {
        match self.take()? {
            Token::Word(name) | Token::Quoted(name) => Ok(name.clone()),
            other => Err(format!("a name was expected before {}", other.text())),
        }
    }

    /// Takes a name with its schema; that of the extension is added to one that has none. Errors: none comes.
    pub fn name(&mut self) -> Result<String, String> {
        let mut parts = vec![self.word()?];
        while self.eat(".") {
            parts.push(self.word()?);
        }
        if parts.len() == 1 {
            parts.insert(0, "@extschema@".to_owned());
        }
        Ok(parts.join("."))
    }

    /// Takes the tokens between the parentheses that come next. Errors: none come.
    pub fn group(&mut self) -> Result<&'a [Token], String> {
        if !self.eat("(") {
            return Err(format!("a parenthesis was expected before {}", join(self.tokens)));
        }
        let mut depth = 1;
        let inside = |token: &&Token| {
            depth += i32::from(token.is_symbol('(')) - i32::from(token.is_symbol(')'));
            depth > 0
        };
        let length = self.tokens.iter().take_while(inside).count();
        let (inner, rest) = self.tokens.split_at(length);
        self.tokens = rest.split_first().ok_or("a parenthesis is not closed")?.1;
        Ok(inner)
    }

    /// Takes all tokens, but at least one, up to a token outside parentheses for which `stops` is true.
    pub fn until(&mut self, stops: impl Fn(&Token) -> bool) -> &'a [Token] {
        let mut depth = 0;
        let mut length = 0;
        for token in self.tokens {
            if depth == 0 && length > 0 && stops(token) {
                break;
            }
            depth += i32::from(token.is_symbol('(')) - i32::from(token.is_symbol(')'));
            length += 1;
        }
        let (taken, rest) = self.tokens.split_at(length);
        self.tokens = rest;
        taken
    }

    /// The remaining tokens.
    pub fn rest(&self) -> &'a [Token] {
        self.tokens
    }
}

/// The parts between commas that stand outside parentheses.
pub fn split(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0;
    let comma = |token: &Token| {
        depth += i32::from(token.is_symbol('(')) - i32::from(token.is_symbol(')'));
        depth == 0 && token.is_symbol(',')
    };
    tokens.split(comma).filter(|part| !part.is_empty()).collect()
}

/// Tokens as one text, in which a type has one name. Of two definitions that mean the same, the texts are equal.
pub fn canonical(tokens: &[Token]) -> String {
    let mut text = String::new();
    let mut joins = true;
    for token in tokens {
        let symbol = if let Token::Symbol(symbol) = token { *symbol } else { ' ' };
        if !joins && !matches!(symbol, ',' | ')' | '.' | '[' | ']') {
            text.push(' ');
        }
        text.push_str(&alias(token));
        joins = matches!(symbol, '(' | '.' | '[');
    }
    text
}

fn alias(token: &Token) -> String {
    let text = token.text();
    let Token::Word(word) = token else { return text };
    let known = match word.as_str() {
        "int" | "int4" => "integer",
        "int8" => "bigint",
        "int2" => "smallint",
        "bool" => "boolean",
        "float8" => "double precision",
        "varchar" => "character varying",
        "timestamptz" => "timestamp with time zone",
        _ => return text,
    };
    known.to_owned()
}
