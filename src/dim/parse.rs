//! Reads a dimension's formula back from the text that `Display` writes.

use super::{Dim, DimError};
use std::str::FromStr;

/// True for a symbol that needs no quotes in a formula.
pub(super) fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
        && !matches!(name, "floor" | "max" | "min")
}

/// Nesting beyond this is refused, so that a hostile formula can't exhaust the stack.
const DEEPEST: usize = 64;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl FromStr for Dim {
    type Err = DimError;

    /// Grammar: sums and differences of products of integers, symbols (quoted as in JSON where they are not plain
    /// identifiers), parentheses, `floor(a/b)`, `max(a, b)` and `min(a, b)`.
    fn from_str(text: &str) -> Result<Dim, DimError> {
        let mut p = Parser { text, at: 0, depth: 0 };
        let dim = p.sum()?;
        match p.peek() {
            None => Ok(dim),
            Some(c) => Err(p.error(format!("{c:?} at byte {} is one too many", p.at))),
        }
    }
}

impl Parser<'_> {
    fn error(&self, why: impl Into<String>) -> DimError {
        DimError::Parse { text: self.text.chars().take(80).collect(), why: why.into() }
    }

    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), DimError> {
        if self.take(wanted) { Ok(()) } else { Err(self.error(format!("expected {wanted:?} at byte {}", self.at))) }
    }

    fn sum(&mut self) -> Result<Dim, DimError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error("it is nested too deeply"));
        }
        let mut total = if self.take('-') { Dim::ZERO.sub(&self.product()?)? } else { self.product()? };
        loop {
            if self.take('+') {
                total = total.add(&self.product()?)?;
            } else if self.take('-') {
                total = total.sub(&self.product()?)?;
            } else {
                self.depth -= 1;
                return Ok(total);
            }
        }
    }

    fn product(&mut self) -> Result<Dim, DimError> {
        let mut total = self.factor()?;
        while self.take('*') {
            total = total.mul(&self.factor()?)?;
        }
        Ok(total)
    }

    fn factor(&mut self) -> Result<Dim, DimError> {
        match self.peek() {
            Some('(') => {
                self.expect('(')?;
                let inner = self.sum()?;
                self.expect(')')?;
                Ok(inner)
            }
            Some('"') => self.quoted(),
            Some(c) if c.is_ascii_digit() => {
                let digits = self.word(|c| c.is_ascii_digit());
                digits.parse().map(Dim::fixed).map_err(|_| DimError::Overflow(digits))
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                match self.word(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.').as_str() {
                    "floor" => self.call('/', Dim::floor_div),
                    "max" => self.call(',', Dim::larger),
                    "min" => self.call(',', Dim::smaller),
                    symbol => Ok(Dim::symbol(symbol)),
                }
            }
            found => {
                Err(self.error(format!("expected a number, a symbol or '(' at byte {}, found {found:?}", self.at)))
            }
        }
    }

    fn call(&mut self, separator: char, f: fn(&Dim, &Dim) -> Result<Dim, DimError>) -> Result<Dim, DimError> {
        self.expect('(')?;
        let a = self.sum()?;
        self.expect(separator)?;
        let b = self.sum()?;
        self.expect(')')?;
        f(&a, &b)
    }

    fn word(&mut self, belongs: fn(char) -> bool) -> String {
        let rest = &self.text[self.at..];
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_string()
    }

    fn quoted(&mut self) -> Result<Dim, DimError> {
        let mut stream = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<String>();
        match stream.next() {
            Some(Ok(name)) => {
                self.at += stream.byte_offset();
                Ok(Dim::symbol(&name))
            }
            _ => Err(self.error("a quoted symbol is not closed")),
        }
    }
}
