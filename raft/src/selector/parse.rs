//! From text to tree: words by winnow, then descent over them. `,` and `&&` are the same and bind closer
//! than `||`, but `,` beside `||` is refused without parentheses, because people read it both ways.

use std::ops::Range;
use std::sync::Arc;

use winnow::ascii::multispace0;
use winnow::combinator::{alt, delimited, preceded, repeat};
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location};
use winnow::token::{any, none_of, take_while};

use super::ast::{DEPTH_MAX, Expr, Key, PATTERN_BYTES_MAX, TERMS_MAX, Term, Test, VALUES_MAX};

/// Bytes of the text of one selector.
pub const SOURCE_BYTES_MAX: usize = 4096;

/// Where a text stops being a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {message}")]
pub struct SelectorError {
    /// Byte offset into the text, at most its length.
    pub offset: usize,
    /// What is wrong there and what could stand instead.
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A key or a value without quotes.
    Word(String),
    /// A value in quotes.
    Quoted(String),
    Open,
    Close,
    Comma,
    And,
    Or,
    Not,
    Is,
    IsNot,
    Like,
}

pub(super) fn parse(text: &str) -> Result<Expr, SelectorError> {
    if text.len() > SOURCE_BYTES_MAX {
        return fail(SOURCE_BYTES_MAX, "a selector has at most 4096 bytes");
    }
    let mut parser = Descent {
        tokens: tokens(text)?,
        at: 0,
        end: text.len(),
        terms: 0,
        depth: 0,
    };
    if parser.tokens.is_empty() {
        return fail(0, "the selector is empty; `*` is everyone");
    }
    let expr = parser.either()?;
    match parser.peek() {
        None => Ok(expr),
        Some(Token::Close) => fail(parser.offset(), "this `)` closes nothing"),
        Some(_) => fail(parser.offset(), "expected `,`, `&&`, `||` or the end"),
    }
}

fn fail<T>(offset: usize, message: &str) -> Result<T, SelectorError> {
    Err(SelectorError {
        offset,
        message: message.to_owned(),
    })
}

fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, SelectorError> {
    let mut input = LocatingSlice::new(text);
    let parsed: ModalResult<Vec<_>> =
        repeat(0.., preceded(multispace0, token.with_span())).parse_next(&mut input);
    let parsed = parsed.unwrap_or_default();
    let rest: ModalResult<&str> = multispace0.parse_next(&mut input);
    let offset = rest.map_or(text.len(), |_| input.current_token_start());
    match text.get(offset..).and_then(|rest| rest.chars().next()) {
        None => Ok(parsed),
        Some('"' | '\'') => fail(offset, "this quote is never closed"),
        Some('&') => fail(offset, "expected `&&`"),
        Some('|') => fail(offset, "expected `||`"),
        Some(_) => fail(offset, "this character must stand in quotes"),
    }
}

fn token(input: &mut LocatingSlice<&str>) -> ModalResult<Token> {
    alt((
        alt((
            "(".value(Token::Open),
            ")".value(Token::Close),
            ",".value(Token::Comma),
        )),
        alt(("&&".value(Token::And), "||".value(Token::Or))),
        "!=".value(Token::IsNot),
        "!".value(Token::Not),
        "=~".value(Token::Like),
        alt(("==", "=")).value(Token::Is),
        alt((quoted('"'), quoted('\''))).map(Token::Quoted),
        take_while(1.., is_word).map(|word: &str| Token::Word(word.to_owned())),
    ))
    .parse_next(input)
}

fn quoted<'a>(
    quote: char,
) -> impl ModalParser<LocatingSlice<&'a str>, String, winnow::error::ContextError> {
    let letter = alt((none_of([quote, '\\']), preceded('\\', any)));
    let letters = repeat(0.., letter).fold(String::new, |mut text, letter| {
        text.push(letter);
        text
    });
    delimited(quote, letters, quote)
}

fn is_word(letter: char) -> bool {
    is_key(letter) || matches!(letter, ':' | '@' | '+' | '*' | '?')
}

fn is_key(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '/' | '-')
}

struct Descent {
    tokens: Vec<(Token, Range<usize>)>,
    at: usize,
    end: usize,
    terms: usize,
    depth: usize,
}

impl Descent {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    /// Where the next token begins.
    fn offset(&self) -> usize {
        self.tokens
            .get(self.at)
            .map_or(self.end, |(_, span)| span.start)
    }

    fn take(&mut self, wanted: &Token) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// `a || b`.
    fn either(&mut self) -> Result<Expr, SelectorError> {
        let mut comma = None;
        let mut children = vec![self.both(&mut comma)?];
        let mut or = None;
        while self.peek() == Some(&Token::Or) {
            or = Some(self.offset());
            self.at += 1;
            children.push(self.both(&mut comma)?);
        }
        if let (Some(comma), Some(_)) = (comma, or) {
            return fail(
                comma,
                "`,` beside `||` can be read in two ways; use parentheses",
            );
        }
        Ok(one_or(children, Expr::Or))
    }

