//! The bounds against random search: no operand within its error may give a result beyond the bound of the result.

use super::*;
use crate::op::Row;
use crate::plan::{Access, BufferId, Load, Schedule};
use crate::scalar::{Number, Scalar};

fn int8() -> Value {
    Value::exact(-6.4, 6.35).rounded(Deviation::ulp(0.5))
}

fn any() -> Value {
    Value::exact(-LARGEST, LARGEST).rounded(Deviation::ulp(0.5))
}

fn sampled(row: &'static Row, x: &Value) -> Value {
    let params = row.params.iter().map(|p| p.default.unwrap_or(1.0)).map(|p| Value::exact(p.into(), p.into()));
    let args: Vec<Value> = [x.clone()].into_iter().chain(params).collect();
    slope::sampled(Op::new(row), &args, 0)
}

#[test]
fn a_smooth_function_keeps_a_small_error() {
    let silu = sampled(&op::SILU, &int8());
    assert!(silu.low <= -0.2784 && silu.high >= 6.33 && silu.high < 8.0, "{silu:?}");
    assert!(silu.absolute < 2e-7 && silu.relative < 2.5e-7 && silu.relative > 5e-8, "{silu:?}");
    // Of an operand of any size too: where it is large and negative SiLU is flat.
    let silu = sampled(&op::SILU, &any());
    assert!(silu.absolute < 2e-7 && silu.relative < 2.5e-7, "{silu:?}");
}

#[test]
fn a_jump_has_no_bound_worth_having() {
    let x = Value { absolute: 1e-7, ..Value::exact(-2.0, 2.0) };
    for row in [&op::FLOOR, &op::ROUND, &op::SIGN, &op::THRESHOLDED_RELU, &op::SHRINK] {
        let jumped = sampled(row, &x);
        assert!(jumped.absolute > 0.9 || (jumped.absolute > 0.4 && row.name == "shrink"), "{} {jumped:?}", row.name);
    }
}

#[test]
fn a_kink_is_no_jump() {
    for row in [&op::RELU, &op::ABS, &op::HARD_SWISH, &op::LEAKY_RELU] {
        let bent = sampled(row, &int8());
        assert!(bent.absolute < 2e-7 && bent.relative < 2e-7, "{} {bent:?}", row.name);
    }
}

/// A kernel of that body, over loads of these types.
fn kernel(loads: &[DType], body: Vec<Stmt>) -> Kernel {
    let access = Access { offset: 0.into(), strides: Vec::new() };
    let load = |dtype: &DType| Load { buffer: BufferId(0), dtype: *dtype, access: access.clone(), known: Vec::new() };
    Kernel {
        name: "k".into(),
        origin: Vec::new(),
        domain: Vec::new(),
        product: None,
        loads: loads.iter().map(load).collect(),
        body,
        stores: Vec::new(),
        broadcasts: Vec::new(),
        schedule: Schedule::default(),
    }
}

fn stmt(op: Op, args: &[Arg]) -> Stmt {
    Stmt { op, args: args.to_vec(), dtype: DType::F32, name: String::new() }
}

#[test]
fn an_accumulator_with_scale_and_bias_has_a_bound_worth_having() {
    let body = vec![
        stmt(Op::to(&op::CAST, DType::F32), &[Arg::Load(0)]),
        stmt(Op::new(&op::MUL), &[Arg::Stmt(0), Arg::Load(1)]),
        stmt(Op::new(&op::ADD), &[Arg::Stmt(1), Arg::Load(2)]),
        stmt(Op::new(&op::SILU), &[Arg::Stmt(2)]),
    ];
    let kernel = kernel(&[DType::I32, DType::F32, DType::F32], body);
    let values = Analysis::new(&kernel, Compute::Fast, 0.7).values();
    let silu = &values[3];
    assert!(silu.absolute < 1e-6 && silu.relative < 2e-6 && silu.spread < 2e-7, "{silu:?}");
    assert_eq!(silu.of, vec![Arg::Stmt(1)]);
    assert!(can_overflow(&kernel, &values));
}

