//! LSTM, GRU and RNN, with ONNX's default activations. All in f64; rounded to the result's type once.
//!
//! Source: ONNX, LSTM, GRU, RNN. Gates are stacked as i, o, f, c and as z, r, h.

use super::super::NodeError;
use super::super::anchor::gemm::{Matrix, accumulate};
use super::super::column::{Column, whole};
use super::super::node::Context;
use super::super::view::transpose;
use crate::graph::Node;
use crate::structural::{Direction, Recurrent};
use crate::tensor::Tensor;

/// The operands in f64, time first.
struct Operands {
    time: usize,
    batch: usize,
    input: usize,
    hidden: usize,
    directions: usize,
    x: Vec<f64>,
    w: Vec<f64>,
    r: Vec<f64>,
    /// Zeros where not given.
    bias: Vec<f64>,
    lengths: Vec<usize>,
    h: Vec<f64>,
    c: Vec<f64>,
    peepholes: Vec<f64>,
}

impl Operands {
    fn new(op: &Recurrent, gates: usize, operands: &[Tensor]) -> Result<Operands, NodeError> {
        let optional = [op.bias, op.lengths, op.initial_h, op.initial_c, op.peepholes];
        let expected = 3 + optional.iter().filter(|given| **given).count();
        if operands.len() != expected {
            return Err(NodeError::Arity { expected: expected.to_string(), found: operands.len() });
        }
        let mut rest = operands[3..].iter();
        let [bias, lengths, h, c, peepholes] = optional.map(|given| if given { rest.next() } else { None });
        let x = if op.batch_first { transpose(&operands[0], &[1, 0, 2])? } else { operands[0].clone() };
        let &[time, batch, input] = x.sizes() else {
            let found = format!("{:?}", x.sizes());
            return Err(NodeError::Operand { operand: "x", expected: "of 3 axes".into(), found });
        };
        let directions = if op.direction == Direction::Bidirectional { 2 } else { 1 };
        let hidden = op.hidden;
        let sized = |operand, t: &Tensor, sizes: &[usize]| match t.sizes() == sizes {
            true => Ok(whole(t).into_floats()),
            false => {
                let (expected, found) = (format!("{sizes:?}"), format!("{:?}", t.sizes()));
                Err(NodeError::Operand { operand, expected, found })
            }
        };
        let or_zeros = |operand, t: Option<&Tensor>, sizes: &[usize]| match t {
            Some(t) => sized(operand, t, sizes),
            None => Ok(vec![0.0; sizes.iter().product()]),
        };
        let state = |operand, t: Option<&Tensor>| {
            let turned = t.filter(|_| op.batch_first).map(|t| transpose(t, &[1, 0, 2])).transpose()?;
            or_zeros(operand, turned.as_ref().or(t), &[directions, batch, hidden])
        };
        let lengths = match lengths {
            None => vec![time; batch],
            Some(t) => {
                let lengths: Vec<usize> = super::sizes_of("sequence_lens", t)?;
                if lengths.len() != batch || lengths.iter().any(|n| *n > time) {
                    let (expected, found) = (format!("{batch} lengths of at most {time}"), format!("{lengths:?}"));
                    return Err(NodeError::Operand { operand: "sequence_lens", expected, found });
                }
                lengths
            }
        };
        Ok(Operands {
            w: sized("w", &operands[1], &[directions, gates * hidden, input])?,
            r: sized("r", &operands[2], &[directions, gates * hidden, hidden])?,
            bias: or_zeros("b", bias, &[directions, 2 * gates * hidden])?,
            h: state("initial_h", h)?,
            c: state("initial_c", c)?,
            peepholes: or_zeros("p", peepholes, &[directions, 3 * hidden])?,
            x: whole(&x).into_floats(),
            time,
            batch,
            input,
            hidden,
            directions,
            lengths,
        })
    }
}

/// One cell for one sequence: `x` holds W·x + Wb (a stack of gates), `h` and `c` the state, which it renews.
struct Cell<'a> {
    hidden: usize,
    r: &'a [f64],
    /// The recurrence's bias.
    rb: &'a [f64],
    peepholes: &'a [f64],
}

