//! How far a value of a kernel, computed in f32, may lie from the exact one: a forward error analysis of the body.
//!
//! What is known of a value is the range of the exact one and a bound of the error: `absolute + relative·|value| + spread·max|of|`. The last
//! term is for what only the kernel can see: where operands of unknown size cancel in a sum, its error is as large as theirs.
//!
//! The bound holds where no value leaves the range of f32 and none is NaN; [`can_overflow`] says whether that is certain. Where it is
//! not, the kernel watches for infinities and NaN.

mod slope;
#[cfg(test)]
mod tests;

use crate::dtype::DType;
use crate::op::{self, Deviation, Op};
use crate::plan::{Arg, Compute, Kernel, LARGEST_FACTOR, LARGEST_SUM, Stmt};

/// What is known of a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Closed range of the exact value, of what f32 holds.
    pub low: f64,
    pub high: f64,
    pub absolute: f64,
    pub relative: f64,
    pub spread: f64,
    pub of: Vec<Arg>,
}

/// Spacing of f32 relative to a number's size, at most.
const ULP: f64 = f32::EPSILON as f64;
const SMALLEST: f64 = 1.401298464324817e-45;
const LARGEST: f64 = f32::MAX as f64;

impl Value {
    fn exact(low: f64, high: f64) -> Value {
        let (low, high) = (low.clamp(-LARGEST, LARGEST), high.clamp(-LARGEST, LARGEST));
        Value { low, high, absolute: 0.0, relative: 0.0, spread: 0.0, of: Vec::new() }
    }

    /// Nothing is known, of its error least of all.
    fn unknown() -> Value {
        Value { absolute: f64::INFINITY, ..Value::exact(-LARGEST, LARGEST) }
    }

    /// True if the value is computed without error.
    pub fn is_exact(&self) -> bool {
        self.absolute == 0.0 && self.relative == 0.0 && self.spread == 0.0
    }

    /// The largest magnitude.
    fn size(&self) -> f64 {
        self.low.abs().max(self.high.abs())
    }

    /// The smallest magnitude.
    fn least(&self) -> f64 {
        if self.low <= 0.0 && self.high >= 0.0 { 0.0 } else { self.low.abs().min(self.high.abs()) }
    }

    /// The error where the exact value is `x`, without the spread.
    fn at(&self, x: f64) -> f64 {
        self.absolute + times(self.relative, x.abs())
    }

    /// The value after one more operation, which errs by `deviation` of what it computes exactly from inexact operands.
    fn rounded(mut self, deviation: Deviation) -> Value {
        let own = deviation.ulp * ULP;
        let denormal = deviation.ulp * if self.least() < f64::from(f32::MIN_POSITIVE) { SMALLEST } else { 0.0 };
        self.absolute += own * self.absolute + deviation.abs + denormal;
        self.spread += own * self.spread;
        self.relative += own * (1.0 + self.relative);
        self
    }

    /// The same error for another range.
    fn within(self, low: f64, high: f64) -> Value {
        let Value { low, high, .. } = Value::exact(low, high);
        Value { low, high, ..self }
    }
}

/// The product, except that nothing times infinity is nothing.
fn times(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * b }
}

/// An analysis for one quantization.
pub struct Analysis<'a> {
    kernel: &'a Kernel,
    compute: Compute,
    /// A size of values that counts: the quantization's scale times a few codes. Errors far below it may be stated as absolute ones.
    unit: f64,
}

