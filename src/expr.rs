//! Reads a graph from one line of text, as the command line's `emit --expr` takes it:
//!
//! ```text
//! y:i8 = quantize(silu(dequantize(x:i8[n,128], 0.05)), 0.04)
//! ```
//!
//! Statements are separated by `;`. A name met first on the right is an input; its type follows a colon (f32 if none) and its
//! shape stands in brackets (`[n]` if none). Every statement names a value; those that no other statement reads are the outputs.
//! Functions are the rows of the op table, with `+ - * /`, comparisons and unary minus as usual. `quantize(x, scale, zero_point)`
//! goes to the type written after the statement's name (i8 if none), or `quantize.u8(…)` names it; `dequantize` gives f32, or
//! `dequantize.f16(…)`; `cast.f16(x)` casts. Zero points and ops' params may be left out. `transpose(x)` swaps the two innermost axes;
//! `matmul(a, b)` multiplies matrices and `conv(x, w, stride, pad)` convolves, channels last: x is (image, spatial…, channel), w (filter,
//! kernel…, channel/groups). The products of 8-bit codes are i32.

mod products;

use crate::dim::{Dim, DimError};
use crate::dtype::DType;
use crate::graph::{BuildError, Builder, Graph, Kind, Node, Operand, Type, Value};
use crate::name::Shown;
use crate::op::{self, Op, TypeError};
use crate::scalar::{Number, Scalar};
use crate::shape::Shape;
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ExprError {
    #[error("column {column}: {what}\n  {text}\n  {:>column$}", "^")]
    Syntax { text: String, column: usize, what: String },
    #[error("{0}{remedy}", remedy = remedy(.0))]
    Build(#[from] BuildError),
    #[error(transparent)]
    Dim(#[from] DimError),
}

/// What to write for an operand of another type.
fn remedy(error: &BuildError) -> String {
    match error {
        BuildError::Type { source: TypeError::Operand { expected, .. }, .. } => match expected.parse::<DType>() {
            Ok(dtype) => format!("; cast.{dtype}(…) converts it"),
            Err(_) => "; cast.f32(…) converts it, to f32 or whatever type it names".into(),
        },
        _ => String::new(),
    }
}

/// Parses a line; see the module's page for the grammar.
pub fn parse(text: &str) -> Result<Graph, ExprError> {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        builder: Builder::new("expr"),
        values: BTreeMap::new(),
        read: BTreeSet::new(),
        target: None,
    };
    let mut defined: Vec<(String, Value)> = Vec::new();
    loop {
        let start = parser.skip();
        if start == text.len() && !defined.is_empty() {
            break;
        }
        let name = parser.name("the name of a result")?;
        parser.target = if parser.take(":") { Some(parser.dtype()?) } else { None };
        parser.expect("=")?;
        let value = parser.comparison()?;
        let value = parser.as_value(value, start)?;
        if parser.values.insert(name.clone(), value).is_some() {
            return Err(parser.error(start, format!("{name} is defined twice")));
        }
        if let (Some(wanted), Some(found)) = (parser.target, parser.builder.dtype(value))
            && wanted != found
        {
            return Err(parser.error(start, format!("{name} is said to be {wanted}, and the formula gives {found}")));
        }
        defined.push((name, value));
        if !parser.take(";") {
            break;
        }
    }
    if let Some(c) = parser.peek() {
        return Err(parser.error(parser.at, format!("{c:?} is one too many")));
    }
    for (name, value) in &defined {
        if !parser.read.contains(name) {
            parser.builder.output(name, *value);
        }
    }
    Ok(parser.builder.finish()?)
}

/// Nesting beyond this is refused, so that a hostile line can't exhaust the stack.
const DEEPEST: usize = 128;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    builder: Builder,
    values: BTreeMap<String, Value>,
    /// Names that some statement reads.
    read: BTreeSet<String>,
    /// The type written after the name of the statement being read.
    target: Option<DType>,
}

