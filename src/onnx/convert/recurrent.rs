//! LSTM, GRU and RNN.

use super::*;
use crate::structural::{Direction, Recurrent};
use crate::tensor::Tensor;

pub(super) fn convert(cx: &mut Cx) -> Done {
    let (x, w, r) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let dtype = cx.dtype(x);
    let direction = match cx.attributes.string_or("direction", "forward")? {
        "forward" => Direction::Forward,
        "reverse" => Direction::Reverse,
        "bidirectional" => Direction::Bidirectional,
        other => return Err(cx.attributes.error("direction", format!("{other:?}"), "a direction that ONNX names").into()),
    };
    let directions = if direction == Direction::Bidirectional { 2 } else { 1 };
    let gates = match cx.op_type() {
        "LSTM" => 4,
        "GRU" => 3,
        _ => 1,
    };
    let recurrence = cx.need_shape(r)?;
    let hidden = match (cx.attributes.int("hidden_size")?, recurrence.last().and_then(Dim::known)) {
        (Some(hidden), _) | (None, Some(hidden)) => hidden,
        (None, None) => return opaque("its hidden size is not known", vec![of_dtype(dtype); 3]),
    };
    let from = cx.need_shape(x)?;
    if from.rank() != 3 || recurrence.rank() != 3 {
        return Err(Stop::Broken(format!("its input {from} and weights {recurrence} must have three axes")));
    }
    let batch_first = cx.attributes.flag("layout", false)?;
    let (d, h) = (Dim::fixed(directions), Dim::fixed(hidden));
    let (all, last) = match batch_first {
        false => (vec![from[0].clone(), d.clone(), from[1].clone(), h.clone()], vec![d, from[1].clone(), h]),
        true => (vec![from[0].clone(), from[1].clone(), d.clone(), h.clone()], vec![from[0].clone(), d, h]),
    };
    let last = typed(dtype, Shape(last));
    let mut types = vec![typed(dtype, Shape(all)), last.clone()];
    if gates == 4 {
        types.push(last);
    }
    let plain = ["activations", "activation_alpha", "activation_beta", "clip"].iter().all(|a| !cx.attributes.has(a));
    let unusual = [
        (gates == 1, "RNN has types only"),
        (batch_first, "its batch comes first"),
        (!plain, "its activations are not the default ones"),
        (cx.optional(4).is_some(), "its sequences have lengths of their own"),
        (cx.optional(7).is_some(), "it has peepholes"),
        (cx.attributes.flag("input_forget", false)?, "its gates are coupled"),
    ];
    if let Some((_, why)) = unusual.iter().find(|(is, _)| *is) {
        return opaque(*why, types);
    }
    let (Ok(hidden_size), Some(dtype)) = (usize::try_from(hidden), dtype) else {
        return opaque("the element type of its input is not known", types);
    };
    let mut operands = vec![x, w, r];
    operands.push(match cx.optional(3) {
        Some(bias) => bias,
        None => {
            let length = hidden_size.checked_mul(2 * gates).filter(|n| *n < 1 << 30);
            let length = length.ok_or_else(|| Stop::Broken(format!("its hidden size is {hidden}")))?;
            let zeros = vec![0.0; length * directions as usize];
            let zeros = Tensor::from_f64(dtype, &[directions as usize, length], &zeros);
            cx.constant(zeros.map_err(|e| Stop::Broken(e.to_string()))?)
        }
    });
    // The first states: all that the op has, or none, which means zeros.
    let states: Vec<Value> = (5..=if gates == 4 { 6 } else { 5 }).filter_map(|slot| cx.optional(slot)).collect();
    if !states.is_empty() && states.len() != types.len() - 1 {
        return opaque("it is given one of two first states", types);
    }
    operands.extend(states);
    let recurrent = Recurrent { hidden: hidden_size, direction };
    let op = match gates {
        4 => Structural::Lstm(recurrent),
        _ => {
            let linear_before_reset = cx.attributes.flag("linear_before_reset", false)?;
            Structural::Gru { recurrent, linear_before_reset }
        }
    };
    let results = cx.structural_many(op, types, &operands);
    results.into_iter().enumerate().try_for_each(|(port, y)| cx.finish(port, y))
}
