//! A kernel's statements as C++ lines: one statement a line, each value named after its op.

pub mod guard;
mod sum;

use super::convert::{self, Quotient};
use super::params::Param;
use super::types::{Class, Precision, has_float_view, packer};
use super::{EmitError, literal, names};
use crate::dtype::DType;
use crate::minifloat::Overflow;
use crate::op::{self, Interval, Op, TypeRule};
use crate::plan::{Arg, Kernel, Rounding, Stmt};
use crate::scalar::{Number, Scalar};
use std::collections::{BTreeMap, BTreeSet};

/// The lines that compute one element, and what they need and give.
pub struct Body {
    pub lines: Vec<String>,
    /// One for each store.
    pub outputs: Vec<Output>,
    /// Scalar parameters that the lines name.
    pub params: Vec<Param>,
    /// Loads whose element the statements name, in its own type and as a float.
    pub native: BTreeSet<usize>,
    pub as_float: BTreeSet<usize>,
    /// Expressions that are negative where f32 settles the rounding of a code, and else leave it open.
    pub doubts: Vec<String>,
    /// Floats that leave their element's codes open where they are infinite or NaN.
    pub watched: Vec<String>,
    /// Words beyond [`WITHIN`] that leave their element's codes open.
    pub far: Vec<String>,
    /// Floats, the same in every row, that leave the codes open where they are not below [`LARGEST_FACTOR`](crate::plan::LARGEST_FACTOR).
    pub steady: Vec<String>,
}

/// What the words of [`Body::far`] lie below where all is well.
pub const WITHIN: u32 = 1 << 23;

/// What a store stores.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The value of one element, of type `c_type`.
    pub value: String,
    pub c_type: &'static str,
    /// The function that packs an array of such values.
    pub packer: String,
    /// For a code, `value` is the upper end of an interval that holds the exact quotient, and this the lower end: where both round
    /// to one code, that is the code.
    pub lower: Option<String>,
}

impl Output {
    pub fn new(value: String, c_type: &'static str, packer: String) -> Output {
        Output { value, c_type, packer, lower: None }
    }
}

/// Writes the body of `kernel` in a precision.
pub fn write(kernel: &Kernel, precision: Precision) -> Result<Body, EmitError> {
    let body = Body {
        lines: Vec::new(),
        outputs: Vec::new(),
        params: Vec::new(),
        native: BTreeSet::new(),
        as_float: BTreeSet::new(),
        doubts: Vec::new(),
        watched: Vec::new(),
        far: Vec::new(),
        steady: Vec::new(),
    };
    let finite = |(_, rounding): &(u32, Rounding)| matches!(rounding, Rounding::Guarded { finite: true, .. });
    let rounding = &kernel.schedule.rounding;
    let finite = !rounding.is_empty() && rounding.iter().all(finite);
    let guards = |(_, rounding): &(u32, Rounding)| matches!(rounding, Rounding::Guarded { .. });
    let guarded = matches!(precision, Precision::Native { .. }) && rounding.iter().any(guards);
    let (lower, intervals) = (BTreeMap::new(), intervals(kernel));
    let mut writer = Writer { kernel, precision, body, lower, finite, guarded, intervals, relieved: 0 };
    writer.check_columns();
    // In f64 everything is computed: the second opinion is seldom asked.
    let lookups = if precision == Precision::Double { &[][..] } else { &kernel.schedule.lookups };
    let live = if lookups.is_empty() { vec![true; kernel.body.len()] } else { kernel.live(lookups) };
    for (i, stmt) in kernel.body.iter().enumerate().filter(|(i, _)| live[*i]) {
        match lookups.iter().position(|lookup| lookup.stmt as usize == i) {
            Some(table) => writer.look_up(i, stmt, table, lookups[table].load),
            None => writer.statement(i, stmt)?,
        }
    }
    for store in &kernel.stores {
        let output = writer.output(store.value);
        writer.body.outputs.push(output);
    }
    Ok(writer.body)
}

/// What each statement's value lies in, NaN aside.
fn intervals(kernel: &Kernel) -> Vec<Interval> {
    let mut all: Vec<Interval> = Vec::with_capacity(kernel.body.len());
    for stmt in &kernel.body {
        let operands: Vec<Interval> = stmt.args.iter().map(|arg| interval_of(kernel, &all, *arg)).collect();
        all.push(if stmt.dtype.is_float() { op::interval(stmt.op, &operands) } else { Interval::of(stmt.dtype) });
    }
    all
}

