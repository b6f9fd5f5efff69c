//! Products of dequantized codes become products of the codes: `conv(dequantize(x, sx, zx), dequantize(w, sw, zw))` becomes
//! `dequantize(conv(x, w − zw), sx·sw, zx·Σ(w − zw))`, and likewise for matrix products.
//!
//! With values sx·(x − zx) and sw·(w − zw), the product is sx·sw·Σ (x − zx)(w − zw) = sx·sw·(Σ x·w′ − zx·Σ w′), where w′ = w − zw. So the i32
//! sum of the codes is dequantized by one scale and one zero point a channel, both known now; what lies outside of the input counts as zx, so that
//! the correction holds at the padding too. It is exact but for the product of the scales, which is rounded to f32 once, where the written form
//! rounds each value and each addition.
//!
//! What it takes: one scale and zero point for the whole of x, constant weights of 8 bits with one scale and zero point for all or for each output
//! channel, and w′ that are codes of 8 bits again (an i8 of zero point 0 is, and a u8 of zero point 128). Weights that are not constant must have the zero
//! point 0, and x too: else the correction would need the sums of x.

use super::work::{same, uniform};
use super::{Pass, PassError, Work};
use crate::anchor::Anchor;
use crate::dtype::DType;
use crate::graph::{Graph, Kind, NodeId, Type, Value};
use crate::op::{self, Op};
use crate::patch::Patch;
use crate::tensor::Tensor;

pub(super) const PASS: Pass =
    Pass { name: "integer_products", about: "multiply codes as codes in convolutions and matrix products", run };

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    if !work.options.weld {
        return Ok(());
    }
    for id in work.order()? {
        if work.graph.use_count(id.value()) > 0
            && let Some(rewrite) = rewrite(work.graph, id)
        {
            apply(work, id, rewrite);
        }
    }
    Ok(())
}

/// The product of codes that stands for a product of values.
struct Rewrite {
    anchor: Anchor,
    w: Weights,
    /// Of the result's dequantize: of one element, or of one a channel.
    scale: Tensor,
    zero: Tensor,
}

enum Weights {
    /// Codes that vary, with the zero point 0.
    Varying(Value),
    /// w′.
    Constant(Tensor),
}

/// The type, scale and zero point of dequantized codes.
struct Codes {
    dtype: DType,
    scale: Value,
    zero: Value,
}

/// Views looked through between a dequantize and a product.
const DEEPEST: usize = 8;

/// What `v` is dequantized by. Views move codes as they move values, if all have one scale and zero point.
fn codes(graph: &Graph, v: Value, depth: usize) -> Option<Codes> {
    let operands = graph.operands(v.node);
    match &graph.node(v.node).kind {
        Kind::Pointwise(op) if op.is(&op::DEQUANTIZE) => {
            let dtype = graph.ty(operands[0]).dtype.filter(|t| matches!(t, DType::I8 | DType::U8))?;
            // A scale with axes of its own may broadcast the codes.
            let same = graph.ty(operands[0]).shape == graph.ty(v).shape;
            same.then_some(Codes { dtype, scale: operands[1], zero: operands[2] })
        }
        Kind::View(_) if depth < DEEPEST => {
            let first = codes(graph, *operands.first()?, depth + 1)?;
            let alike = |v: &Value| {
                codes(graph, *v, depth + 1).is_some_and(|other| {
                    other.dtype == first.dtype
                        && [(other.scale, first.scale), (other.zero, first.zero)]
                            .into_iter()
                            .all(|(a, b)| same(graph, a, b) && uniform(graph, a).is_some())
                })
            };
            operands.iter().all(alike).then_some(first)
        }
        _ => None,
    }
}

/// The codes of what [`codes`] has looked through.
fn move_codes(patch: &mut Patch<'_>, v: Value) -> Value {
    let graph = patch.graph();
    let operands = graph.operands(v.node);
    match graph.node(v.node).kind.clone() {
        Kind::View(view) => {
            let (name, shape) = (graph.value_name(v).to_string(), graph.ty(v).shape.clone());
            let moved: Vec<Value> = operands.iter().map(|operand| move_codes(patch, *operand)).collect();
            let dtype = moved.first().and_then(|code| patch.graph().ty(*code).dtype);
            patch.add(Kind::View(view), &format!("{name}_codes"), Type { dtype, shape }, &moved)
        }
        _ => operands[0],
    }
}

