//! How far a value of a kernel, computed in f32, may lie from the exact one: a forward error analysis of the body.
//!
//! A value's range is known where it comes from integers, and its error is bounded by
//! `absolute + relative·|value| + spread·max|of|`, the last term for sums whose operands have no known range: cancellation makes
//! their error as large as the operands', which only the kernel can see.

use crate::dtype::DType;
use crate::op::{self, Deviation, Op};
use crate::plan::{Arg, Compute, Kernel, Stmt};
use crate::scalar::Number;

/// What is known of a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Closed range of the exact value.
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

impl Value {
    fn exact(low: f64, high: f64) -> Value {
        Value { low, high, absolute: 0.0, relative: 0.0, spread: 0.0, of: Vec::new() }
    }

    fn unknown() -> Value {
        Value { absolute: f64::INFINITY, ..Value::exact(f64::NEG_INFINITY, f64::INFINITY) }
    }

    /// True if the value is computed without error.
    pub fn is_exact(&self) -> bool {
        self.absolute == 0.0 && self.relative == 0.0 && self.spread == 0.0
    }

    /// The largest magnitude.
    fn size(&self) -> f64 {
        self.low.abs().max(self.high.abs())
    }

    /// The error where the value is `x`, without the spread.
    fn at(&self, x: f64) -> f64 {
        self.absolute + times(self.relative, x.abs())
    }

    /// The value after one more operation of that deviation.
    fn rounded(mut self, deviation: Deviation) -> Value {
        self.relative += deviation.ulp * ULP * (1.0 + self.relative);
        self.absolute += deviation.abs + deviation.ulp * SMALLEST;
        self
    }
}

/// The product, except that nothing times infinity is nothing.
fn times(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * b }
}

/// The values of every statement.
pub fn values(kernel: &Kernel, compute: Compute) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::with_capacity(kernel.body.len());
    for stmt in &kernel.body {
        let args: Vec<Value> = stmt.args.iter().map(|arg| value_of(kernel, &values, *arg)).collect();
        values.push(of_statement(kernel, stmt, &args, compute));
    }
    values
}

/// What is known of an argument.
pub fn value_of(kernel: &Kernel, values: &[Value], arg: Arg) -> Value {
    match arg {
        Arg::Load(i) => of_type(kernel.loads[i as usize].dtype),
        // A guard is about the accumulator at hand: what the sum itself may err by is the product's own bound.
        Arg::Product => of_type(kernel.arg_dtype(arg)),
        Arg::Stmt(i) => values[i as usize].clone(),
        Arg::Const(scalar) => Value::exact(scalar.as_f64(), scalar.as_f64()),
    }
}

fn of_type(dtype: DType) -> Value {
    match dtype.int_range() {
        Some((low, high)) => Value::exact(low as f64, high as f64),
        None => Value::exact(f64::NEG_INFINITY, f64::INFINITY),
    }
}

fn of_statement(kernel: &Kernel, stmt: &Stmt, args: &[Value], compute: Compute) -> Value {
    let op = stmt.op;
    if args.iter().all(Value::is_exact) && !stmt.dtype.is_float() {
        return of_type(stmt.dtype);
    }
    let bound = op.row().bound;
    let own = match compute {
        _ if stmt.dtype == DType::F64 => Deviation { ulp: bound.f64.ulp * 2f64.powi(-29), ..bound.f64 },
        Compute::Fast if !op.row().cuda.fast.is_empty() => bound.fast,
        _ => bound.f32,
    };
    let dtypes = || stmt.args.iter().map(|arg| kernel.arg_dtype(*arg));
    match (op, args) {
        // A quantization rounds as the exact value does, by its guard.
        (op, _) if op.is(&op::QUANTIZE) || op.is(&op::QUANTIZE_UNSATURATED) => match stmt.dtype.is_float() {
            false => of_type(stmt.dtype),
            true => Value::unknown(),
        },
        (op, [x, scale, zero]) if op.is(&op::DEQUANTIZE) => {
            let (low, high) = (x.low - zero.high, x.high - zero.low);
            let code = Value { low, high, ..x.clone() };
            // Two roundings: of a 32-bit code to float and of the product.
            product(&code, scale).rounded(Deviation::ulp(if dtypes().any(|t| t == DType::I32) { 1.0 } else { 0.5 }))
        }
        (op, [x]) if op.is(&op::CAST) => cast(x, kernel.arg_dtype(stmt.args[0]), stmt.dtype),
        (op, [a, b]) if op.is(&op::ADD) => sum(a, b, stmt, 1.0).rounded(own),
        (op, [a, b]) if op.is(&op::SUB) => sum(a, b, stmt, -1.0).rounded(own),
        (op, [a, b]) if op.is(&op::MUL) => product(a, b).rounded(own),
        (op, [a, b]) if op.is(&op::MAX) => either(a, b, f64::max).rounded(own),
        (op, [a, b]) if op.is(&op::MIN) => either(a, b, f64::min).rounded(own),
        (op, [condition, a, b]) if op.is(&op::WHERE) && condition.is_exact() => {
            let low = a.low.min(b.low);
            Value { low, high: a.high.max(b.high), ..either(a, b, f64::max) }
        }
        _ => function(op, args, stmt.dtype).rounded(own),
    }
}