fn interval_of(kernel: &Kernel, statements: &[Interval], arg: Arg) -> Interval {
    match arg {
        Arg::Stmt(i) => statements[i as usize],
        Arg::Const(scalar) => Interval::point(scalar.as_f64()),
        Arg::Load(_) | Arg::Product => Interval::of(kernel.arg_dtype(arg)),
    }
}

struct Writer<'a> {
    kernel: &'a Kernel,
    precision: Precision,
    body: Body,
    /// The lower ends of the codes that are settled where they are packed.
    lower: BTreeMap<usize, String>,
    /// Every value is finite for certain.
    finite: bool,
    /// Elements in doubt are computed again.
    guarded: bool,
    /// What the statements' values lie in, NaN aside.
    intervals: Vec<Interval>,
    /// Statements that some elements compute with less of the slow unit.
    relieved: u32,
}

impl Writer<'_> {
    fn statement(&mut self, i: usize, stmt: &Stmt) -> Result<(), EmitError> {
        if is_quantize(stmt.op) {
            self.quantize(i, stmt);
        } else if stmt.op.is(&op::DEQUANTIZE) {
            let text = self.dequantize(i, stmt);
            if !self.is_absorbed(i) {
                self.define(i, stmt, text);
            }
        } else if stmt.op.is(&op::CAST) || stmt.op.is(&op::CAST_UNSATURATED) {
            let text = self.cast(stmt);
            self.define(i, stmt, text);
        } else if let Some(text) = self.multiply_add(stmt) {
            self.define(i, stmt, text);
        } else {
            let text = self.row_text(stmt)?;
            self.define(i, stmt, text);
        }
        Ok(())
    }

    /// A statement whose value is in a table, by the code of a load.
    fn look_up(&mut self, i: usize, stmt: &Stmt, table: usize, load: u32) {
        let code = self.arg(Arg::Load(load));
        self.define(i, stmt, format!("lookup{table}[(u8){code}]"));
    }

    fn define(&mut self, i: usize, stmt: &Stmt, text: String) {
        let c_type = self.class(stmt.dtype).c_type();
        self.line(c_type, names::value(i, stmt.op), outer(&text));
    }

    fn line(&mut self, c_type: &str, name: String, text: &str) {
        self.body.lines.push(format!("const {c_type} {name} = {text};"));
    }

    fn class(&self, dtype: DType) -> Class {
        Class::of(dtype, self.precision)
    }

    /// An argument in the class that computes its type.
    fn arg(&mut self, arg: Arg) -> String {
        match arg {
            Arg::Product => names::PRODUCT.to_owned(),
            Arg::Load(i) => {
                self.body.native.insert(i as usize);
                names::element(i as usize)
            }
            Arg::Stmt(i) if self.is_code(i) => names::of_value(i as usize, "code"),
            Arg::Stmt(i) => names::value(i as usize, self.kernel.body[i as usize].op),
            Arg::Const(scalar) if self.precision == Precision::Packed => literal::pair(scalar),
            Arg::Const(scalar) => constant(scalar, self.class(scalar.dtype())),
        }
    }

    /// An argument of a small integer type as a float, or any other as [`Writer::arg`] with a cast.
    fn arg_as_float(&mut self, arg: Arg) -> String {
        let dtype = self.kernel.arg_dtype(arg);
        let double = self.precision == Precision::Double;
        match arg {
            Arg::Load(i) if has_float_view(dtype) && !double => {
                self.body.as_float.insert(i as usize);
                names::element_as_float(i as usize)
            }
            Arg::Stmt(i) if self.is_code(i) => {
                let clamped = names::of_value(i as usize, "clamped");
                if double { format!("(double){clamped}") } else { clamped }
            }
            Arg::Const(scalar) => constant(scalar, if double { Class::F64 } else { Class::F32 }),
            _ if double => format!("(double){}", self.arg(arg)),
            _ => format!("(float){}", self.arg(arg)),
        }
    }

    /// True if the statement quantizes to an integer, whose value is carried as an unsaturated float.
    fn is_code(&self, stmt: u32) -> bool {
        let stmt = &self.kernel.body[stmt as usize];
        is_quantize(stmt.op) && !stmt.dtype.is_float()
    }

    /// An argument as a float, whatever its type.
    fn float_arg(&mut self, arg: Arg) -> String {
        if self.kernel.arg_dtype(arg).is_float() { self.arg(arg) } else { self.arg_as_float(arg) }
    }

    fn row_text(&mut self, stmt: &Stmt) -> Result<String, EmitError> {
        let row = stmt.op.row();
        if self.precision == Precision::Packed {
            let args: Vec<String> = stmt.args.iter().map(|arg| self.arg(*arg)).collect();
            return Ok(substitute(&row.packed.replace("{t}", stmt.dtype.name()), &args));
        }
        let first = match row.types {
            TypeRule::Select => 1,
            _ => 0,
        };
        let dtype = stmt.args.get(first).map_or(stmt.dtype, |arg| self.kernel.arg_dtype(*arg));
        let class = self.class(dtype);
        let finite = self.finite
            || stmt
                .args
                .iter()
                .take(row.operands.len())
                .all(|arg| interval_of(self.kernel, &self.intervals, *arg).is_bounded());
        let pattern = match (class, self.precision) {
            (Class::F32, Precision::Native { fast: true }) if finite && !row.finite.is_empty() => row.finite,
            (Class::F32, Precision::Native { fast: true }) if !row.cuda.fast.is_empty() => row.cuda.fast,
            (Class::F32, _) => row.cuda.f32,
            (Class::F64, _) => row.cuda.f64,
            (Class::Int(_), _) => row.cuda.int,
        };
        if pattern.is_empty() {
            let kernel = self.kernel.name.clone();
            return Err(EmitError::NoExpression { kernel, op: stmt.op, dtype });
        }
        let mut args = Vec::new();
        for (slot, arg) in stmt.args.iter().enumerate() {
            args.push(self.operand(stmt, slot, *arg, class));
        }
        let mut text = substitute(pattern, &args);
        let every = self.kernel.schedule.relief;
        if every > 1
            && class == Class::F32
            && !row.relief.is_empty()
            && self.precision == (Precision::Native { fast: true })
        {
            // Other elements at each statement, so that no element waits for all of them.
            let which = (1 + 2 * self.relieved) % every;
            self.relieved += 1;
            text = format!("e % {every} == {which} ? {} : {text}", substitute(row.relief, &args));
        }
        // C computes what is narrower than int in int: the assignment must wrap it back.
        Ok(match class {
            Class::Int(t) if t.bits() < 32 && t != DType::Bool && stmt.dtype == t => format!("({t}){text}"),
            _ => text,
        })
    }

    /// Operand `slot` of a row's op, whose expression is for `class`. Params are constants of that class.
    fn operand(&mut self, stmt: &Stmt, slot: usize, arg: Arg, class: Class) -> String {
        let is_param = slot >= stmt.op.row().operands.len();
        match arg {
            Arg::Const(scalar) if is_param => constant(scalar, class),
            _ if is_param && self.class(self.kernel.arg_dtype(arg)) != class => {
                format!("({}){}", class.c_type(), self.arg(arg))
            }
            _ => self.arg(arg),
        }
    }

    fn cast(&mut self, stmt: &Stmt) -> String {
        let (from, to) = (self.kernel.arg_dtype(stmt.args[0]), stmt.dtype);
        let (at, into) = (self.class(from), self.class(to));
        if has_float_view(from) && matches!(to, DType::F32 | DType::F64) {
            let x = self.arg_as_float(stmt.args[0]);
            return if into == Class::F64 && self.precision != Precision::Double { format!("(double){x}") } else { x };
        }
        let x = self.arg(stmt.args[0]);
        convert::cast(&x, from, at, to, into, overflow(stmt.op))
    }

    /// A scale or zero point: a run-time parameter if it is a constant, so that kernels that differ in it share a text.
    fn float_operand(&mut self, i: usize, what: &str, arg: Arg) -> String {
        let text = match arg {
            Arg::Const(scalar) if scalar.dtype() == DType::F64 => {
                let name = names::of_value(i, what);
                self.param(Param::double(name.clone(), scalar.as_f64()));
                return name;
            }
            Arg::Const(scalar) => {
                let name = names::of_value(i, what);
                self.param(Param::float(name.clone(), scalar.as_f64() as f32));
                name
            }
            _ if self.kernel.arg_dtype(arg).is_float() => return self.arg(arg),
            _ => return self.arg_as_float(arg),
        };
        if self.precision == Precision::Double { format!("(double){text}") } else { text }
    }

    fn param(&mut self, param: Param) {
        if !self.body.params.iter().any(|p| p.name == param.name) {
            self.body.params.push(param);
        }
    }

    fn zero_point(&mut self, i: usize, arg: Arg) -> Option<String> {
        match arg {
            Arg::Const(scalar) if scalar.as_f64() == 0.0 => None,
            _ => Some(self.float_operand(i, "zero", arg)),
        }
    }

    fn dequantize(&mut self, i: usize, stmt: &Stmt) -> String {
        let &[x, scale, zero] = &stmt.args[..] else { return String::new() };
        let from = self.kernel.arg_dtype(x);
        let target = self.class(stmt.dtype);
        let scale_type = self.kernel.arg_dtype(scale);
        if self.guarded && self.kernel.scales_sum(i) {
            let scale = self.float_operand(i, "scale", scale);
            return self.scale_sum(i, stmt, &scale);
        }
        let wide = target == Class::F64 || scale_type == DType::F64;
        let is_zero = matches!(zero, Arg::Const(scalar) if scalar.as_f64() == 0.0);
        if from == DType::I32 && !wide && !is_zero && self.kernel.arg_dtype(zero) == DType::I32 {
            let (x, zero, scale) = (self.arg(x), self.arg(zero), self.float_operand(i, "scale", scale));
            return format!("scale_difference({x}, {zero}, {scale})");
        }
        let zero = self.zero_point(i, zero);
        let scale = self.float_operand(i, "scale", scale);
        if from == DType::I32 || (wide && self.precision != Precision::Double) {
            let x = self.arg(x);
            if !wide && zero.is_none() {
                return format!("scale_i32({x}, {scale})");
            }
            let zero = zero.map(|zero| format!("(double){zero}"));
            let text = convert::dequantize(&format!("(double){x}"), zero.as_deref(), &format!("(double){scale}"));
            return if target == Class::F64 { text } else { format!("(float)({text})") };
        }
        let x = if from.is_float() { self.arg(x) } else { self.arg_as_float(x) };
        // The 8-bit floats' zero point is zero by ONNX's rule, and their codes are values already.
        convert::dequantize(&x, zero.as_deref(), &scale)
    }

    fn quantize(&mut self, i: usize, stmt: &Stmt) {
        let &[x, scale_arg, zero] = &stmt.args[..] else { return };
        let (from, to) = (self.kernel.arg_dtype(x), stmt.dtype);
        let name = names::value(i, stmt.op);
        let x = self.arg(x);
        if to.is_float() {
            let scale = self.float_operand(i, "scale", scale_arg);
            let text = convert::quantize_to_float(&x, &scale, to, self.class(to), overflow(stmt.op));
            return self.define(i, stmt, text);
        }
        let in_float = self.class(from) == Class::F32 && self.kernel.arg_dtype(scale_arg) != DType::F64;
        let kernel = self.kernel;
        if let (true, Rounding::Guarded { .. }) = (in_float, kernel.schedule.rounding_of(i)) {
            return self.guard(i, stmt, &x);
        }
        let zero_text = self.zero_point(i, zero);
        let zero_text = zero_text.map(|zero| zero.trim_start_matches("(double)").to_owned());
        let scale = self.float_operand(i, "scale", scale_arg);
        let quotient = if in_float && ordinary(scale_arg) {
            self.quotient_in_float(i, &x, &scale, scale_arg)
        } else {
            convert::quotient(&x, &scale, "", Quotient::Wide)
        };
        self.line("float", name.clone(), &convert::with_zero_point(&quotient, zero_text.as_deref()));
        // With a zero point NaN has already become it; without one NaN packs as 0.
        let code = if zero_text.is_some() { name } else { format!("number({name})") };
        self.clamped(i, &code, to);
    }

    /// The code as a float and as an integer, as far as statements name them.
    fn clamped(&mut self, i: usize, code: &str, to: DType) {
        let (as_float, as_integer) = self.uses_of_code(i);
        if as_float || as_integer {
            let clamped = names::of_value(i, "clamped");
            self.line("float", clamped.clone(), &convert::saturated(code, to));
            if as_integer {
                self.line(to.name(), names::of_value(i, "code"), &format!("({to})(i32){clamped}"));
            }
        }
    }

    /// The quotient of a quantization of a `float` by a `float`, rounded as the schedule says.
    fn quotient_in_float(&mut self, i: usize, x: &str, scale: &str, scale_arg: Arg) -> String {
        let near = *self.kernel.schedule.rounding_of(i) == Rounding::Near;
        if !near && !matches!(scale_arg, Arg::Const(_)) {
            return format!("quotient_by({x}, {scale})");
        }
        let inverse = self.inverse(i, scale_arg);
        convert::quotient(x, scale, &inverse, if near { Quotient::Near } else { Quotient::Exact })
    }

    /// Whether an integer code is needed as a float and as an integer, besides being stored.
    fn uses_of_code(&self, i: usize) -> (bool, bool) {
        let (mut as_float, mut as_integer) = (false, false);
        for stmt in &self.kernel.body {
            for (slot, arg) in stmt.args.iter().enumerate() {
                if *arg == Arg::Stmt(i as u32) {
                    let float = match slot {
                        0 if stmt.op.is(&op::DEQUANTIZE) => stmt.dtype != DType::F64,
                        0 if stmt.op.is(&op::CAST) => matches!(stmt.dtype, DType::F32 | DType::F64),
                        _ => false,
                    };
                    // In f64 the code is converted from the clamped float as well.
                    as_float |= float || self.precision == Precision::Double;
                    as_integer |= !float;
                }
            }
        }
        (as_float, as_integer)
    }

    fn output(&mut self, value: Arg) -> Output {
        let dtype = self.kernel.arg_dtype(value);
        if let Arg::Stmt(i) = value
            && self.is_code(i)
        {
            let value = names::value(i as usize, self.kernel.body[i as usize].op);
            let lower = self.lower.get(&(i as usize)).cloned();
            return Output { lower, ..Output::new(value, "float", format!("pack_code_{dtype}")) };
        }
        // Whether a load that is stored as it is gets a name of its own is the form's choice.
        let text = match value {
            Arg::Load(i) => names::element(i as usize),
            _ => self.arg(value),
        };
        // Elements are packed from the native types, whatever precision computed them.
        if self.precision == Precision::Packed {
            return Output::new(text, "u32", "pack_32".to_owned());
        }
        let native = Class::of(dtype, Precision::Native { fast: false });
        let narrowed = self.class(dtype) == Class::F64 && native == Class::F32;
        let value = match (narrowed, dtype) {
            (false, _) => text,
            (true, DType::F32) => format!("(float){text}"),
            (true, _) => format!("to_odd({text})"),
        };
        Output::new(value, native.c_type(), packer(dtype))
    }
}