fn rewrite(graph: &Graph, id: NodeId) -> Option<Rewrite> {
    let Kind::Anchor(anchor) = &graph.node(id).kind else { return None };
    let operands = graph.operands(id);
    // Which axis of the weights is the output channels', from the end for a matrix product.
    let (anchor, columns) = match anchor {
        Anchor::ConvLast { conv, pad: 0 } if !conv.bias => (Anchor::ConvLast { conv: conv.clone(), pad: 0 }, 0),
        Anchor::Gemm { transpose_b, bias: false, .. } => {
            let rank = graph.ty(operands[1]).shape.as_ref().map(|s| s.rank()).filter(|r| *r >= 2)?;
            (anchor.clone(), if *transpose_b { rank - 2 } else { rank - 1 })
        }
        _ => return None,
    };
    let shape = graph.ty(id.value()).full().filter(|(dtype, _)| *dtype == DType::F32)?.1;
    let (x, w) = (codes(graph, operands[0], 0)?, codes(graph, operands[1], DEEPEST)?);
    let weights = graph.operands(operands[1].node)[0];
    let (sx, zx) = (uniform(graph, x.scale)?.as_f64(), uniform(graph, x.zero)?.number().as_i128());
    let (scale, zero) = (graph.constant(w.scale)?, graph.constant(w.zero)?);
    let Some(tensor) = graph.constant(weights) else {
        // Both uniform, no correction.
        let sw = scale.uniform()?.as_f64();
        let none = zx == 0 && zero.numbers().all(|z| z.as_i128() == 0);
        return none.then_some(Rewrite {
            anchor,
            w: Weights::Varying(weights),
            scale: scales(&[], [sx * sw].into_iter())?,
            zero: Tensor::from_vec(&[], vec![0i32]).ok()?,
        });
    };
    let sizes = tensor.sizes();
    let n = *sizes.get(columns)?;
    let inner: usize = sizes[columns + 1..].iter().product();
    let (scale, zero) = (channelwise(scale, sizes, columns)?, channelwise(zero, sizes, columns)?);
    let weights = moved(tensor, &zero, inner)?;
    // A stack of matrices has sums of its own each.
    let stacked = sizes.len() > 2 && matches!(anchor, Anchor::Gemm { .. });
    let flat = scale.len() == 1 && zx == 0;
    if stacked && zx != 0 {
        return None;
    }
    let last = if shape.rank() == 0 || flat { vec![] } else { vec![n] };
    let count = if flat { 1 } else { n };
    let factors = (0..count).map(|c| sx * if scale.len() == 1 { scale[0] } else { scale[c] });
    let correction = match zx {
        0 => vec![0; count],
        zx => {
            let all = sums(&weights, inner, n).into_iter().map(|sum| i32::try_from(zx * i128::from(sum)).ok());
            all.collect::<Option<Vec<i32>>>()?
        }
    };
    let anchor = match anchor {
        Anchor::ConvLast { conv, .. } => Anchor::ConvLast { conv, pad: i32::try_from(zx).ok()? },
        other => other,
    };
    Some(Rewrite {
        anchor,
        w: Weights::Constant(weights),
        scale: scales(&last, factors)?,
        zero: Tensor::from_vec(&last, correction).ok()?,
    })
}

