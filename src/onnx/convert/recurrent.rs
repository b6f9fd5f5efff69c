//! LSTM, GRU and RNN.

use super::*;
use crate::structural::{Direction, Recurrent};

pub(super) fn convert(cx: &mut Cx) -> Done {
    let (x, w, r) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let dtype = cx.dtype(x);
    let direction = match cx.attributes.string_or("direction", "forward")? {
        "forward" => Direction::Forward,
        "reverse" => Direction::Reverse,
        "bidirectional" => Direction::Bidirectional,
        other => {
            return Err(cx.attributes.error("direction", format!("{other:?}"), "a direction that ONNX names").into());
        }
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
    if !plain || cx.attributes.flag("input_forget", false)? {
        return opaque("its activations or gates are not the default ones", types);
    }
    let hidden = usize::try_from(hidden).map_err(|_| Stop::Broken(format!("its hidden size is {hidden}")))?;
    let given = |slot: usize| cx.optional(slot).is_some();
    let (lstm, initial_h) = (gates == 4, given(5));
    let recurrent = Recurrent {
        hidden,
        direction,
        batch_first,
        bias: given(3),
        lengths: given(4),
        initial_h,
        initial_c: lstm && given(6),
        peepholes: lstm && given(7),
    };
    let last_slot = if lstm { 7 } else { 5 };
    let operands: Vec<Value> =
        [x, w, r].into_iter().chain((3..=last_slot).filter_map(|slot| cx.optional(slot))).collect();
    let op = match gates {
        4 => Structural::Lstm(recurrent),
        3 => {
            let linear_before_reset = cx.attributes.flag("linear_before_reset", false)?;
            Structural::Gru { recurrent, linear_before_reset }
        }
        _ => Structural::Rnn(recurrent),
    };
    cx.structural_outputs(op, types, &operands)
}