fn is_quantize(op: Op) -> bool {
    op.is(&op::QUANTIZE) || op.is(&op::QUANTIZE_UNSATURATED)
}

/// What a conversion makes of what is beyond an 8-bit float's range.
fn overflow(op: Op) -> Overflow {
    match op.is(&op::CAST_UNSATURATED) || op.is(&op::QUANTIZE_UNSATURATED) {
        true => Overflow::Infinity,
        false => Overflow::Saturate,
    }
}

/// True unless a constant scale is so far from 1 that its inverse or a remainder leaves the range of floats.
fn ordinary(scale: Arg) -> bool {
    match scale {
        Arg::Const(scalar) => (1e-30..=1e30).contains(&scalar.as_f64().abs()),
        _ => true,
    }
}

/// A constant as a literal of a class.
fn constant(scalar: Scalar, class: Class) -> String {
    match class {
        Class::F32 => literal::float(scalar.as_f64() as f32),
        Class::F64 => literal::double(scalar.as_f64()),
        Class::Int(t) => literal::integer(t, Number::Int(scalar.number().as_i128())),
    }
}

/// `{0}`, `{1}` … replaced by the operands.
fn substitute(pattern: &str, args: &[String]) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let operand =
            after.split_once('}').and_then(|(slot, after)| Some((args.get(slot.parse::<usize>().ok()?)?, after)));
        match operand {
            Some((operand, after)) => {
                text.push_str(operand);
                rest = after;
            }
            None => {
                text.push('{');
                rest = after;
            }
        }
    }
    text + rest
}

/// The text without parentheses around the whole of it.
fn outer(text: &str) -> &str {
    let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) else { return text };
    let mut depth = 0i32;
    for c in inner.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth < 0 {
            return text;
        }
    }
    inner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_put_in_their_places() {
        let args = ["a".to_owned(), "(-1.0f)".to_owned()];
        assert_eq!(substitute("({0} < {1} ? {1} : {0})", &args), "(a < (-1.0f) ? (-1.0f) : a)");
        assert_eq!(substitute("{ {0}", &args), "{ a");
        assert_eq!(outer("(a + b)"), "a + b");
        assert_eq!(outer("(a) + (b)"), "(a) + (b)");
    }
}
