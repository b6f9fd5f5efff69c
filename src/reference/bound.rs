//! How far a kernel may lie from the exact result: the crate's statement of accuracy.
//!
//! The *exact* result of a kernel is its body evaluated in f64, rounded only where the body casts or quantizes and where a value
//! is stored ([`Rounding::Exact`](super::Rounding)). A kernel computes in f32 (in f64 for f64), and each op may err by what its row
//! states ([`Row::bound`](crate::op::Row)). What a kernel may store follows from that alone:
//!
//! 1. A value is an interval around its exact value: all that the kernel may hold in its place. A load and a constant
//!    are points.
//! 2. An op's interval is the hull of its exact result and of the op evaluated in f64 with its operands at their ends (and at zero, if
//!    it lies between them): each operand alone, these differences added up, and all of them together. So a function that jumps (round, floor, a comparison,
//!    quantize) widens the interval by the jump exactly where an operand's interval straddles one.
//! 3. The op's own deviation, `ulp` units in the last place of the compute type at the interval's largest magnitude plus `abs`, is
//!    added at both ends. An end beyond the compute type's range becomes infinite. Where an end gives NaN, NaN is possible.
//! 4. A store rounds both ends to its type. Rounding is monotonic, so what the kernel stores lies between them, and the bound is
//!    as tight as the type allows.
//!
//! A float that is stored must lie between the ends. A code or a bool must *equal* the exact one; that an interval holds more than
//! one says that the exact value lies within the kernel's error of a tie, which is reported and not excused silently.
//! Where a schedule says that it guards a quantization ([`Rounding::Guarded`]), the code must be exact and no tie is reported; where it
//! multiplies by the reciprocal of the scale ([`Rounding::Near`]), the operand's interval is widened by what that may err.
//! A kernel that reads its results from a table that the host computed ([`Schedule::table`](crate::plan::Schedule)) must be exact.

use crate::dtype::DType;
use crate::op::{Deviation, MAX_ARITY, Op};
use crate::plan::{Arg, Compute, Kernel, Rounding};
use crate::scalar::Number;

/// All values that a kernel may hold where the exact one is `exact`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub exact: Number,
    pub low: Number,
    pub high: Number,
    /// NaN is possible, beside what lies between the ends.
    pub nan: bool,
}

/// What a kernel may store for one tuple of loads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounded {
    pub dtype: DType,
    /// The ends and the exact value, rounded to `dtype`.
    pub interval: Interval,
}

/// What a stored value is, against its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The exact result (any NaN for NaN).
    Exact,
    /// A float within the bound.
    Within,
    /// Not the exact code, and the exact value lies within the kernel's error of a tie between the two.
    NearTie,
    Wrong,
}

impl Interval {
    /// A value that is known exactly.
    pub fn point(x: Number) -> Interval {
        Interval { exact: x, low: x, high: x, nan: is_nan(x) }
    }

    /// True if nothing but the exact value is possible.
    pub fn is_point(&self) -> bool {
        is_nan(self.exact) && is_nan(self.low) || (!self.nan && same(self.low, self.high))
    }

    /// True if the value is possible.
    pub fn contains(&self, x: Number) -> bool {
        match is_nan(x) {
            true => self.nan,
            false => !is_nan(self.low) && !less(x, self.low) && !less(self.high, x),
        }
    }

    /// The largest distance of an end from the exact value; infinite if NaN is possible and not exact.
    pub fn error(&self) -> f64 {
        if self.is_point() {
            return 0.0;
        }
        let distance =
            |end: Number| if same(end, self.exact) { 0.0 } else { (end.as_f64() - self.exact.as_f64()).abs() };
        let error = distance(self.low).max(distance(self.high));
        if self.nan || error.is_nan() { f64::INFINITY } else { error }
    }

