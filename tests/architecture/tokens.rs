//! Splits Rust source into words, strings and other characters, with their lines: all that the laws need.
//! Called by tests/architecture.rs only. Comments, white space and characters in quotes leave no token.

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A name, a keyword or a number.
    Word(String),
    /// The content of a string, with its escapes as written.
    Text(String),
    /// Any other character.
    Mark(char),
}

/// A token and its line, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub line: usize,
    pub token: Token,
}

impl Placed {
    pub fn is(&self, mark: char) -> bool {
        self.token == Token::Mark(mark)
    }

    pub fn word(&self) -> Option<&str> {
        if let Token::Word(word) = &self.token { Some(word) } else { None }
    }
}

/// Splits a source.
pub fn tokens(source: &str) -> Vec<Placed> {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0, line: 1, found: Vec::new() };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    lexer.found
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    found: Vec<Placed>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(char == '\n');
        Some(char)
    }

    fn skip(&mut self, chars: usize) {
        for _ in 0..chars {
            self.next();
        }
    }

    fn step(&mut self) {
        let line = self.line;
        let token = match (self.peek(0), self.peek(1)) {
            (Some('/'), Some('/')) => return self.skip_line(),
            (Some('/'), Some('*')) => return self.skip_block(),
            (Some('\''), second) => return self.quote(second),
            (Some('"'), _) => {
                self.next();
                Token::Text(self.text(None))
            }
            (Some(char), _) if is_word(char) => self.word(),
            (Some(char), _) => {
                self.next();
                if char.is_whitespace() {
                    return;
                }
                Token::Mark(char)
            }
            (None, _) => return,
        };
        self.found.push(Placed { line, token });
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|char| char != '\n') {
            self.next();
        }
    }

    fn skip_block(&mut self) {
        let mut depth = 0;
        loop {
            match (self.next(), self.peek(0)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (None, _) => return,
                _ => continue,
            }
            self.next();
            if depth == 0 {
                return;
            }
        }
    }

    /// Skips a character in quotes, or the quote of a lifetime.
    fn quote(&mut self, second: Option<char>) {
        self.next();
        if second == Some('\\') {
            self.next();
            self.next();
            while self.next().is_some_and(|char| char != '\'') {}
        } else if self.peek(1) == Some('\'') {
            self.next();
            self.next();
        }
    }

    fn word(&mut self) -> Token {
        let mut word = String::new();
        while let Some(char) = self.peek(0).filter(|char| is_word(*char)) {
            word.push(char);
            self.next();
        }
        let hashes = (0..).take_while(|ahead| self.peek(*ahead) == Some('#')).count();
        let opens = self.peek(hashes) == Some('"');
        match word.as_str() {
            "r" | "br" | "cr" if opens => {
                self.skip(hashes + 1);
                Token::Text(self.text(Some(hashes)))
            }
            "b" | "c" if self.peek(0) == Some('"') => {
                self.next();
                Token::Text(self.text(None))
            }
            _ => Token::Word(word),
        }
    }

    /// The rest of a string; `raw` is the number of hashes that end it, and means that there are no escapes.
    fn text(&mut self, raw: Option<usize>) -> String {
        let mut text = String::new();
        while let Some(char) = self.next() {
            let hashes = raw.unwrap_or_default();
            if char == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.skip(hashes);
                break;
            }
            text.push(char);
            if char == '\\' && raw.is_none() {
                text.extend(self.next());
            }
        }
        text
    }
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// The tokens without `#[cfg(test)]` and the items that it applies to.
pub fn without_tests(tokens: &[Placed]) -> Vec<Placed> {
    let shape = ["#", "[", "cfg", "(", "test", ")", "]"];
    let matches = |at: usize| {
        shape.iter().zip(tokens.iter().skip(at)).filter(|(want, have)| match &have.token {
            Token::Word(word) => word == *want,
            Token::Mark(mark) => want.starts_with(*mark),
            Token::Text(_) => false,
        })
    };
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if matches(at).count() == shape.len() {
            at = item_end(tokens, at + shape.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The index after the item that begins at `at`, which ends with `;` or the `}` of its block.
fn item_end(tokens: &[Placed], mut at: usize) -> usize {
    while at < tokens.len() && !tokens[at].is('{') && !tokens[at].is(';') {
        at = if tokens[at].is('(') || tokens[at].is('[') { block_end(tokens, at) } else { at + 1 };
    }
    if tokens.get(at).is_some_and(|token| token.is('{')) { block_end(tokens, at) } else { at + 1 }
}

/// The index after the bracket that closes the one at `at`.
pub fn block_end(tokens: &[Placed], at: usize) -> usize {
    let mut depth = 0;
    for (index, placed) in tokens.iter().enumerate().skip(at) {
        match placed.token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}