#[test]
fn a_residual_of_codes_has_a_bound_worth_having() {
    let zero = Arg::Const(Scalar::new(DType::I8, Number::Int(0)));
    let dequantize = |load, scale| {
        stmt(Op::to(&op::DEQUANTIZE, DType::F32), &[Arg::Load(load), Arg::Const(Scalar::f32(scale)), zero])
    };
    let body = vec![
        dequantize(0, 0.05),
        dequantize(1, 0.03),
        stmt(Op::new(&op::ADD), &[Arg::Stmt(0), Arg::Stmt(1)]),
        stmt(Op::new(&op::SILU), &[Arg::Stmt(2)]),
    ];
    let kernel = kernel(&[DType::I8, DType::I8], body);
    let values = Analysis::new(&kernel, Compute::Fast, 0.7).values();
    assert!(values[3].absolute < 1e-6 && values[3].relative < 1.5e-6 && values[3].spread == 0.0, "{:?}", values[3]);
    assert!(!can_overflow(&kernel, &values));
}

/// A number of any size within a range, often near its ends, zero, or 1.
fn inside(random: &mut fastrand::Rng, value: &Value) -> f64 {
    let size = match random.u8(..4) {
        0 => value.size() * random.f64(),
        1 => 8.0 * random.f64(),
        _ => f64::from(random.i32(-40..40)).exp2() * (1.0 + random.f64()),
    };
    let x = if random.bool() { size } else { -size };
    x.clamp(value.low, value.high)
}

fn float_rows() -> impl Iterator<Item = &'static Row> {
    let unary = |row: &&'static Row| {
        row.operands.len() == 1 && Op::new(row).result_type(&vec![DType::F32; 1 + row.params.len()]) == Ok(DType::F32)
    };
    op::table().filter(unary)
}

#[test]
fn every_row_of_one_operand_is_bounded() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut bounded = 0;
    for row in float_rows() {
        for mut x in [
            int8(),
            any(),
            Value::exact(0.0, 12.0).rounded(Deviation::ulp(8.0)),
            Value { absolute: 1e-5, ..Value::exact(-30.0, 30.0) },
        ] {
            if random.bool() {
                (x.spread, x.of) = (1e-7, vec![Arg::Load(0)]);
            }
            let y = sampled(row, &x);
            bounded += usize::from(y.absolute.is_finite());
            for _ in 0..4000 {
                let (exact, largest) = (inside(&mut random, &x), random.f64() * 100.0);
                let lean = [-1.0, 1.0, 2.0 * random.f64() - 1.0][random.usize(..3)];
                let computed = exact + lean * (x.at(exact) + x.spread * largest);
                let of = |x: f64| {
                    let params = row.params.iter().map(|p| Number::Float(p.default.unwrap_or(1.0).into()));
                    let operands: Vec<Number> = [Number::Float(x)].into_iter().chain(params).collect();
                    Op::new(row).eval_exact(&operands, DType::F64).as_f64()
                };
                let (f, g) = (of(exact), of(computed));
                // What is not finite, or not defined beside the operand, the kernel watches for.
                if !(f.abs() < LARGEST && g.abs() < LARGEST) {
                    continue;
                }
                let allowed = y.at(f) + y.spread * largest;
                assert!(
                    (f - g).abs() <= allowed * 1.001 + 1e-14 * f.abs(),
                    "{} at {exact:e} and {computed:e}: {f:e} and {g:e}, {y:?} of {x:?}",
                    row.name
                );
                assert!((y.low..=y.high).contains(&f), "{} of {exact:e} is {f:e}, not within {y:?}", row.name);
            }
        }
    }
    assert!(bounded > 80, "{bounded}");
}