    /// What may be computed where each operand is somewhere in its interval: rules 2 and 3 of the module's page.
    ///
    /// # Panics
    /// If the operands do not satisfy [`Op::result_type`].
    pub fn of(op: Op, operands: &[Interval], result: DType, deviation: Deviation, in_f64: bool) -> Interval {
        let mut at = [Number::Int(0); MAX_ARITY];
        let at = &mut at[..operands.len()];
        operands.iter().zip(&mut *at).for_each(|(operand, x)| *x = operand.exact);
        let exact = op.eval_exact(at, result);
        let mut hull = Interval::point(exact);
        let spread: Vec<usize> = (0..operands.len()).filter(|i| !operands[*i].is_point()).collect();
        let ends = |i: usize| operands[i].ends();
        if !spread.is_empty() && is_nan(exact) {
            // The exact result has no place among numbers from which differences could be taken.
            return Interval {
                exact,
                low: Number::Float(f64::NEG_INFINITY),
                high: Number::Float(f64::INFINITY),
                nan: true,
            };
        }
        let (mut down, mut up) = (0.0, 0.0);
        for &i in &spread {
            let (mut lowest, mut highest) = (0f64, 0f64);
            let turn = op.row().turn.map(Number::Float).filter(|turn| operands[i].contains(*turn));
            for end in ends(i).chain(turn) {
                at[i] = end;
                let found = op.eval_exact(at, result);
                hull.include(found);
                let difference = found.as_f64() - exact.as_f64();
                (lowest, highest) = (lowest.min(difference), highest.max(difference));
            }
            at[i] = operands[i].exact;
            (down, up) = (down + lowest, up + highest);
        }
        if spread.len() > 1 {
            if let Number::Float(x) = exact {
                hull.include(Number::Float(x + down));
                hull.include(Number::Float(x + up));
            }
            corners(&spread, at, &ends, &mut |at| hull.include(op.eval_exact(at, result)));
        }
        hull.widen(deviation, in_f64);
        hull
    }

    /// Where an op is evaluated: the ends, NaN if it is possible, and zero of both signs if it lies between the ends, because what
    /// underflows becomes zero, where quotients and logarithms have their poles.
    fn ends(&self) -> impl Iterator<Item = Number> + use<> {
        let Interval { low, high, nan, .. } = *self;
        let zero = matches!((low, high), (Number::Float(low), Number::Float(high)) if low <= 0.0 && high >= 0.0);
        let zeros = [0.0, -0.0].map(|x| zero.then_some(Number::Float(x)));
        let nan = nan.then_some(Number::Float(f64::NAN));
        [Some(low), Some(high), nan].into_iter().chain(zeros).flatten()
    }

    fn include(&mut self, x: Number) {
        if is_nan(x) {
            self.nan = true;
        } else if is_nan(self.exact) || less(x, self.low) {
            self.low = x;
        } else if less(self.high, x) {
            self.high = x;
        }
    }

    fn widen(&mut self, Deviation { ulp, abs }: Deviation, in_f64: bool) {
        let (Number::Float(low), Number::Float(high)) = (self.low, self.high) else { return };
        let largest = low.abs().max(high.abs());
        let own = if ulp == 0.0 || !largest.is_finite() { abs } else { ulp * last_place(largest, in_f64) + abs };
        let limit = if in_f64 { f64::MAX } else { f32::MAX.into() };
        let (low, high) = (low - own, high + own);
        self.low = Number::Float(if low < -limit { f64::NEG_INFINITY } else { low });
        self.high = Number::Float(if high > limit { f64::INFINITY } else { high });
    }

    fn rounded_to(self, dtype: DType) -> Interval {
        let Interval { exact, low, high, nan } = self;
        Interval { exact: exact.rounded_to(dtype), low: low.rounded_to(dtype), high: high.rounded_to(dtype), nan }
    }
}

/// Calls `visit` with each choice of an end for each operand in `spread`.
fn corners<I: Iterator<Item = Number>>(
    spread: &[usize],
    at: &mut [Number],
    ends: &impl Fn(usize) -> I,
    visit: &mut impl FnMut(&[Number]),
) {
    let Some((&i, rest)) = spread.split_first() else { return visit(at) };
    let kept = at[i];
    for end in ends(i) {
        at[i] = end;
        corners(rest, at, ends, visit);
    }
    at[i] = kept;
}

fn is_nan(x: Number) -> bool {
    matches!(x, Number::Float(x) if x.is_nan())
}

fn less(a: Number, b: Number) -> bool {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => a < b,
        (a, b) => a.as_f64() < b.as_f64(),
    }
}

fn same(a: Number, b: Number) -> bool {
    !less(a, b) && !less(b, a) && !is_nan(a) && !is_nan(b)
}

/// The distance of neighbours in f32 or f64 at a finite magnitude; that of denormals below the smallest normal.
fn last_place(x: f64, in_f64: bool) -> f64 {
    let exponent = if x == 0.0 { i32::MIN } else { libm::ilogb(x) };
    match in_f64 {
        true => libm::scalbn(1.0, exponent.max(-1022) - 52),
        false => libm::scalbn(1.0, exponent.max(-126) - 23),
    }
}

