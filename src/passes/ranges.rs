//! Bounds that cannot bind, because the values they bound are known to lie within them.
//!
//! * `lower_bound`: clip(x, lo, hi) → min(x, hi), where no x is below lo
//! * `upper_bound`: clip(x, lo, hi) → max(x, lo), where no x is above hi
//! * `no_bound`: max(x, c), min(x, c), clip(x, lo, hi), relu(x) and abs(x) → x, where they change no x
//!
//! A NaN passes through all of these, so that nothing need be known of it. An x whose interval only just lies within a bound may exceed it by
//! the error that its own op states.

use super::work::uniform;
use super::{Pass, PassError, Work};
use crate::graph::{Graph, Kind, NodeId, Value};
use crate::op::{self, Interval, Op};

pub(super) const PASS: Pass = Pass { name: "ranges", about: "drop the bounds that no value reaches", run };

/// Ops that an interval is followed through.
const DEPTH: u32 = 6;

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    for id in work.order()? {
        let Some(op) = work.live_op(id) else { continue };
        let dtype = work.graph.ty(id.value()).dtype;
        if !dtype.is_some_and(|dtype| dtype.is_float()) {
            continue;
        }
        let operands = work.graph.operands(id);
        let within: Vec<Interval> = operands.iter().map(|value| interval(work.graph, *value, DEPTH)).collect();
        match operands[..] {
            [x, low, high] if op.is(&op::CLIP) => {
                let [x_in, low_in, high_in] = [0, 1, 2].map(|i| within[i]);
                match (x_in.is_above(low_in.high), x_in.is_below(high_in.low)) {
                    (true, true) => {
                        work.replace_same_type("no_bound", id, x);
                    }
                    // Bounds that cross give the upper one, and so does the minimum alone.
                    (true, false) => replace(work, id, "lower_bound", Op::new(&op::MIN), [x, high]),
                    // The maximum alone gives the lower one.
                    (false, true) if low_in.high <= high_in.low => {
                        replace(work, id, "upper_bound", Op::new(&op::MAX), [x, low])
                    }
                    _ => {}
                }
            }
            [a, b] if op.is(&op::MAX) || op.is(&op::MIN) => {
                for (x, x_in, bound, bound_in) in [(a, within[0], b, within[1]), (b, within[1], a, within[0])] {
                    let idle = if op.is(&op::MAX) { x_in.is_above(bound_in.high) } else { x_in.is_below(bound_in.low) };
                    // A bound that varies could be NaN, which the result would be as well.
                    if idle && uniform(work.graph, bound).is_some() && work.replace_same_type("no_bound", id, x) {
                        break;
                    }
                }
            }
            [x] if (op.is(&op::RELU) || op.is(&op::ABS)) && within[0].is_above(0.0) => {
                work.replace_same_type("no_bound", id, x);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Puts `op` of two of a node's operands in its place, if the result has the same type.
fn replace(work: &mut Work<'_>, id: NodeId, rule: &'static str, op: Op, operands: [Value; 2]) {
    let ty = work.graph.ty(id.value()).clone();
    let types = operands.map(|value| work.graph.ty(value).clone());
    if super::work::infer(op, &types).as_ref() != Some(&ty) {
        return;
    }
    let name = work.graph.value_name(id.value()).to_string();
    let mut patch = work.patch(rule, &[id]);
    let new = patch.add(Kind::Pointwise(op), &name, ty, &operands);
    patch.replace(id.value(), new);
}

/// What a float value is known to lie in.
fn interval(graph: &Graph, value: Value, depth: u32) -> Interval {
    if let Some(scalar) = uniform(graph, value) {
        return Interval::point(scalar.as_f64());
    }
    let Some(dtype) = graph.ty(value).dtype else { return Interval::ALL };
    let node = graph.node(value.node);
    match (&node.kind, depth) {
        (_, 0) => Interval::of(dtype),
        (Kind::View(_), _) => {
            let operands = graph.operands(value.node).into_iter().map(|x| interval(graph, x, depth - 1));
            operands.reduce(Interval::union).unwrap_or(Interval::ALL)
        }
        (Kind::Pointwise(op), _) if dtype.is_float() => {
            let operands: Vec<Interval> =
                graph.operands(value.node).into_iter().map(|x| interval(graph, x, depth - 1)).collect();
            op::interval(*op, &operands)
        }
        _ => Interval::of(dtype),
    }
}