/// What each statement may be, at worst, where each errs by as much as its row allows.
fn worst(random: &mut fastrand::Rng, kernel: &Kernel, loads: &[f64], analysis: &Analysis) -> (Vec<f64>, Vec<f64>) {
    let (mut exact, mut computed): (Vec<f64>, Vec<f64>) = Default::default();
    for stmt in &kernel.body {
        let of = |statements: &[f64]| {
            let args: Vec<Number> = stmt
                .args
                .iter()
                .map(|arg| match arg {
                    Arg::Load(i) if !kernel.loads[*i as usize].dtype.is_float() => {
                        Number::Int(loads[*i as usize] as i128)
                    }
                    Arg::Load(i) => Number::Float(loads[*i as usize]),
                    Arg::Stmt(i) => Number::Float(statements[*i as usize]),
                    Arg::Const(scalar) => scalar.number(),
                    Arg::Product => Number::Float(0.0),
                })
                .collect();
            stmt.op.eval_exact(&args, stmt.dtype).as_f64()
        };
        let at_hand = of(&computed);
        let Deviation { ulp, abs } = analysis.deviation(stmt);
        let lean = [-1.0, 1.0, 0.0][random.usize(..3)];
        // Half a unit at the top of a binade is half of its spacing.
        let spacing = libm::exp2(at_hand.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor() - 23.0);
        // Zero is rounded to itself.
        let rounding = if at_hand == 0.0 { 0.0 } else { ulp * spacing };
        computed.push(at_hand + lean * (rounding + abs));
        exact.push(of(&exact));
    }
    (exact, computed)
}

#[test]
fn chains_of_statements_are_bounded() {
    let mut random = fastrand::Rng::with_seed(11);
    let unary: Vec<&'static Row> = float_rows().collect();
    let binary = [&op::ADD, &op::SUB, &op::MUL, &op::MAX, &op::MIN, &op::DIV, &op::PRELU];
    let types = [DType::I8, DType::I8, DType::I32, DType::F32, DType::F16];
    let zero = |t: DType| Arg::Const(Scalar::new(t, Number::Int(0)));
    let mut compared = 0;
    for _ in 0..1500 {
        let scale = |random: &mut fastrand::Rng| Arg::Const(Scalar::f32(0.001 + random.f32() * 0.1));
        let mut body: Vec<Stmt> = (0..3u32)
            .map(|i| {
                stmt(Op::to(&op::DEQUANTIZE, DType::F32), &[Arg::Load(i), scale(&mut random), zero(types[i as usize])])
            })
            .collect();
        for _ in 0..random.usize(1..6) {
            let any = |random: &mut fastrand::Rng| match random.u32(..8) {
                0 => Arg::Load(3),
                1 => Arg::Const(Scalar::f32(4.0 * random.f32() - 2.0)),
                _ => Arg::Stmt(random.u32(..body.len() as u32)),
            };
            let next = if random.bool() {
                stmt(Op::new(binary[random.usize(..binary.len())]), &[any(&mut random), any(&mut random)])
            } else {
                let row = unary[random.usize(..unary.len())];
                let params = row.params.iter().map(|p| Arg::Const(Scalar::f32(p.default.unwrap_or(1.0))));
                let args: Vec<Arg> = [any(&mut random)].into_iter().chain(params).collect();
                stmt(Op::new(row), &args)
            };
            body.push(next);
        }
        let kernel = kernel(&types, body);
        let compute = if random.bool() { Compute::Fast } else { Compute::Accurate };
        let analysis = Analysis::new(&kernel, compute, 0.7);
        let values = analysis.values();
        for _ in 0..40 {
            let loads: Vec<f64> = [
                f64::from(random.i8(..)),
                f64::from(random.i8(..)),
                f64::from(random.i32(..) >> random.u32(..32)),
                f64::from((random.f32() - 0.5) * 2f32.powi(random.i32(-20..20))),
                0.5,
            ]
            .into();
            let (exact, computed) = worst(&mut random, &kernel, &loads, &analysis);
            for (i, value) in values.iter().enumerate() {
                let finite = |x: &[f64]| x[..=i].iter().all(|x| x.abs() < 0.1 * LARGEST);
                if !(value.absolute < LARGEST && finite(&exact) && finite(&computed)) {
                    break;
                }
                let size = |arg: &Arg| match arg {
                    Arg::Load(i) => loads[*i as usize].abs(),
                    Arg::Stmt(i) => computed[*i as usize].abs(),
                    Arg::Const(scalar) => scalar.as_f64().abs(),
                    Arg::Product => 0.0,
                };
                let largest = value.of.iter().map(size).fold(0.0, f64::max);
                let allowed = (value.at(exact[i]) + value.spread * largest) * 1.001;
                let error = (exact[i] - computed[i]).abs();
                assert!(
                    error <= allowed + 1e-13 * exact[i].abs(),
                    "v{i} of {:#?}\n{loads:?}: {exact:?} {computed:?}, {value:?}",
                    kernel.body
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 100_000, "{compared}");
}
