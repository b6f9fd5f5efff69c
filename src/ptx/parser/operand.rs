//! Operands: registers, immediates, addresses, vectors.

use super::{Parser, Res};
use crate::ptx::ast::Operand;
use crate::ptx::lexer::Tok;

impl<'a> Parser<'a> {
    pub(super) fn operand(&mut self) -> Res<Operand<'a>> {
        let operand = match self.peek() {
            Some(Tok::Punct('{')) => Operand::Vector(self.operands_until('{', '}')?),
            Some(Tok::Punct('(')) => Operand::List(self.operands_until('(', ')')?),
            Some(Tok::Punct('[')) => self.address()?,
            Some(Tok::Punct('!')) => {
                self.at += 1;
                Operand::Not(self.ident()?)
            }
            Some(Tok::Punct('-')) => {
                self.at += 1;
                match self.bump() {
                    Some(Tok::Int(v)) => Operand::Int(-i128::from(v)),
                    Some(Tok::F32(bits)) => Operand::F32(bits ^ 0x8000_0000),
                    Some(Tok::F64(bits)) => Operand::F64(bits ^ (1 << 63)),
                    other => return self.fail(format!("`-` before {other:?}")),
                }
            }
            Some(Tok::Int(v)) => {
                self.at += 1;
                Operand::Int(i128::from(v))
            }
            Some(Tok::F32(bits)) => {
                self.at += 1;
                Operand::F32(bits)
            }
            Some(Tok::F64(bits)) => {
                self.at += 1;
                Operand::F64(bits)
            }
            Some(Tok::Ident("_")) => {
                self.at += 1;
                Operand::Sink
            }
            Some(Tok::Ident(name)) => {
                self.at += 1;
                match self.peek() {
                    Some(Tok::Dot(part)) => {
                        self.at += 1;
                        Operand::Name(name, Some(part))
                    }
                    Some(Tok::Punct('|')) => {
                        self.at += 1;
                        Operand::Pair(name, self.ident()?)
                    }
                    Some(Tok::Punct('+' | '-')) => Operand::Offset(name, self.offset()?),
                    _ => Operand::Name(name, None),
                }
            }
            other => return self.fail(format!("{other:?} cannot start an operand")),
        };
        if let (Operand::Sink, true) = (&operand, self.eat('|')) {
            return Ok(Operand::Pair("_", self.ident()?));
        }
        Ok(operand)
    }

    fn operands_until(&mut self, open: char, close: char) -> Res<Vec<Operand<'a>>> {
        self.expect(open)?;
        self.deeper()?;
        let mut out = Vec::new();
        while !self.eat(close) {
            out.push(self.operand()?);
            if !self.is(close) {
                self.expect(',')?;
            }
        }
        self.depth -= 1;
        Ok(out)
    }

    fn address(&mut self) -> Res<Operand<'a>> {
        self.expect('[')?;
        let base = match self.peek() {
            Some(Tok::Ident(name)) => {
                self.at += 1;
                Some(name)
            }
            _ => None,
        };
        let offset = if base.is_some() {
            self.offset()?
        } else {
            let negative = self.eat('-');
            let value = self.int()? as i64;
            if negative { value.wrapping_neg() } else { value }
        };
        if self.eat(',') {
            let mut parts = vec![Operand::Addr(base, offset)];
            while !self.eat(']') {
                parts.push(self.operand()?);
                self.eat(',');
            }
            return Ok(Operand::AddrList(parts));
        }
        self.expect(']')?;
        Ok(Operand::Addr(base, offset))
    }
}
