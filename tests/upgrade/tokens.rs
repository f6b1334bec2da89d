//! Splits SQL into tokens and statements. Used by every other file of this test.

/// One token; whitespace and comments are not tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A keyword or an unquoted name, in lower case; `@extschema@` too.
    Word(String),
    /// A quoted name that needs its quotes, which it keeps.
    Quoted(String),
    /// A string constant or a number, as written.
    Constant(String),
    /// A dollar-quoted string: a body. As written.
    Body(String),
    /// Any other character.
    Symbol(char),
}

impl Token {
    /// True for this keyword or unquoted name.
    pub fn is(&self, word: &str) -> bool {
        matches!(self, Token::Word(text) if text == word)
    }

    /// True for this character.
    pub fn is_symbol(&self, symbol: char) -> bool {
        *self == Token::Symbol(symbol)
    }

    /// The text, a name or a keyword in its normal form.
    pub fn text(&self) -> String {
        match self {
            Token::Word(text) | Token::Quoted(text) | Token::Constant(text) | Token::Body(text) => text.clone(),
            Token::Symbol(symbol) => symbol.to_string(),
        }
    }
}

/// A statement without its semicolon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The text from the first token to the last one, with the comments in between.
    pub text: String,
    pub tokens: Vec<Token>,
    /// The line of the first token, from 1.
    pub line: usize,
}

/// Tokens joined by spaces: equal for texts that differ only in whitespace, comments and the case of words.
pub fn join(tokens: &[Token]) -> String {
    tokens.iter().map(Token::text).collect::<Vec<_>>().join(" ")
}

/// Splits a script into statements. Lines that begin with a backslash are for psql and are skipped. Errors: a string, a
/// comment or a statement that does not end.
pub fn statements(sql: &str) -> Result<Vec<Statement>, String> {
    let mut found = Vec::new();
    let (mut begin, mut current, mut depth, mut at) = (0, Vec::new(), Depth::default(), 0);
    while let Some((token, from, to)) = next(sql, at)? {
        at = to;
        if token.is_symbol(';') && depth.is_outside() {
            if !current.is_empty() {
                found.push(statement(sql, begin, from, std::mem::take(&mut current)));
            }
            depth = Depth::default();
            continue;
        }
        if current.is_empty() {
            begin = from;
        }
        depth.pass(current.last(), &token);
        current.push(token);
    }
    if current.is_empty() { Ok(found) } else { Err(format!("line {}: no semicolon", line_of(sql, begin))) }
}

fn statement(sql: &str, begin: usize, end: usize, tokens: Vec<Token>) -> Statement {
    Statement { text: sql[begin..end].trim_end().to_owned(), tokens, line: line_of(sql, begin) }
}

fn line_of(sql: &str, at: usize) -> usize {
    sql[..at].matches('\n').count() + 1
}

/// Nesting in parentheses and in `BEGIN ATOMIC … END`, inside which a semicolon does not end the statement.
#[derive(Default)]
struct Depth {
    parentheses: usize,
    blocks: usize,
}

impl Depth {
    fn is_outside(&self) -> bool {
        self.parentheses == 0 && self.blocks == 0
    }

    fn pass(&mut self, before: Option<&Token>, token: &Token) {
        match token {
            Token::Symbol('(') => self.parentheses += 1,
            Token::Symbol(')') => self.parentheses = self.parentheses.saturating_sub(1),
            Token::Word(word) if word == "atomic" && before.is_some_and(|token| token.is("begin")) => self.blocks += 1,
            Token::Word(word) if word == "case" && self.blocks > 0 => self.blocks += 1,
            Token::Word(word) if word == "end" => self.blocks = self.blocks.saturating_sub(1),
            _ => {}
        }
    }
}

/// The next token from `at` on, with its range; none at the end.
fn next(sql: &str, at: usize) -> Result<Option<(Token, usize, usize)>, String> {
    let from = skip(sql, at)?;
    let rest = &sql[from..];
    let Some(first) = rest.chars().next() else { return Ok(None) };
    let unended = |what: &str| format!("line {}: {what} does not end", line_of(sql, from));
    let (token, length) = if first == '\'' {
        let length = quoted(rest, '\'', false).ok_or_else(|| unended("a string"))?;
        (Token::Constant(rest[..length].to_owned()), length)
    } else if (first == 'e' || first == 'E') && rest[1..].starts_with('\'') {
        let length = quoted(&rest[1..], '\'', true).ok_or_else(|| unended("a string"))? + 1;
        (Token::Constant(rest[..length].to_owned()), length)
    } else if first == '"' {
        let length = quoted(rest, '"', false).ok_or_else(|| unended("a quoted name"))?;
        (name(&rest[..length]), length)
    } else if let Some(tag) = dollar_tag(rest) {
        let end = rest[tag.len()..].find(tag).ok_or_else(|| unended("a body"))?;
        let length = end + 2 * tag.len();
        (Token::Body(rest[..length].to_owned()), length)
    } else if rest.starts_with("@extschema@") {
        (Token::Word("@extschema@".to_owned()), "@extschema@".len())
    } else if first.is_ascii_digit() {
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len());
        (Token::Constant(rest[..length].to_owned()), length)
    } else if is_word(first) {
        let length = rest.find(|c: char| !(is_word(c) || c.is_ascii_digit() || c == '$')).unwrap_or(rest.len());
        (Token::Word(rest[..length].to_ascii_lowercase()), length)
    } else {
        (Token::Symbol(first), first.len_utf8())
    };
    Ok(Some((token, from, from + length)))
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

/// A quoted name, without its quotes if it means the same without them.
fn name(quoted: &str) -> Token {
    let plain = &quoted[1..quoted.len() - 1];
    let is_plain = plain.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit());
    // "char" and char are different types.
    if is_plain && plain != "char" { Token::Word(plain.to_owned()) } else { Token::Quoted(quoted.to_owned()) }
}

/// The position after whitespace, comments (which nest) and lines for psql.
fn skip(sql: &str, mut at: usize) -> Result<usize, String> {
    loop {
        let rest = &sql[at..];
        let line_end = rest.find('\n').map_or(rest.len(), |end| end + 1);
        if rest.starts_with("--") || (rest.starts_with('\\') && (at == 0 || sql[..at].ends_with('\n'))) {
            at += line_end;
        } else if rest.starts_with("/*") {
            at += comment(rest).ok_or_else(|| format!("line {}: a comment does not end", line_of(sql, at)))?;
        } else if let Some(blank) = rest.chars().next().filter(|c| c.is_whitespace()) {
            at += blank.len_utf8();
        } else {
            return Ok(at);
        }
    }
}

/// The length of the comment at the start of `text`.
fn comment(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = &text[at..];
        let (step, change) = if rest.starts_with("/*") {
            (2, 1)
        } else if rest.starts_with("*/") {
            (2, -1)
        } else {
            (rest.chars().next()?.len_utf8(), 0)
        };
        at += step;
        depth += change;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The length of the quoted text at the start of `text`: a quote is doubled, or escaped if backslashes escape.
fn quoted(text: &str, quote: char, escapes: bool) -> Option<usize> {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if escapes && character == '\\' {
            characters.next();
        } else if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return Some(at + 1);
        }
    }
    None
}

/// `$$` or `$tag$` at the start of `text`.
fn dollar_tag(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('$')?;
    let end = inner.find('$')?;
    let tag = &inner[..end];
    let is_tag =
        tag.chars().all(|c| is_word(c) || c.is_ascii_digit()) && !tag.starts_with(|c: char| c.is_ascii_digit());
    is_tag.then(|| &text[..end + 2])
}