fn cast(x: &Value, from: DType, to: DType) -> Value {
    let rounding = match to {
        _ if x.is_exact() && from == to => 0.0,
        DType::F64 | DType::F32 if from.bits() <= 16 || from == to => 0.0,
        DType::F64 => 0.0,
        DType::F32 => 0.5,
        // An inexact value may round to the neighbour of what the exact one rounds to.
        DType::F16 => 2f64.powi(14),
        DType::BF16 => 2f64.powi(17),
        _ => return Value::unknown(),
    };
    let narrow = matches!(to, DType::F16 | DType::BF16);
    if narrow && x.is_exact() {
        return x.clone();
    }
    let absolute = if to == DType::F16 { 2f64.powi(-24) } else { 0.0 };
    x.clone().rounded(Deviation { ulp: rounding, abs: absolute })
}

fn sum(a: &Value, b: &Value, stmt: &Stmt, sign: f64) -> Value {
    let (b_low, b_high) = if sign > 0.0 { (b.low, b.high) } else { (-b.high, -b.low) };
    let mut value = Value::exact(a.low + b_low, a.high + b_high);
    value.absolute = a.absolute + b.absolute;
    value.spread = a.spread + b.spread;
    value.of = union(&a.of, &b.of);
    for (part, arg) in [a, b].into_iter().zip(&stmt.args) {
        let error = times(part.relative, part.size());
        if error.is_finite() {
            value.absolute += error;
        } else {
            value.spread += part.relative;
            value.of = union(&value.of, &[*arg]);
        }
    }
    value
}

fn product(a: &Value, b: &Value) -> Value {
    let corners = [times(a.low, b.low), times(a.low, b.high), times(a.high, b.low), times(a.high, b.high)];
    Value {
        low: corners.iter().copied().fold(f64::INFINITY, f64::min),
        high: corners.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        absolute: times(a.absolute, b.size()) + times(b.absolute, a.size()) + times(a.absolute, b.absolute),
        relative: a.relative + b.relative + a.relative * b.relative,
        spread: times(a.spread, b.size()) + times(b.spread, a.size()),
        of: union(&a.of, &b.of),
    }
}

/// A result that is one of two values.
fn either(a: &Value, b: &Value, pick: fn(f64, f64) -> f64) -> Value {
    Value {
        low: pick(a.low, b.low),
        high: pick(a.high, b.high),
        absolute: a.absolute.max(b.absolute),
        relative: a.relative.max(b.relative),
        spread: a.spread.max(b.spread),
        of: union(&a.of, &b.of),
    }
}

fn union(a: &[Arg], b: &[Arg]) -> Vec<Arg> {
    let mut all = a.to_vec();
    all.extend(b.iter().filter(|arg| !a.contains(arg)));
    all
}

/// Any function of one varying operand, the others constant: its slope is sampled. A function of several varying operands that
/// is none of the above is beyond this analysis.
fn function(op: Op, args: &[Value], dtype: DType) -> Value {
    let whole = of_type(dtype);
    let varying: Vec<usize> = (0..args.len()).filter(|&i| args[i].low != args[i].high).collect();
    if args.iter().all(Value::is_exact) {
        return match varying[..] {
            [slot] if dtype.is_float() => sample(op, args, slot),
            _ => whole,
        };
    }
    match varying[..] {
        [slot] if dtype.is_float() => sample(op, args, slot),
        _ => Value::unknown(),
    }
}