/// What a kernel may store for one tuple of loads, one for each store. See the module's page.
///
/// # Panics
/// If the kernel is not valid (see [`body::check`](super::body::check)) or `loads` has not one number for each of its loads.
pub fn bounds(kernel: &Kernel, loads: &[Number]) -> Vec<Bounded> {
    let product = kernel.product.as_ref().and(loads.last());
    bounds_of_product(kernel, loads, Interval::point(product.copied().unwrap_or(Number::Int(0))))
}

/// [`bounds`] of a kernel with a product, whose accumulator lies within `product`.
///
/// # Panics
/// As [`bounds`].
pub fn bounds_of_product(kernel: &Kernel, loads: &[Number], product: Interval) -> Vec<Bounded> {
    let table = kernel.schedule.table.is_some();
    let mut values: Vec<Interval> = Vec::with_capacity(kernel.body.len());
    let value = |arg: Arg, values: &[Interval]| match arg {
        Arg::Load(i) => Interval::point(loads[i as usize]),
        Arg::Product => product,
        Arg::Stmt(i) => values[i as usize],
        Arg::Const(scalar) => Interval::point(scalar.number()),
    };
    for (i, stmt) in kernel.body.iter().enumerate() {
        let mut operands: Vec<Interval> = stmt.args.iter().map(|arg| value(*arg, &values)).collect();
        let rounding = kernel.schedule.rounding_of(i);
        if *rounding == Rounding::Near && !table {
            // x·(1/scale) instead of x/scale: half a unit for the reciprocal, half for the product, half in the scale of x.
            operands[0].widen(Deviation::ulp(1.5), false);
        }
        let in_f64 = stmt.dtype == DType::F64 || stmt.args.first().is_some_and(|a| kernel.arg_dtype(*a) == DType::F64);
        let row = stmt.op.row();
        let deviation = match kernel.schedule.compute {
            _ if table => Deviation::EXACT,
            _ if in_f64 => row.bound.f64,
            Compute::Fast if !row.cuda.fast.is_empty() => row.bound.fast,
            Compute::Fast | Compute::Accurate | Compute::Packed => row.bound.f32,
        };
        // A table is computed in f64: nothing overflows before it is stored.
        let interval = Interval::of(stmt.op, &operands, stmt.dtype, deviation, in_f64 || table);
        values.push(match rounding {
            Rounding::Guarded { .. } => Interval::point(interval.exact),
            Rounding::Exact | Rounding::Near => interval,
        });
    }
    let bounded = |store: &crate::plan::Store| {
        let interval = value(store.value, &values).rounded_to(store.dtype);
        Bounded { dtype: store.dtype, interval }
    };
    kernel.stores.iter().map(bounded).collect()
}

impl Bounded {
    /// The exact value lies within the kernel's error of a tie between two codes, or of a step of a comparison.
    pub fn near_tie(&self) -> bool {
        self.is_code() && !self.interval.is_point()
    }

    fn is_code(&self) -> bool {
        !self.dtype.is_arithmetic_float()
    }