impl Cell<'_> {
    /// R·h + Rb for a gate.
    fn recur(&self, gate: usize, h: &[f64]) -> Vec<f64> {
        let n = self.hidden;
        let row = |i: usize| {
            let row = &self.r[(gate * n + i) * n..][..n];
            self.rb[gate * n + i] + row.iter().zip(h).map(|(r, h)| r * h).sum::<f64>()
        };
        (0..n).map(row).collect()
    }

    fn lstm(&self, x: &[f64], h: &mut [f64], c: &mut [f64]) {
        let n = self.hidden;
        let [ri, ro, rf, rc] = [0, 1, 2, 3].map(|gate| self.recur(gate, h));
        for j in 0..n {
            let peephole = |gate: usize, c: f64| self.peepholes[gate * n + j] * c;
            let i = sigmoid(x[j] + ri[j] + peephole(0, c[j]));
            let f = sigmoid(x[2 * n + j] + rf[j] + peephole(2, c[j]));
            c[j] = f * c[j] + i * (x[3 * n + j] + rc[j]).tanh();
            h[j] = sigmoid(x[n + j] + ro[j] + peephole(1, c[j])) * c[j].tanh();
        }
    }

    fn gru(&self, x: &[f64], h: &mut [f64], linear_before_reset: bool) {
        let n = self.hidden;
        let gate = |gate: usize, h: &[f64]| -> Vec<f64> {
            self.recur(gate, h).iter().enumerate().map(|(j, r)| sigmoid(x[gate * n + j] + r)).collect()
        };
        let (z, r) = (gate(0, h), gate(1, h));
        let candidate: Vec<f64> = if linear_before_reset {
            self.recur(2, h).iter().zip(&r).map(|(u, r)| r * u).collect()
        } else {
            let reset: Vec<f64> = h.iter().zip(&r).map(|(h, r)| h * r).collect();
            self.recur(2, &reset)
        };
        for j in 0..n {
            h[j] = (1.0 - z[j]) * (x[2 * n + j] + candidate[j]).tanh() + z[j] * h[j];
        }
    }

    fn rnn(&self, x: &[f64], h: &mut [f64]) {
        let r = self.recur(0, h);
        h.iter_mut().zip(x.iter().zip(&r)).for_each(|(h, (x, r))| *h = (x + r).tanh());
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub(super) fn lstm(op: &Recurrent, node: &Node, operands: &[Tensor], cx: &Context) -> Result<Vec<Tensor>, NodeError> {
    run(op, 4, node, operands, cx, |cell, x, h, c| cell.lstm(x, h, c))
}

pub(super) fn gru(
    op: &Recurrent,
    linear_before_reset: bool,
    node: &Node,
    operands: &[Tensor],
    cx: &Context,
) -> Result<Vec<Tensor>, NodeError> {
    run(op, 3, node, operands, cx, |cell, x, h, _| cell.gru(x, h, linear_before_reset))
}

pub(super) fn rnn(op: &Recurrent, node: &Node, operands: &[Tensor], cx: &Context) -> Result<Vec<Tensor>, NodeError> {
    run(op, 1, node, operands, cx, |cell, x, h, _| cell.rnn(x, h))
}

fn run(
    op: &Recurrent,
    gates: usize,
    node: &Node,
    operands: &[Tensor],
    cx: &Context,
    step: impl Fn(&Cell, &[f64], &mut [f64], &mut [f64]),
) -> Result<Vec<Tensor>, NodeError> {
    let dtype = operands.first().map(Tensor::dtype).ok_or(NodeError::Arity { expected: "3".into(), found: 0 })?;
    let mut o = Operands::new(op, gates, operands)?;
    let (n, stacked) = (o.hidden, gates * o.hidden);
    let sizes = [o.time, o.directions, o.batch, n];
    let mut y = vec![0.0; cx.count(dtype, &sizes)?];
    for d in 0..o.directions {
        let bias = &o.bias[d * 2 * stacked..][..2 * stacked];
        // W·x + Wb at every time.
        let mut gated: Vec<f64> = bias[..stacked].repeat(o.time * o.batch);
        let w = Matrix::new(&o.w[d * stacked * o.input..][..stacked * o.input], stacked, o.input).transposed();
        accumulate(&mut gated, stacked, 0, Matrix::new(&o.x, o.time * o.batch, o.input), w);
        let cell = Cell {
            hidden: n,
            r: &o.r[d * stacked * n..][..stacked * n],
            rb: &bias[stacked..],
            peepholes: &o.peepholes[d * 3 * n..][..3 * n],
        };
        let backward = d == 1 || op.direction == Direction::Reverse;
        for b in 0..o.batch {
            let at = (d * o.batch + b) * n;
            let (h, c) = (&mut o.h[at..at + n], &mut o.c[at..at + n]);
            for i in 0..o.lengths[b] {
                let t = if backward { o.lengths[b] - 1 - i } else { i };
                step(&cell, &gated[(t * o.batch + b) * stacked..][..stacked], h, c);
                y[((t * o.directions + d) * o.batch + b) * n..][..n].copy_from_slice(h);
            }
        }
    }
    let state = [o.directions, o.batch, n];
    let mut results = vec![
        Column::Float(y).into_tensor(dtype, &sizes)?,
        Column::Float(o.h).into_tensor(dtype, &state)?,
        Column::Float(o.c).into_tensor(dtype, &state)?,
    ];
    if op.batch_first {
        results = vec![
            transpose(&results[0], &[2, 0, 1, 3])?,
            transpose(&results[1], &[1, 0, 2])?,
            transpose(&results[2], &[1, 0, 2])?,
        ];
    }
    results.truncate(node.outputs.len());
    Ok(results)
}
