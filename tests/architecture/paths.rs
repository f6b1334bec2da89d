//! The paths in a source, with groups of `use` expanded.
//! Called by tests/architecture.rs only.

use super::tokens::{Placed, Token, block_end};

/// A path like `std::time::Duration`; a group (`use std::{env, fs}`) gives one for each member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub line: usize,
    pub segments: Vec<String>,
}

/// Every path of a source, single names included.
pub fn paths(tokens: &[Placed]) -> Vec<Path> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = if tokens[at].word().is_some() { path(tokens, at, &[], &mut found) } else { at + 1 };
    }
    found
}

fn path(tokens: &[Placed], mut at: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let mut segments = prefix.to_vec();
    let line = tokens[at].line;
    loop {
        match tokens.get(at).map(|placed| &placed.token) {
            Some(Token::Word(word)) => segments.push(word.clone()),
            Some(Token::Mark('*')) if !segments.is_empty() => segments.push("*".to_owned()),
            Some(Token::Mark('{')) if !segments.is_empty() => return group(tokens, at, &segments, found),
            _ => break,
        }
        at += 1;
        if !(tokens.get(at).is_some_and(|t| t.is(':')) && tokens.get(at + 1).is_some_and(|t| t.is(':'))) {
            break;
        }
        at += 2;
    }
    found.push(Path { line, segments });
    at
}

fn group(tokens: &[Placed], at: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let end = block_end(tokens, at);
    let mut at = at + 1;
    while at + 1 < end {
        at = match tokens[at].token {
            Token::Word(_) | Token::Mark('*') => path(tokens, at, prefix, found),
            _ => at + 1,
        };
    }
    end
}
