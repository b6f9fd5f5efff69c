//! What a function makes of its operand's error, found by sampling: the function's slope at many points, and whether it jumps between
//! them.

use super::{LARGEST, Value, times};
use crate::dtype::DType;
use crate::op::Op;
use crate::scalar::Number;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Steps of the sample from one power of two to the next, where functions bend.
const STEPS: i32 = 12;
/// A slope between two points of the sample may be steeper than at them: by 1.2 at most for what bends as much as exp does.
const SAFETY: f64 = 1.25;

struct Function<'a> {
    op: Op,
    args: &'a [Value],
    slot: usize,
}

impl Function<'_> {
    fn at(&self, x: f64) -> f64 {
        let mut numbers = [Number::Float(0.0); crate::op::MAX_ARITY];
        for (i, (number, arg)) in numbers.iter_mut().zip(self.args).enumerate() {
            *number = Number::Float(if i == self.slot { x } else { arg.low });
        }
        self.op.eval_exact(&numbers[..self.args.len()], DType::F64).as_f64()
    }

    /// The larger of the changes of the result, `y`, where `x` grows or shrinks by `step`.
    fn change(&self, x: f64, y: f64, step: f64) -> f64 {
        // At the end of what the function is defined for, one side is NaN, which `max` passes over.
        [self.at(x - step), self.at(x + step)].into_iter().fold(0.0, |most: f64, side| most.max((side - y).abs()))
    }

    /// The point at `x`, where the result is `y`, with the slopes over `step`.
    fn point(&self, x: f64, y: f64, step: f64) -> Point {
        let sides = [(y - self.at(x - step)) / step, (self.at(x + step) - y) / step];
        // At the end of what the function is defined for, one side is NaN.
        let sides = sides.map(|slope| if slope.is_nan() { 0.0 } else { slope });
        Point { x, y, low: sides[0].min(sides[1]), high: sides[0].max(sides[1]) }
    }

    /// Whether there is a jump or a pole between two points: a change that the slopes on both sides do not explain, however near they
    /// come.
    fn jumps(&self, mut a: Point, mut b: Point) -> bool {
        for _ in 0..60 {
            if a.explains(&b) {
                return false;
            }
            let x = a.x + (b.x - a.x) / 2.0;
            if x <= a.x || x >= b.x {
                break;
            }
            let middle = self.point(x, self.at(x), (x - a.x) * 1e-3);
            if a.explains(&middle) { a = middle } else { b = middle }
        }
        true
    }
}

/// A point of the graph of a function, and its slopes to the left and to the right in ascending order.
#[derive(Clone, Copy)]
struct Point {
    x: f64,
    y: f64,
    low: f64,
    high: f64,
}

impl Point {
    /// Whether the change from here to `other` is what the slopes at both ends lead to expect.
    fn explains(&self, other: &Point) -> bool {
        let run = other.x - self.x;
        let (low, high) = (self.low.min(other.low), self.high.max(other.high));
        let slack = 0.5 * low.abs().min(high.abs()) * run + 1e-12 * (self.y.abs() + other.y.abs());
        let change = other.y - self.y;
        change.is_nan() || (change >= low * run - slack && change <= high * run + slack)
    }
}

/// What a sample depends on: the op, the operand that varies with its range and error, and the others' values. Numbers by their bits.
#[derive(PartialEq, Eq, Hash)]
struct Question {
    op: Op,
    slot: usize,
    varying: [u64; 5],
    constants: Vec<u64>,
}

/// What was sampled, and whether its error follows from the operand's: then it is `of` the same values.
type Answer = (Value, bool);

/// The groups of a model ask the same questions: their activations are few, and operands whose size is known at run time only have the
/// same range. A sample takes a fifth of a millisecond.
static ASKED: LazyLock<Mutex<HashMap<Question, Answer>>> = LazyLock::new(Mutex::default);
/// Answers kept; all are forgotten where there would be more.
const KEPT: usize = 4096;

