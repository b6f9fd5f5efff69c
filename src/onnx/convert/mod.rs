//! One converter an operator, by family. A converter reads the node's inputs and attributes as its operator-set version means
//! them, adds nodes to the graph, and names the results; where it can't, it says why and what the results' types are.

mod anchors;
mod contrib;
mod control;
mod create;
mod index;
mod matrix;
mod norm;
mod pad;
mod pointwise;
mod pool;
mod quant;
mod recurrent;
mod reduce;
mod resize;
mod slice;
mod views;
mod window;

use super::attributes::domain;
use super::import::{Context, OLDEST, Stop, opaque};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::{Type, Value};
use crate::op::Op;
use crate::shape::Shape;
use crate::structural::Structural;
use crate::view::View;

type Cx<'s, 'm, 'n> = Context<'s, 'm, 'n>;
type Done = Result<(), Stop>;

/// Converts the node that `cx` stands for.
pub(crate) fn node(cx: &mut Cx) -> Done {
    match domain(cx.node) {
        "" => standard(cx),
        "com.microsoft" => contrib::convert(cx),
        "trt" => quant::tensorrt(cx),
        other => opaque(format!("the operator set {} is not known", super::error::quoted(other)), vec![]),
    }
}

fn standard(cx: &mut Cx) -> Done {
    match cx.op_type() {
        "Constant" => create::constant(cx),
        _ if cx.version < OLDEST => pointwise::by_table(cx),
        "ConstantOfShape" => create::constant_of_shape(cx),
        "Range" => create::range(cx),
        "Shape" => create::shape(cx),
        "Size" => create::size(cx),
        "EyeLike" => create::eye_like(cx),
        "RandomNormalLike" | "RandomUniformLike" | "Bernoulli" | "RandomNormal" | "RandomUniform" | "Multinomial" => {
            create::generated(cx)
        }
        "Reshape" => views::reshape(cx),
        "Flatten" => views::flatten(cx),
        "Squeeze" => views::squeeze(cx),
        "Unsqueeze" => views::unsqueeze(cx),
        "Transpose" => views::transpose(cx),
        "Expand" => views::expand(cx),
        "Concat" => views::concat(cx),
        "Split" => slice::split(cx),
        "Slice" => slice::slice(cx),
        "Tile" => views::tile(cx),
        "DepthToSpace" => views::depth_to_space(cx),
        "SpaceToDepth" => views::space_to_depth(cx),
        "Resize" | "Upsample" => resize::resize(cx),
        "Pad" => pad::pad(cx),
        "Conv" => anchors::conv(cx),
        "ConvTranspose" => anchors::conv_transpose(cx),
        "ConvInteger" => anchors::conv_integer(cx),
        "QLinearConv" => quant::qlinear_conv(cx),
        "MatMul" => matrix::matmul(cx),
        "Gemm" => matrix::gemm(cx),
        "MatMulInteger" => matrix::matmul_integer(cx),
        "QLinearMatMul" => quant::qlinear_matmul(cx),
        "Einsum" => matrix::einsum(cx),
        "MaxPool" | "AveragePool" | "LpPool" => pool::pool(cx),
        "GlobalMaxPool" | "GlobalAveragePool" | "GlobalLpPool" => pool::global(cx),
        "Softmax" | "LogSoftmax" | "Hardmax" => norm::softmax(cx),
        "BatchNormalization" => norm::batch(cx),
        "LayerNormalization" => norm::layer(cx),
        "RMSNormalization" => norm::rms(cx),
        "InstanceNormalization" => norm::instance(cx),
        "GroupNormalization" => norm::group(cx),
        "LpNormalization" => norm::lp(cx),
        "LRN" => norm::local_response(cx),
        "MeanVarianceNormalization" => norm::mean_variance(cx),
        "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
        | "ReduceSumSquare" | "ReduceLogSum" | "ReduceLogSumExp" => reduce::reduce(cx),
        "ArgMax" | "ArgMin" => reduce::arg(cx),
        "TopK" => reduce::top_k(cx),
        "CumSum" | "CumProd" => reduce::cumulative(cx),
        "Gather" => index::gather(cx),
        "GatherElements" => index::gather_elements(cx),
        "GatherND" => index::gather_nd(cx),
        "ScatterElements" | "Scatter" => index::scatter_elements(cx),
        "ScatterND" => index::scatter_nd(cx),
        "TensorScatter" => index::same_type(cx),
        "NonZero" => index::non_zero(cx),
        "OneHot" => index::one_hot(cx),
        "Trilu" => index::trilu(cx),
        "Compress" => index::compress(cx),
        "ReverseSequence" => index::reverse_sequence(cx),
        "Det" => index::det(cx),
        "Unique" | "NonMaxSuppression" | "RoiAlign" | "MaxRoiPool" | "GridSample" | "AffineGrid" | "CenterCropPad"
        | "DeformConv" | "MaxUnpool" | "RotaryEmbedding" => index::types_only(cx),
        "LSTM" | "GRU" | "RNN" => recurrent::convert(cx),
        "If" => control::branch(cx),
        "Loop" | "Scan" => control::repeat(cx),
        "QuantizeLinear" => quant::quantize(cx),
        "DequantizeLinear" => quant::dequantize(cx),
        "DynamicQuantizeLinear" => quant::dynamic_quantize(cx),
        "Identity" => pointwise::identity(cx),
        "Dropout" => pointwise::dropout(cx),
        "Sum" | "Mean" | "Max" | "Min" => pointwise::variadic(cx),
        "Clip" => pointwise::clip(cx),
        "Shrink" => pointwise::shrink(cx),
        "Cast" => pointwise::cast(cx),
        "CastLike" => pointwise::cast_like(cx),
        "BitCast" => pointwise::bit_cast(cx),
        "Gelu" => pointwise::gelu(cx),
        "Swish" => pointwise::swish(cx),
        "IsInf" => pointwise::is_inf(cx),
        "Mod" => pointwise::modulo(cx),
        "BitShift" => pointwise::bit_shift(cx),
        _ => pointwise::by_table(cx),
    }
}

/// The product of sizes, unless its formula grows out of hand.
fn product<'a>(dims: impl IntoIterator<Item = &'a Dim>) -> Result<Option<Dim>, Stop> {
    let mut product = Dim::ONE;
    for dim in dims {
        product = product.mul(dim)?;
        if !product.is_within(4 * super::known::LONGEST_FORMULA) {
            return Ok(None);
        }
    }
    Ok(Some(product))
}

/// A type with nothing known but the element type.
fn of_dtype(dtype: Option<DType>) -> Type {
    Type { dtype, shape: None }
}

fn typed(dtype: Option<DType>, shape: Shape) -> Type {
    Type { dtype, shape: Some(shape) }
}
