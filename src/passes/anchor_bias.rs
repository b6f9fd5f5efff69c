//! The bias of a convolution or matrix product becomes an addition: `conv(x, w, b)` becomes `conv(x, w) + b`, and `gemm(a, b, c)` becomes
//! `gemm(a, b) + c`, so that it is part of the group that is welded on like everything else that follows.
//!
//! In f32 the sum is rounded once more than it need be; in f16 and bf16 the product is rounded before the bias is added. A welded kernel adds it to the
//! accumulator and rounds where it stores. Only channels-last convolutions: their channels are the last axis, which a bias broadcasts along.

use super::{Pass, PassError, Work};
use crate::anchor::Anchor;
use crate::graph::{Kind, Type};
use crate::op::{self, Op};

pub(super) const PASS: Pass = Pass { name: "anchor_bias", about: "add the bias of a product in an op of its own", run };

fn run(work: &mut Work<'_>) -> Result<(), PassError> {
    if !work.options.weld {
        return Ok(());
    }
    for id in work.order()? {
        let kind = match &work.graph.node(id).kind {
            Kind::Anchor(Anchor::ConvLast { conv, pad }) if conv.bias => {
                Anchor::ConvLast { conv: crate::anchor::Conv { bias: false, ..conv.clone() }, pad: *pad }
            }
            Kind::Anchor(Anchor::Gemm { transpose_a, transpose_b, bias: true }) => {
                Anchor::Gemm { transpose_a: *transpose_a, transpose_b: *transpose_b, bias: false }
            }
            _ => continue,
        };
        let operands = work.graph.operands(id);
        let (name, ty) = (work.graph.value_name(id.value()).to_string(), work.graph.ty(id.value()).clone());
        let types: [Type; 2] = [ty.clone(), work.graph.ty(operands[2]).clone()];
        if work.graph.users(id).is_empty() && work.graph.use_count(id.value()) == 0
            || super::work::infer(Op::new(&op::ADD), &types).as_ref() != Some(&ty)
        {
            continue;
        }
        let mut patch = work.patch("bias_by_addition", &[id]);
        let product = patch.add(Kind::Anchor(kind), &format!("{name}_product"), ty.clone(), &operands[..2]);
        let sum = patch.add(Kind::Pointwise(Op::new(&op::ADD)), &name, ty, &[product, operands[2]]);
        patch.replace(id.value(), sum);
    }
    Ok(())
}