impl<'a> Analysis<'a> {
    pub fn new(kernel: &'a Kernel, compute: Compute, unit: f64) -> Analysis<'a> {
        Analysis { kernel, compute, unit }
    }

    /// The values of every statement.
    pub fn values(&self) -> Vec<Value> {
        let mut values: Vec<Value> = Vec::with_capacity(self.kernel.body.len());
        for (at, stmt) in self.kernel.body.iter().enumerate() {
            let mut args: Vec<Value> = stmt.args.iter().map(|arg| self.value_of(&values, *arg)).collect();
            // A multiply-add does not round its product.
            if let Some(slot) = self.kernel.scaled_term(stmt) {
                args[slot] = Value::exact(args[slot].low, args[slot].high);
            }
            values.push(self.of_statement(at, stmt, &args));
        }
        values
    }

    /// What is known of an argument.
    pub fn value_of(&self, values: &[Value], arg: Arg) -> Value {
        match arg {
            Arg::Load(i) if self.kernel.is_steady(i as usize) => Value::exact(-LARGEST_FACTOR, LARGEST_FACTOR),
            Arg::Load(i) => of_type(self.kernel.loads[i as usize].dtype),
            // A guard is about the accumulator at hand: what the sum itself may err by is the product's own bound.
            Arg::Product => of_type(self.kernel.arg_dtype(arg)),
            Arg::Stmt(i) => values[i as usize].clone(),
            Arg::Const(scalar) => Value::exact(scalar.as_f64(), scalar.as_f64()),
        }
    }

    fn of_statement(&self, at: usize, stmt: &Stmt, args: &[Value]) -> Value {
        let op = stmt.op;
        if args.iter().all(Value::is_exact) && !stmt.dtype.is_float() {
            return of_type(stmt.dtype);
        }
        let own = self.deviation(stmt);
        match (op, args) {
            // A quantization rounds as the exact value does, by its guard.
            (op, _) if op.is(&op::QUANTIZE) || op.is(&op::QUANTIZE_UNSATURATED) => match stmt.dtype.is_float() {
                false => of_type(stmt.dtype),
                true => Value::unknown(),
            },
            (op, [x, scale, zero]) if op.is(&op::DEQUANTIZE) => {
                let sum = stmt.args[0] == Arg::Product && self.kernel.scales_sum(at);
                let code = match sum {
                    true => Value::exact(-LARGEST_SUM, LARGEST_SUM),
                    false => x.clone().within(x.low - zero.high, x.high - zero.low),
                };
                let whole =
                    stmt.args.iter().all(|arg| !self.kernel.arg_dtype(*arg).is_float() || scale.low == scale.high);
                let from = stmt.args.iter().map(|arg| self.kernel.arg_dtype(*arg));
                // Two roundings: of a 32-bit code to float and of the product.
                let ulp = if !sum && from.clone().any(|t| t == DType::I32) { 1.0 } else { 0.5 };
                let value = product(&code, scale, &stmt.args);
                // A code is 0 or at least 1: its product with an ordinary scale is no denormal.
                let normal = whole && scale.least() > 1e-30;
                if normal {
                    Value { relative: value.relative + ulp * ULP, ..value }
                } else {
                    value.rounded(Deviation::ulp(ulp))
                }
            }
            (op, [x]) if op.is(&op::CAST) => cast(x, self.kernel.arg_dtype(stmt.args[0]), stmt.dtype),
            (op, [a, b]) if op.is(&op::ADD) => self.sum(a, b, stmt, 1.0).rounded(own),
            (op, [a, b]) if op.is(&op::SUB) => self.sum(a, b, stmt, -1.0).rounded(own),
            (op, [a, b]) if op.is(&op::MUL) => product(a, b, &stmt.args).rounded(own),
            (op, [a, b]) if op.is(&op::DIV) => quotient(a, b).rounded(own),
            (op, [a, b]) if op.is(&op::MAX) => either(a, b, f64::max).rounded(own),
            (op, [a, b]) if op.is(&op::MIN) => either(a, b, f64::min).rounded(own),
            (op, [x, low, high]) if op.is(&op::CLIP) => either(&either(x, low, f64::max), high, f64::min).rounded(own),
            (op, [x, slope]) if op.is(&op::PRELU) => {
                let below = product(x, slope, &stmt.args);
                union(x, &below).rounded(own)
            }
            (op, [condition, a, b]) if op.is(&op::WHERE) && condition.is_exact() => union(a, b),
            _ => function(op, args, stmt.dtype).rounded(own),
        }
    }

    /// What the statement's own expression may err by.
    fn deviation(&self, stmt: &Stmt) -> Deviation {
        let row = stmt.op.row();
        match self.compute {
            _ if stmt.dtype == DType::F64 => Deviation { ulp: row.bound.f64.ulp * 2f64.powi(-29), ..row.bound.f64 },
            Compute::Fast if !row.cuda.fast.is_empty() => row.bound.codes,
            Compute::Fast | Compute::Accurate | Compute::Packed => row.bound.f32,
        }
    }

    fn sum(&self, a: &Value, b: &Value, stmt: &Stmt, sign: f64) -> Value {
        let (b_low, b_high) = if sign > 0.0 { (b.low, b.high) } else { (-b.high, -b.low) };
        let mut value = Value::exact(a.low + b_low, a.high + b_high);
        value.absolute = a.absolute + b.absolute;
        value.spread = a.spread + b.spread;
        value.of = both(&a.of, &b.of);
        for (part, arg) in [a, b].into_iter().zip(&stmt.args) {
            let error = times(part.relative, part.size());
            if error <= 1e-5 * self.unit {
                value.absolute += error;
            } else {
                value.spread += part.relative;
                value.of = both(&value.of, &[*arg]);
            }
        }
        value
    }
}

/// True if a value of the body may be infinite, or NaN, in f32.
pub fn can_overflow(kernel: &Kernel, values: &[Value]) -> bool {
    let beyond = |value: &Value| value.size() >= 0.1 * LARGEST;
    let mut loads = (0..kernel.loads.len()).filter(|i| !kernel.is_steady(*i)).map(|i| kernel.loads[i].dtype);
    // The inverse of a scale that is known at run time only may be infinite.
    let inverts = |stmt: &Stmt| {
        let quantizes = stmt.op.is(&op::QUANTIZE) || stmt.op.is(&op::QUANTIZE_UNSATURATED);
        quantizes && !matches!(stmt.args.get(1), Some(Arg::Const(_)))
    };
    loads.any(DType::is_float)
        || kernel.body.iter().any(inverts)
        || kernel.body.iter().zip(values).any(|(stmt, value)| stmt.dtype.is_float() && beyond(value))
}

fn of_type(dtype: DType) -> Value {
    match (dtype, dtype.int_range()) {
        (_, Some((low, high))) => Value::exact(low as f64, high as f64),
        (DType::F16, _) => Value::exact(-65504.0, 65504.0),
        _ => Value::exact(-LARGEST, LARGEST),
    }
}

fn cast(x: &Value, from: DType, to: DType) -> Value {
    // What the cast rounds, it rounds in the exact result as well.
    if x.is_exact() && to.is_float() {
        return x.clone();
    }
    let rounding = match to {
        DType::F64 => 0.0,
        DType::F32 if from.bits() <= 16 || from == to => 0.0,
        DType::F32 => 0.5,
        // An inexact value may round to the neighbour of what the exact one rounds to.
        DType::F16 => 2f64.powi(14),
        DType::BF16 => 2f64.powi(17),
        _ => return Value::unknown(),
    };
    let absolute = if to == DType::F16 { 2f64.powi(-24) } else { 0.0 };
    x.clone().rounded(Deviation { ulp: rounding, abs: absolute })
}

fn product(a: &Value, b: &Value, args: &[Arg]) -> Value {
    let corners = [times(a.low, b.low), times(a.low, b.high), times(a.high, b.low), times(a.high, b.high)];
    let fold = |pick: fn(f64, f64) -> f64, start: f64| corners.iter().copied().fold(start, pick);
    let mut value = Value {
        absolute: times(a.absolute, b.absolute),
        relative: a.relative + b.relative + a.relative * b.relative,
        spread: times(a.spread, b.size()) + times(b.spread, a.size()),
        of: both(&a.of, &b.of),
        ..Value::exact(fold(f64::min, f64::INFINITY), fold(f64::max, f64::NEG_INFINITY))
    };
    for (part, other, arg) in [(a, b, args.get(1)), (b, a, args.first())] {
        let error = times(part.absolute, other.size());
        // An absolute error times an operand of unknown size is for the kernel to see, unless it is a denormal's.
        match arg {
            Some(arg) if error > 1e-5 && value.spread == 0.0 => {
                value.spread = part.absolute;
                value.of = vec![*arg];
            }
            _ => value.absolute += error,
        }
    }
    value
}

fn quotient(a: &Value, b: &Value) -> Value {
    let least = b.least();
    if b.spread > 0.0 || a.spread > 0.0 || (least == 0.0 && (a.absolute > 0.0 || b.absolute > 0.0)) {
        return Value::unknown();
    }
    let of_b = b.relative + if b.absolute > 0.0 { b.absolute / least } else { 0.0 };
    if of_b > 0.5 {
        return Value::unknown();
    }
    let largest = if least > 0.0 { a.size() / least } else { LARGEST };
    let grown = 1.0 / (1.0 - of_b);
    Value {
        absolute: if a.absolute > 0.0 { a.absolute / least * grown } else { 0.0 },
        relative: (a.relative + of_b) * grown,
        ..Value::exact(-largest, largest)
    }
}

/// A result that is the larger or the smaller of two values.
fn either(a: &Value, b: &Value, pick: fn(f64, f64) -> f64) -> Value {
    union(a, b).within(pick(a.low, b.low), pick(a.high, b.high))
}

/// A result that is one of two values, whichever.
fn union(a: &Value, b: &Value) -> Value {
    Value {
        absolute: a.absolute.max(b.absolute),
        relative: a.relative.max(b.relative),
        spread: a.spread.max(b.spread),
        of: both(&a.of, &b.of),
        ..Value::exact(a.low.min(b.low), a.high.max(b.high))
    }
}

fn both(a: &[Arg], b: &[Arg]) -> Vec<Arg> {
    let mut all = a.to_vec();
    all.extend(b.iter().filter(|arg| !a.contains(arg)));
    all
}

/// Any function of one varying operand, the others constant. A function of several varying operands that is none of those above is
/// beyond this analysis unless they are exact.
fn function(op: Op, args: &[Value], dtype: DType) -> Value {
    let varying: Vec<usize> = (0..args.len()).filter(|&i| args[i].low != args[i].high).collect();
    match varying[..] {
        [slot] if dtype.is_float() => slope::sampled(op, args, slot),
        _ if args.iter().all(Value::is_exact) => of_type(dtype),
        _ => Value::unknown(),
    }
}