    /// Judges what a kernel stored.
    pub fn judge(&self, found: Number) -> Judgement {
        let Interval { exact, .. } = self.interval;
        match (same(found, exact) || (is_nan(found) && is_nan(exact)), self.interval.contains(found)) {
            (true, _) => Judgement::Exact,
            (false, true) if self.is_code() => Judgement::NearTie,
            (false, true) => Judgement::Within,
            (false, false) => Judgement::Wrong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op;
    use crate::plan::{Access, BufferId, Load, Schedule, Stmt, Store};
    use crate::scalar::Scalar;
    use proptest::prelude::*;

    #[test]
    fn what_lies_between_the_ends_of_an_operand_is_possible() {
        for row in [&op::SILU, &op::GELU, &op::GELU_TANH, &op::MISH, &op::HARD_SWISH] {
            let turn = row.turn.unwrap();
            let number = |x: f64| Number::Float(x);
            let x = Interval {
                exact: number(turn - 0.02),
                low: number(turn - 0.03),
                high: number(turn + 0.025),
                nan: false,
            };
            let y = Interval::of(Op::new(row), &[x], DType::F32, Deviation::EXACT, false);
            for i in 0..=1000 {
                let at = turn - 0.03 + 0.055 * f64::from(i) / 1000.0;
                let found = Op::new(row).eval_exact(&[number(at)], DType::F64);
                assert!(
                    y.contains(found.rounded_to(DType::F32)) || found.as_f64() > y.low.as_f64() - 1e-8,
                    "{} at {at}: {found:?} {y:?}",
                    row.name
                );
            }
        }
    }

    fn kernel(dtype: DType, body: Vec<Stmt>, compute: Compute) -> Kernel {
        let access = Access { offset: 0.into(), strides: vec![] };
        let last = body.len() as u32 - 1;
        Kernel {
            name: "k".into(),
            origin: vec![],
            domain: vec![],
            product: None,
            loads: vec![Load { buffer: BufferId(0), dtype: DType::F32, access: access.clone(), known: Vec::new() }; 2],
            stores: vec![Store { buffer: BufferId(1), dtype, access, value: Arg::Stmt(last) }],
            body,
            broadcasts: Vec::new(),
            schedule: Schedule { compute, ..Schedule::default() },
        }
    }

    fn stmt(op: Op, args: &[Arg], dtype: DType) -> Stmt {
        Stmt { op, args: args.to_vec(), dtype, name: String::new() }
    }

    /// x·σ(x), quantized by 0.04.
    fn silu_int8() -> Kernel {
        let body = vec![
            stmt(Op::new(&op::SIGMOID), &[Arg::Load(0)], DType::F32),
            stmt(Op::new(&op::MUL), &[Arg::Load(0), Arg::Stmt(0)], DType::F32),
            stmt(
                Op::to(&op::QUANTIZE, DType::I8),
                &[Arg::Stmt(1), Arg::Const(Scalar::f32(0.04)), Arg::Const(Scalar::new(DType::I8, Number::Int(0)))],
                DType::I8,
            ),
        ];
        kernel(DType::I8, body, Compute::Accurate)
    }

    #[test]
    fn codes_must_match_and_ties_are_told() {
        let at = |x: f64| bounds(&silu_int8(), &[Number::Float(x), Number::Float(0.0)])[0];
        let clear = at(1.0);
        assert!(!clear.near_tie() && clear.judge(Number::Int(18)) == Judgement::Exact);
        assert_eq!(clear.judge(Number::Int(19)), Judgement::Wrong);
        // The x for which x·σ(x)/0.04 is nearest to 18.5.
        let (mut low, mut high) = (1.0f32, 1.1f32);
        for _ in 0..40 {
            let middle = (low + high) / 2.0;
            let x = f64::from(middle);
            if x / (1.0 + (-x).exp()) / f64::from(0.04f32) < 18.5 { low = middle } else { high = middle }
        }
        let tie = at(low.into());
        assert!(tie.near_tie());
        assert_eq!(tie.judge(Number::Int(19)), Judgement::NearTie);
        assert_eq!(tie.judge(Number::Int(20)), Judgement::Wrong);
    }

    #[test]
    fn overflow_of_the_compute_type_is_allowed_for() {
        // 1/(1 + exp(-x)) by its parts: exp(-(-100)) overflows f32 and gives 0 where f64 gives 3.7e-44.
        let one = Arg::Const(Scalar::f32(1.0));
        let body = vec![
            stmt(Op::new(&op::EXP), &[Arg::Load(0)], DType::F32),
            stmt(Op::new(&op::ADD), &[one, Arg::Stmt(0)], DType::F32),
            stmt(Op::new(&op::DIV), &[one, Arg::Stmt(1)], DType::F32),
        ];
        let k = kernel(DType::F32, body, Compute::Accurate);
        let y = bounds(&k, &[Number::Float(100.0), Number::Float(0.0)])[0];
        assert_eq!(y.judge(Number::Float(0.0)), Judgement::Within);
        assert_eq!(y.judge(Number::Float(1e-30)), Judgement::Wrong);
        assert_eq!(y.judge(Number::Float(f64::NAN)), Judgement::Wrong);
    }

    #[test]
    fn underflow_of_the_compute_type_is_allowed_for() {
        // y·y underflows f32 to zero, and zero over zero is NaN where f64 gives 1.
        let y = Arg::Load(1);
        let body = vec![
            stmt(Op::new(&op::MUL), &[y, y], DType::F32),
            stmt(Op::new(&op::DIV), &[Arg::Stmt(0), Arg::Stmt(0)], DType::F32),
        ];
        let k = kernel(DType::F32, body, Compute::Accurate);
        let quotient = bounds(&k, &[Number::Float(0.0), Number::Float(f32::MIN_POSITIVE.into())])[0];
        assert_eq!(quotient.judge(Number::Float(f64::NAN)), Judgement::Within);
    }

    #[test]
    fn nan_and_infinity_are_exact() {
        let body = vec![stmt(Op::new(&op::SUB), &[Arg::Load(0), Arg::Load(1)], DType::F32)];
        let k = kernel(DType::F32, body, Compute::Accurate);
        let inf = Number::Float(f64::INFINITY);
        let y = bounds(&k, &[inf, inf])[0];
        assert_eq!(y.judge(Number::Float(f64::NAN)), Judgement::Exact);
        assert_eq!(y.judge(Number::Float(0.0)), Judgement::Wrong);
        let y = bounds(&k, &[inf, Number::Float(1.0)])[0];
        assert_eq!((y.judge(inf), y.judge(Number::Float(f64::MAX))), (Judgement::Exact, Judgement::Wrong));
    }

    #[test]
    fn a_table_is_exact() {
        let mut k = silu_int8();
        k.schedule.table = Some(crate::plan::Table::Codes8);
        let near = bounds(&k, &[Number::Float(1.034_871_8), Number::Float(0.0)])[0];
        assert!(!near.near_tie() && near.interval.error() == 0.0);
    }

    proptest! {
        /// A kernel that errs at each op by as much as its row allows stays within the bound.
        #[test]
        fn what_the_rows_allow_is_within(
            ops in prop::collection::vec((0usize..12, 0usize..8, 0usize..8, -1f64..1.0), 1..10),
            x in -20f32..20.0, y in prop_oneof![-3f32..3.0, Just(0.5f32), Just(f32::MIN_POSITIVE)],
            fast in any::<bool>(), narrow in any::<bool>(),
        ) {
            let rows: [&'static op::Row; 12] = [
                &op::ADD, &op::SUB, &op::MUL, &op::DIV, &op::MAX, &op::SIGMOID, &op::TANH, &op::EXP, &op::SILU, &op::RELU,
                &op::FLOOR, &op::ABS,
            ];
            let mut body = Vec::new();
            let loads = [Number::Float(x.into()), Number::Float(y.into())];
            let mut computed: Vec<f64> = Vec::new();
            for (i, (which, a, b, lean)) in ops.iter().enumerate() {
                let row = rows[*which];
                let arg = |n: usize| if i == 0 || n.is_multiple_of(3) { Arg::Load((n % 2) as u32) } else { Arg::Stmt((n % i) as u32) };
                let args: Vec<Arg> = [*a, *b][..row.operands.len()].iter().map(|n| arg(*n)).collect();
                let values: Vec<Number> = args.iter().map(|arg| match arg {
                    Arg::Load(i) => loads[*i as usize],
                    Arg::Stmt(i) => Number::Float(computed[*i as usize]),
                    Arg::Product => unreachable!("no body here has a product"),
                    Arg::Const(c) => c.number(),
                }).collect();
                let exact = Op::new(row).eval_exact(&values, DType::F32).as_f64();
                let deviation = if fast && !row.cuda.fast.is_empty() { row.bound.fast } else { row.bound.f32 };
                let own = if exact.is_finite() { deviation.ulp * last_place(exact.abs(), false) + deviation.abs } else { 0.0 };
                // An op that rounds once must land on an f32; one that may err by more errs by some of it.
                let err = if own == 0.0 { 0.0 } else { lean * own * (1.0 - 0.5 / deviation.ulp.max(0.5)) };
                computed.push(f64::from((exact + err) as f32));
                body.push(stmt(Op::new(row), &args, DType::F32));
            }
            let dtype = if narrow { DType::F16 } else { DType::F32 };
            let k = Kernel { ..kernel(dtype, body, if fast { Compute::Fast } else { Compute::Accurate }) };
            let stored = Number::Float(computed[computed.len() - 1]).rounded_to(dtype);
            let bounded = bounds(&k, &loads)[0];
            prop_assert!(bounded.judge(stored) != Judgement::Wrong, "{stored:?} is not in {bounded:?} for {ops:?}");
        }
    }
}