/// Steps of a sample from one power of two to the next.
const STEPS: i32 = 12;
/// Slopes between the samples may be steeper than at them.
const SAFETY: f64 = 1.5;

fn sample(op: Op, args: &[Value], slot: usize) -> Value {
    let x = &args[slot];
    let mut numbers: Vec<Number> = args.iter().map(|arg| Number::Float(arg.low)).collect();
    let mut at = |x: f64| {
        numbers[slot] = Number::Float(x);
        op.eval_exact(&numbers, DType::F64).as_f64()
    };
    let mut value = Value::exact(f64::INFINITY, f64::NEG_INFINITY);
    let mut steepest = 0.0f64;
    for point in points(x.low, x.high) {
        let step = point.abs().max(1e-6) * 1e-6;
        let (y, below, above) = (at(point), at(point - step), at(point + step));
        if !y.is_finite() {
            value.absolute = f64::INFINITY;
            continue;
        }
        let slope = ((above - y).abs().max((y - below).abs())) / step * SAFETY;
        steepest = steepest.max(slope);
        // The error of the operand may lead out of the smooth part: then it shows in the values themselves.
        let error = times(slope, x.at(point));
        if y.abs() < 1.0 {
            value.absolute = value.absolute.max(error);
        } else {
            value.relative = value.relative.max(error / y.abs());
        }
        value.low = value.low.min(y - (y - below).abs());
        value.high = value.high.max(y + (above - y).abs());
    }
    value.spread = times(steepest, x.spread);
    value.of = x.of.clone();
    let (low, high) = op.row().range.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
    // Between samples a function may pass its sampled extremes.
    let margin = (value.high - value.low).abs() * 0.05;
    value.low = (value.low - margin).max(low);
    value.high = (value.high + margin).min(high);
    if x.low == f64::NEG_INFINITY || x.high == f64::INFINITY {
        (value.low, value.high) = (low, high);
    }
    if value.absolute.is_nan() { Value::unknown() } else { value }
}

/// Where a function is sampled: zero, the ends of the range, and in both directions geometrically.
fn points(low: f64, high: f64) -> impl Iterator<Item = f64> {
    let limit = 2f64.powi(24);
    let ends = [low.max(-limit), high.min(limit), 0.0];
    let steps = (-24 * STEPS..=24 * STEPS).flat_map(|i| {
        let size = 2f64.powf(f64::from(i) / f64::from(STEPS));
        [-size, size]
    });
    ends.into_iter().chain(steps).filter(move |x| (low..=high).contains(x))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int8() -> Value {
        Value::exact(-6.4, 6.35).rounded(Deviation::ulp(0.5))
    }

    #[test]
    fn a_smooth_function_keeps_a_small_error() {
        let silu = sample(Op::new(&op::SILU), &[int8()], 0);
        assert!(silu.low <= -0.2784 && silu.high >= 6.33 && silu.high < 8.0, "{silu:?}");
        assert!(silu.absolute < 2e-7 && silu.relative < 2.5e-7 && silu.relative > 5e-8, "{silu:?}");
    }

    #[test]
    fn a_jump_has_no_bound_worth_having() {
        let x = Value { absolute: 1e-7, ..Value::exact(-2.0, 2.0) };
        let rounded = sample(Op::new(&op::FLOOR), &[x], 0);
        assert!(rounded.absolute > 1e-3 || rounded.relative > 1e-3, "{rounded:?}");
    }

    #[test]
    fn sums_of_unknown_size_leave_their_error_to_the_kernel() {
        let any = Value::exact(f64::NEG_INFINITY, f64::INFINITY).rounded(Deviation::ulp(0.5));
        let stmt = Stmt {
            op: Op::new(&op::ADD),
            args: vec![Arg::Load(0), Arg::Load(1)],
            dtype: DType::F32,
            name: String::new(),
        };
        let total = sum(&any, &Value::exact(f64::NEG_INFINITY, f64::INFINITY), &stmt, 1.0);
        assert_eq!((total.spread, total.of), (ULP / 2.0, vec![Arg::Load(0)]));
        assert!(total.absolute < 1e-40);
    }
}