/// w′: codes of 8 bits moved to the zero point 0. `zero` holds one for all, or one for each channel in turn, of which `inner` successive
/// codes belong to one. `None` if some difference is no code of 8 bits. Weights have millions of codes: what is of zero point 0 already is not copied.
fn moved(codes: &Tensor, zero: &[f64], inner: usize) -> Option<Tensor> {
    let signed = codes.dtype() == DType::I8;
    if !signed && codes.dtype() != DType::U8 {
        return None;
    }
    let bytes = codes.bytes();
    let run = if zero.len() == 1 { bytes.len() } else { inner };
    let runs = || bytes.chunks(run.max(1)).enumerate().map(|(i, run)| (run, zero[i % zero.len()] as i16));
    let code = |byte: u8| if signed { i16::from(byte as i8) } else { i16::from(byte) };
    // An empty tensor is one of i8.
    let (mut least, mut most) = (i16::MAX, i16::MIN);
    for (run, zero) in runs() {
        let (low, high) =
            run.iter().fold((i16::MAX, i16::MIN), |(low, high), byte| (low.min(code(*byte)), high.max(code(*byte))));
        (least, most) = (least.min(low.saturating_sub(zero)), most.max(high.saturating_sub(zero)));
    }
    let fits = |dtype: &DType| dtype.int_range().is_some_and(|(a, b)| a <= least.into() && i128::from(most) <= b);
    let dtype = [DType::I8, DType::U8].into_iter().find(fits)?;
    let moved = match zero.iter().all(|z| *z == 0.0) {
        true => bytes.clone(),
        // The lower byte of the difference is its code in whichever of the types holds it.
        false => runs().flat_map(|(run, zero)| run.iter().map(move |byte| byte.wrapping_sub(zero as u8))).collect(),
    };
    Tensor::new(dtype, codes.sizes().to_vec(), moved).ok()
}

/// The sum of the codes of each of `n` channels, of which `inner` successive codes belong to one.
fn sums(codes: &Tensor, inner: usize, n: usize) -> Vec<i64> {
    let signed = codes.dtype() == DType::I8;
    let code = |byte: &u8| if signed { i64::from(*byte as i8) } else { i64::from(*byte) };
    let mut sums = vec![0; n];
    for row in codes.bytes().chunks((inner * n).max(1)) {
        if inner == 1 {
            sums.iter_mut().zip(row).for_each(|(sum, byte)| *sum += code(byte));
            continue;
        }
        for (sum, run) in sums.iter_mut().zip(row.chunks(inner.max(1))) {
            *sum += run.iter().map(code).sum::<i64>();
        }
    }
    sums
}

/// One number, or one for each index of `axis` of weights of these sizes.
fn channelwise(parameter: &Tensor, sizes: &[usize], axis: usize) -> Option<Vec<f64>> {
    if let Some(one) = parameter.uniform() {
        return Some(vec![one.as_f64()]);
    }
    let own = (axis + parameter.sizes().len()).checked_sub(sizes.len())?;
    let along = parameter.sizes().iter().enumerate().all(|(i, n)| *n == if i == own { sizes[axis] } else { 1 });
    along.then(|| parameter.to_f64())
}

/// f32 scales, if none over- or underflows.
fn scales(sizes: &[usize], of: impl Iterator<Item = f64>) -> Option<Tensor> {
    let scales: Vec<f32> = of.map(|s| s as f32).collect();
    let usual = scales.iter().all(|s| s.is_normal());
    usual.then(|| Tensor::from_vec(sizes, scales).ok())?
}

fn apply(work: &mut Work<'_>, id: NodeId, rewrite: Rewrite) {
    let graph = &*work.graph;
    let operands = graph.operands(id);
    let (name, ty) = (graph.value_name(id.value()).to_string(), graph.ty(id.value()).clone());
    let mut patch = work.patch("product_of_codes", &[operands[0].node, operands[1].node, id]);
    let w = match rewrite.w {
        Weights::Varying(w) => w,
        Weights::Constant(w) => patch.constant(&format!("{name}_weights"), w),
    };
    let x = move_codes(&mut patch, operands[0]);
    let sums = Type { dtype: Some(DType::I32), ..ty.clone() };
    let product = patch.add(Kind::Anchor(rewrite.anchor), &format!("{name}_sums"), sums, &[x, w]);
    let scale = patch.constant(&format!("{name}_scale"), rewrite.scale);
    let zero = patch.constant(&format!("{name}_correction"), rewrite.zero);
    let op = Kind::Pointwise(Op::to(&op::DEQUANTIZE, DType::F32));
    let values = patch.add(op, &name, ty, &[product, scale, zero]);
    patch.replace(id.value(), values);
}