    /// `a && b` and `a, b`.
    fn both(&mut self, comma: &mut Option<usize>) -> Result<Expr, SelectorError> {
        let mut children = vec![self.unary()?];
        loop {
            let offset = self.offset();
            if self.take(&Token::Comma) {
                *comma = comma.or(Some(offset));
            } else if !self.take(&Token::And) {
                return Ok(one_or(children, Expr::And));
            }
            children.push(self.unary()?);
        }
    }

    fn unary(&mut self) -> Result<Expr, SelectorError> {
        let offset = self.offset();
        // Each level of text is at most two of the tree: an `||` whose child is an `&&`.
        if self.depth + 3 > DEPTH_MAX {
            return fail(offset, "nested too deeply");
        }
        if self.take(&Token::Not) {
            self.depth += 1;
            let child = self.negated()?;
            self.depth -= 1;
            return Ok(Expr::Not(Box::new(child)));
        }
        if self.take(&Token::Open) {
            self.depth += 2;
            let inner = self.either()?;
            self.depth -= 2;
            if !self.take(&Token::Close) {
                return fail(self.offset(), "expected `)`");
            }
            return Ok(inner);
        }
        self.term()
    }

    /// What stands behind `!`: a key means that it is absent, a comparison needs parentheses.
    fn negated(&mut self) -> Result<Expr, SelectorError> {
        let offset = self.offset();
        let parenthesised = self.peek() == Some(&Token::Open);
        let child = self.unary()?;
        if let Expr::Term(term) = &child
            && term.test != Test::Exists
            && !parenthesised
        {
            return fail(
                offset,
                "`!` before a comparison needs parentheses: `!(a=b)`",
            );
        }
        Ok(child)
    }

    fn term(&mut self) -> Result<Expr, SelectorError> {
        let offset = self.offset();
        let word = match self.peek() {
            Some(Token::Word(word)) => word.clone(),
            Some(Token::Quoted(_)) => return fail(offset, "a key stands without quotes"),
            Some(_) => return fail(offset, "expected a key, `!`, `(` or `*`"),
            None => return fail(offset, "expected a key, `!`, `(` or `*` before the end"),
        };
        self.at += 1;
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return fail(offset, "a selector has at most 64 comparisons");
        }
        if word == "*" {
            return Ok(Expr::Everyone);
        }
        if let Some(odd) = word.find(|letter| !is_key(letter)) {
            return fail(
                offset + odd,
                "a key has letters, digits, `.`, `_`, `/` and `-` only",
            );
        }
        let test = self.test()?;
        Ok(Expr::Term(Term {
            key: Key::named(&word),
            test,
        }))
    }

    fn test(&mut self) -> Result<Test, SelectorError> {
        if self.take(&Token::Is) {
            return self.value().map(Test::Is);
        }
        if self.take(&Token::IsNot) {
            return self.value().map(Test::IsNot);
        }
        if self.take(&Token::Like) {
            let offset = self.offset();
            let pattern = self.value()?;
            if pattern.len() > PATTERN_BYTES_MAX {
                return fail(offset, "a pattern has at most 128 bytes");
            }
            return Ok(Test::Like(pattern));
        }
        match self.peek() {
            Some(Token::Word(word)) if word == "in" => self.list().map(Test::In),
            Some(Token::Word(word)) if word == "notin" => self.list().map(Test::NotIn),
            Some(Token::Word(_) | Token::Quoted(_)) => fail(
                self.offset(),
                "expected `=`, `!=`, `=~`, `in` or `notin` after the key",
            ),
            _ => Ok(Test::Exists),
        }
    }

    fn value(&mut self) -> Result<Arc<str>, SelectorError> {
        let value = match self.peek() {
            Some(Token::Word(text) | Token::Quoted(text)) => Arc::from(text.as_str()),
            _ => return fail(self.offset(), "expected a value; the empty one is `\"\"`"),
        };
        self.at += 1;
        Ok(value)
    }

    /// `in (a, b)`, the word before the parenthesis included.
    fn list(&mut self) -> Result<Vec<Arc<str>>, SelectorError> {
        self.at += 1;
        if !self.take(&Token::Open) {
            return fail(self.offset(), "expected `(` and a list of values");
        }
        let mut values = vec![self.value()?];
        while self.take(&Token::Comma) {
            if values.len() >= VALUES_MAX {
                return fail(self.offset(), "a list has at most 256 values");
            }
            values.push(self.value()?);
        }
        if !self.take(&Token::Close) {
            return fail(self.offset(), "expected `,` or `)`");
        }
        Ok(values)
    }
}

fn one_or(mut children: Vec<Expr>, several: impl FnOnce(Vec<Expr>) -> Expr) -> Expr {
    match children.pop() {
        Some(only) if children.is_empty() => only,
        Some(last) => {
            children.push(last);
            several(children)
        }
        None => Expr::Everyone,
    }
}
