//! The intervals of results, that passes and the emitter rely on.

use pointweld::dtype::DType;
use pointweld::op::{self, Eval, Interval, Op, TypeRule, interval};
use pointweld::scalar::Number;
use proptest::prelude::*;

fn value() -> impl Strategy<Value = f64> {
    let edges = prop::sample::select(vec![0.0, -0.0, 1.0, -1.0, 6.0, f64::INFINITY, f64::NEG_INFINITY, 1e38, -1e38]);
    prop_oneof![edges, -50.0..50.0f64, any::<f32>().prop_filter("NaN", |x| !x.is_nan()).prop_map(f64::from)]
}

proptest! {
    /// Whatever lies within the operands' intervals gives a result within the result's, or NaN.
    #[test]
    fn results_lie_within(which in any::<prop::sample::Index>(), ends in prop::collection::vec((value(), value(), value()), 3)) {
        let rows: Vec<&op::Row> = op::table()
            .filter(|row| row.params.is_empty() && row.operands.len() <= 3 && matches!(row.types, TypeRule::Same(_)))
            .filter(|row| matches!(row.eval, Eval::Arith { float: Some(_), .. }))
            .collect();
        let op = Op::new(rows[which.index(rows.len())]);
        let sorted = |(a, b, c): (f64, f64, f64)| {
            let mut all = [a, b, c];
            all.sort_by(f64::total_cmp);
            all
        };
        let triples: Vec<[f64; 3]> = ends.into_iter().take(op.row().operands.len()).map(sorted).collect();
        let operands: Vec<Interval> = triples.iter().map(|[low, _, high]| Interval::new(*low, *high)).collect();
        let values: Vec<Number> = triples.iter().map(|[_, x, _]| Number::Float(*x)).collect();
        let got = op.eval_exact(&values, DType::F64).as_f64();
        let within = interval(op, &operands);
        prop_assert!(got.is_nan() || (within.low <= got && got <= within.high), "{op} of {values:?}: {got} not in {within:?}");
    }
}