impl Parser<'_> {
    fn error(&self, at: usize, what: impl Into<String>) -> ExprError {
        let column = self.text[..at].chars().count() + 1;
        let (text, column) = if self.text.len() > 400 || self.text.contains('\n') {
            (Shown(self.text).to_string(), 1)
        } else {
            (self.text.to_string(), column)
        };
        ExprError::Syntax { text, column, what: what.into() }
    }

    fn skip(&mut self) -> usize {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.at
    }

    fn peek(&mut self) -> Option<char> {
        let at = self.skip();
        self.text[at..].chars().next()
    }

    fn take(&mut self, token: &str) -> bool {
        let at = self.skip();
        let found = self.text[at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), ExprError> {
        if self.take(token) {
            return Ok(());
        }
        let found = self.peek().map_or("the end".to_string(), |c| format!("{c:?}"));
        Err(self.error(self.at, format!("expected {token:?}, found {found}")))
    }

    fn name(&mut self, what: &str) -> Result<String, ExprError> {
        let at = self.skip();
        let rest = &self.text[at..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.error(at, format!("expected {what}")));
        }
        self.at += end;
        Ok(rest[..end].to_string())
    }

    fn dtype(&mut self) -> Result<DType, ExprError> {
        let at = self.skip();
        let name = self.name("an element type, such as f16 or i8")?;
        name.parse().map_err(|e: crate::dtype::UnknownDType| self.error(at, e.to_string()))
    }

    /// A value of the graph for an operand: a bare number becomes an f32 constant.
    fn as_value(&mut self, operand: Operand, at: usize) -> Result<Value, ExprError> {
        match operand {
            Operand::Value(value) => Ok(value),
            Operand::Number(_) => Err(self.error(at, "a formula needs at least one input")),
        }
    }

    fn comparison(&mut self) -> Result<Operand, ExprError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error(self.at, "the formula is nested too deeply"));
        }
        let left = self.sum()?;
        let ops = [
            ("<=", &op::LESS_OR_EQUAL),
            (">=", &op::GREATER_OR_EQUAL),
            ("==", &op::EQUAL),
            ("<", &op::LESS),
            (">", &op::GREATER),
        ];
        let result = match ops.into_iter().find(|(token, _)| self.take(token)) {
            Some((_, row)) => {
                let right = self.sum()?;
                self.binary(Op::new(row), left, right)
            }
            None => left,
        };
        self.depth -= 1;
        Ok(result)
    }

    fn sum(&mut self) -> Result<Operand, ExprError> {
        let mut left = self.product()?;
        loop {
            let row = if self.take("+") {
                &op::ADD
            } else if self.take("-") {
                &op::SUB
            } else {
                return Ok(left);
            };
            let right = self.product()?;
            left = self.binary(Op::new(row), left, right);
        }
    }

    fn product(&mut self) -> Result<Operand, ExprError> {
        let mut left = self.factor()?;
        loop {
            let row = if self.take("*") {
                &op::MUL
            } else if self.take("/") {
                &op::DIV
            } else {
                return Ok(left);
            };
            let right = self.factor()?;
            left = self.binary(Op::new(row), left, right);
        }
    }

    /// Two numbers are computed at once; anything else becomes a node.
    fn binary(&mut self, op: Op, left: Operand, right: Operand) -> Operand {
        if let (Operand::Number(a), Operand::Number(b)) = (left, right) {
            return Operand::Number(op.eval_exact(&[Number::Float(a), Number::Float(b)], DType::F64).as_f64());
        }
        Operand::Value(self.builder.apply(op, &[left, right]))
    }

    fn factor(&mut self) -> Result<Operand, ExprError> {
        let at = self.skip();
        match self.peek() {
            Some('(') => {
                self.expect("(")?;
                let inner = self.comparison()?;
                self.expect(")")?;
                Ok(inner)
            }
            Some('-') => {
                self.expect("-")?;
                self.depth += 1;
                if self.depth > DEEPEST {
                    return Err(self.error(at, "the formula is nested too deeply"));
                }
                let inner = self.factor()?;
                self.depth -= 1;
                Ok(match inner {
                    Operand::Number(x) => Operand::Number(-x),
                    value => Operand::Value(self.builder.apply(Op::new(&op::NEG), &[value])),
                })
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            _ => {
                let name = self.name("a number, an input or an op")?;
                match name.as_str() {
                    "inf" => return Ok(Operand::Number(f64::INFINITY)),
                    "nan" => return Ok(Operand::Number(f64::NAN)),
                    _ => {}
                }
                // `quantize.u8(`: a dot follows only the name of a conversion.
                let target = if self.take(".") { Some(self.dtype()?) } else { None };
                if self.take("(") { self.call(&name, target, at) } else { self.variable(name, at) }
            }
        }
    }

    fn number(&mut self) -> Result<Operand, ExprError> {
        let at = self.skip();
        let rest = &self.text[at..];
        let mut end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        if rest[end..].starts_with(['e', 'E']) {
            let exponent = &rest[end + 1..];
            let sign = usize::from(exponent.starts_with(['+', '-']));
            let digits = exponent[sign..].find(|c: char| !c.is_ascii_digit()).unwrap_or(exponent.len() - sign);
            end += 1 + sign + digits;
        }
        self.at += end;
        rest[..end].parse().map(Operand::Number).map_err(|_| self.error(at, format!("{:?} is no number", &rest[..end])))
    }

    fn variable(&mut self, name: String, at: usize) -> Result<Operand, ExprError> {
        if let Some(value) = self.values.get(&name) {
            self.read.insert(name);
            return Ok(Operand::Value(*value));
        }
        if op::find(&name).is_some() {
            return Err(self.error(at, format!("{name} is an op: give it operands, {name}(…)")));
        }
        let dtype = if self.take(":") { self.dtype()? } else { DType::F32 };
        let shape = if self.take("[") { self.shape()? } else { Shape(vec![Dim::symbol("n")]) };
        let value = self.builder.input(&name, dtype, shape);
        self.read.insert(name.clone());
        self.values.insert(name, value);
        Ok(Operand::Value(value))
    }

    fn shape(&mut self) -> Result<Shape, ExprError> {
        let at = self.at;
        let rest = &self.text[at..];
        let end = rest.find(']').ok_or_else(|| self.error(at, "the shape's ']' is missing"))?;
        self.at += end + 1;
        let dims = rest[..end].split(',').map(str::trim).filter(|d| !d.is_empty());
        Ok(dims.map(str::parse).collect::<Result<Shape, DimError>>()?)
    }

    /// The operand of `transpose(`, with its two innermost axes swapped.
    fn transpose(&mut self, at: usize) -> Result<Operand, ExprError> {
        let inner = self.comparison()?;
        self.expect(")")?;
        let x = self.as_value(inner, at)?;
        let ty = self.builder.ty(x).clone();
        let Some((dtype, shape)) = ty.full().filter(|(_, shape)| shape.rank() >= 2) else {
            return Err(self.error(at, format!("transpose needs two axes or more, found {ty}")));
        };
        let mut axes: Vec<usize> = (0..shape.rank()).collect();
        axes.swap(shape.rank() - 2, shape.rank() - 1);
        let to = axes.iter().map(|&axis| shape[axis].clone()).collect();
        let node = Node::new(Kind::View(View::Transpose { axes }), "transpose", Type::new(dtype, to));
        Ok(Operand::Value(self.builder.node(node.with_origin("transpose", "Transpose"), &[x]).value()))
    }

    fn call(&mut self, name: &str, target: Option<DType>, at: usize) -> Result<Operand, ExprError> {
        if name == "transpose" && target.is_none() {
            return self.transpose(at);
        }
        if matches!(name, "matmul" | "conv") && target.is_none() {
            let mut operands = Vec::new();
            while !self.take(")") {
                if !operands.is_empty() {
                    self.expect(",")?;
                }
                operands.push(self.comparison()?);
            }
            let product = if name == "conv" { products::conv } else { products::matmul };
            let value = product(&mut self.builder, &operands).map_err(|what| self.error(at, what))?;
            return Ok(Operand::Value(value));
        }
        let Some(row) = op::find(name) else {
            let near = op::table().filter(|row| row.name.starts_with(&name[..name.len().min(2)])).map(|row| row.name);
            let near: Vec<_> = near.take(6).collect();
            let hint = if near.is_empty() {
                "`pointweld ops` lists them".into()
            } else {
                format!("did you mean {}?", near.join(", "))
            };
            return Err(self.error(at, format!("{} is not an op; {hint}", Shown(name))));
        };
        let mut operands = Vec::new();
        while !self.take(")") {
            if !operands.is_empty() {
                self.expect(",")?;
            }
            operands.push(self.comparison()?);
        }
        let quantizing = matches!(row.types, op::TypeRule::Quantize);
        let target = match row.types {
            op::TypeRule::Quantize => Some(target.or(self.target).unwrap_or(DType::I8)),
            op::TypeRule::Dequantize => Some(target.unwrap_or(DType::F32)),
            op::TypeRule::Convert => {
                Some(target.ok_or_else(|| self.error(at, format!("write {name}.f16(…): to which type?")))?)
            }
            _ if target.is_some() => return Err(self.error(at, format!("{name} converts to no type"))),
            _ => None,
        };
        if matches!(row.types, op::TypeRule::Quantize | op::TypeRule::Dequantize) {
            let code = match operands.first() {
                Some(Operand::Value(x)) if !quantizing => self.builder.dtype(*x),
                _ => target,
            };
            self.complete_qparams(&mut operands, code.unwrap_or(DType::I8)).map_err(|what| self.error(at, what))?;
        }
        let given = operands.len();
        let (least, most) = (row.operands.len(), row.operands.len() + row.params.len());
        if given < least || given > most {
            let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
            return Err(self
                .error(at, format!("{name} takes {expected} operands ({}), found {given}", row.operands.join(", "))));
        }
        if operands.iter().all(|o| matches!(o, Operand::Number(_))) {
            return Err(self.error(at, format!("{name} of numbers alone: give it an input")));
        }
        let op = target.map_or(Op::new(row), |t| Op::to(row, t));
        Ok(Operand::Value(self.builder.apply(op, &operands)))
    }

    /// Scales are f32 and zero points of the code's type, whatever the other operands are. Numbers that mean no code are refused: a scale that is
    /// not above 0, or is in f32, and a zero point that is no code.
    fn complete_qparams(&mut self, operands: &mut Vec<Operand>, code: DType) -> Result<(), String> {
        if operands.len() == 2 {
            operands.push(Operand::Number(0.0));
        }
        if let Some(Operand::Number(scale)) = operands.get(1)
            && !(*scale as f32 > 0.0 && (*scale as f32).is_finite())
        {
            return Err(format!("a scale is a finite number above 0 in f32, found {scale}"));
        }
        if let (Some(Operand::Number(zero)), Some((low, high))) = (operands.get(2), code.int_range())
            && !(zero.fract() == 0.0 && (low as f64..=high as f64).contains(zero))
        {
            return Err(format!("a zero point is an integer from {low} to {high} for {code} codes, found {zero}"));
        }
        for (slot, dtype) in [(1, DType::F32), (2, code)] {
            if let Some(Operand::Number(x)) = operands.get(slot).copied() {
                operands[slot] = Operand::Value(self.builder.scalar(Scalar::new(dtype, Number::Float(x))));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_line_of_the_manual() {
        let g = parse("y:i8 = quantize(silu(dequantize(x:i8, 0.05)), 0.04)").unwrap();
        assert_eq!(g.ty(g.outputs()[0].1).to_string(), "Int8(n)");
        let ops: Vec<_> = g.ids().filter_map(|id| g.node(id).op()).map(|op| op.to_string()).collect();
        assert_eq!(ops, ["dequantize.f32", "silu", "quantize.i8"]);
    }

    #[test]
    fn statements_inputs_and_numbers() {
        let g = parse("s = x:f16[n,8] * 2e-1 + b:f16[8]; y = relu(s) - s/(1+2)").unwrap();
        assert_eq!(g.outputs().len(), 1);
        assert_eq!(g.inputs().len(), 2);
        assert_eq!(g.ty(g.outputs()[0].1).to_string(), "Half(n,8)");
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        let message = |text: &str| parse(text).unwrap_err().to_string();
        assert!(message("y = sulu(x)").starts_with("column 5: sulu is not an op"), "{}", message("y = sulu(x)"));
        assert!(message("y = relu(x").contains("expected \",\", found the end"), "{}", message("y = relu(x"));
        assert!(message("y = 3").contains("at least one input"));
        assert!(
            message("y = x + b:f16").contains("found f16; cast.f32(…) converts it"),
            "{}",
            message("y = x + b:f16")
        );
        assert!(message("y:f16 = relu(x)").contains("y is said to be f16, and the formula gives f32"));
        for scale in ["0", "-0.1", "1e-50", "1e50"] {
            for line in [format!("y = quantize(x, {scale})"), format!("y = dequantize(x:i8, {scale})")] {
                assert!(
                    message(&line).starts_with("column 5: a scale is a finite number above 0"),
                    "{}",
                    message(&line)
                );
            }
        }
        assert!(message("y:u8 = quantize(x, 0.1, -1)").contains("an integer from 0 to 255 for u8 codes, found -1"));
        assert!(message("y = quantize(x, 0.1, 0.5)").contains("from -128 to 127"));
        assert!(message(&format!("y = {}", "relu(".repeat(1000))).contains("nested too deeply"));
    }

    proptest! {
        #[test]
        fn no_line_panics(text in "([a-z]{1,9}|[-+*/=:;,.()\\[\\]<> 0-9]){0,60}") {
            let _ = parse(&text);
        }
    }
}