/// The range and the error of `op` where operand `slot` varies and the others are constants.
pub(super) fn sampled(op: Op, args: &[Value], slot: usize) -> Value {
    let x = &args[slot];
    if x.absolute.is_infinite() {
        return Value::unknown();
    }
    let question = Question {
        op,
        slot,
        varying: [x.low, x.high, x.absolute, x.relative, x.spread].map(f64::to_bits),
        constants: args.iter().enumerate().filter(|(i, _)| *i != slot).map(|(_, arg)| arg.low.to_bits()).collect(),
    };
    let known = ASKED.lock().unwrap_or_else(PoisonError::into_inner).get(&question).cloned();
    let (mut value, follows) = known.unwrap_or_else(|| {
        let answer = sample(&Function { op, args, slot });
        let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= KEPT {
            asked.clear();
        }
        asked.insert(question, answer.clone());
        answer
    });
    if follows {
        value.of = x.of.clone();
    }
    value
}

fn sample(function: &Function) -> Answer {
    let x = &function.args[function.slot];
    let mut value = Value::exact(0.0, 0.0);
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut steepest, mut last, mut beyond, mut jumps) = (0.0f64, None, None, false);
    for point in points(x.low, x.high) {
        let y = function.at(point);
        if y.is_nan() || y.abs() > LARGEST {
            // The kernel watches for these. What lies beside them counts, and between powers of two no sample comes near enough.
            jumps |= last.take().is_some_and(|before: Point| before.x != 0.0 && point != 0.0);
            beyond = Some(point);
            continue;
        }
        jumps |= beyond.take().is_some_and(|before| before != 0.0 && point != 0.0);
        (low, high) = (low.min(y), high.max(y));
        if !x.is_exact() {
            let step = x.at(point).max(point.abs() * 1e-8).max(1e-40);
            let change = function.change(point, y, step) * SAFETY;
            // Either bound would do: the relative one where values are large.
            match y.abs() < 1.0 {
                true => value.absolute = value.absolute.max(change),
                false => value.relative = value.relative.max(change / y.abs()),
            }
            steepest = steepest.max(change / step);
        }
        let here = function.point(point, y, point.abs().max(1e-30) * 1e-6);
        jumps |= last.replace(here).is_some_and(|before| function.jumps(before, here));
    }
    let (least, most) = function.op.row().range.unwrap_or((-LARGEST, LARGEST));
    // An operand beside a jump may be computed on its other side; the sample does not find how near a pole it comes.
    if jumps || value.relative > 0.01 {
        let known = if x.is_exact() { value } else { Value::unknown() };
        return (known.within(least, most), false);
    }
    value.spread = times(steepest, x.spread);
    // Between the points a function may pass its sampled extremes.
    let margin = (high - low).abs() * 0.05;
    if low > high || x.size() >= 0.1 * LARGEST {
        (low, high) = (least, most);
    }
    // No error is larger than the range.
    let (low, high) = ((low - margin).max(least), (high + margin).min(most));
    value.absolute = value.absolute.min((high - low).max(0.0));
    (value.within(low, high), true)
}

/// Where functions are sampled, in ascending order: at zero, and in both directions geometrically, in small steps where functions bend.
static POINTS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let inner = (-24 * STEPS..=24 * STEPS).map(|i| f64::from(i) / f64::from(STEPS));
    let outer = (-126..-24).chain(25..128).map(f64::from);
    let mut all: Vec<f64> = inner.chain(outer).map(f64::exp2).flat_map(|size| [-size, size]).chain([0.0]).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
});

/// The points of a range, in ascending order, with its ends and what lies opposite to them.
fn points(low: f64, high: f64) -> Vec<f64> {
    let (from, to) = (POINTS.partition_point(|x| *x < low), POINTS.partition_point(|x| *x <= high));
    let mut all = POINTS.get(from..to).unwrap_or_default().to_vec();
    let near = [low.abs(), high.abs()].into_iter().filter(|size| *size > 0.0);
    all.extend(near.flat_map(|size| [-size, size]).filter(|x| (low..=high).contains(x)));
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}
