//! Depthwise convolutions: every channel on its own, so there is nothing for a tensor core to share; a thread sums a few adjacent channels of a pixel.

use super::super::{Filled, Parts};
use super::{lead_with_accumulator, row_lines};
use crate::dim::{Dim, DimError};
use crate::dtype::DType;
use crate::emit::EmitError;
use crate::emit::index::Indexer;
use crate::emit::launch::Blocks;
use crate::emit::params::{Param, ParamValue};
use crate::plan::{Contraction, layout};

/// Fills the skeleton of depthwise convolutions.
pub fn depthwise(parts: &Parts, vector: u32) -> Result<Filled, EmitError> {
    let kernel = parts.kernel;
    let dim = |source: DimError| EmitError::Dim { kernel: kernel.name.clone(), source };
    let unfit = |why: &str| EmitError::Schedule { kernel: kernel.name.clone(), why: why.to_owned() };
    let product = kernel.product.as_deref().filter(|p| p.contraction.is_depthwise());
    let product = product.ok_or_else(|| unfit("its product is no depthwise convolution"))?;
    let Contraction::Conv { input, output, channels, first, pitch, conv, pad, .. } = &product.contraction else {
        return Err(unfit("its product is no convolution"));
    };
    let width = parts.width();
    let wide = u64::from(vector);
    let tail = !layout::is_multiple(channels, wide);
    let (a, b) = (product.a.dtype, product.b.dtype);
    let size = u64::from(a.bits() / 8);
    // A vector of channels is one load where every pixel's channels begin at a multiple of it.
    let places = layout::power_of_two(pitch, 16).min(layout::power_of_two(first, 16)) * size;
    let align = if tail { size } else { (wide * size).min(16).min(places).max(size) };
    let mut indexer = Indexer { domain: &kernel.domain, width, params: Vec::new() };
    let vectors = channels.ceil_div(&Dim::fixed(i64::from(vector))).map_err(dim)?;
    let rows = product.contraction.rows().map_err(dim)?;
    let group = indexer.quotient("place", "vectors", &vectors);
    indexer.param(Param::size("rows".into(), &rows, width));
    indexer.param(Param::size("inner".into(), channels, width));
    indexer.param(Param::stride("pitch".into(), pitch, width));

    let rank = input.len();
    let stride = |indexer: &mut Indexer, name: String, dim: &Dim| {
        indexer.param(Param::stride(name.clone(), dim, width));
        name
    };
    let mut sum = Vec::new();
    let mut rest = "row".to_owned();
    for i in (0..rank).rev() {
        let quotient = indexer.quotient(&rest, &format!("out{i}"), &output[i]);
        sum.push(format!("const idx image{i} = {quotient};"));
        let by = stride(&mut indexer, format!("stride{i}"), &Dim::from(conv.strides[i]));
        let before = stride(&mut indexer, format!("before{i}"), &Dim::from(conv.pads[i].0));
        stride(&mut indexer, format!("in{i}"), &input[i]);
        stride(&mut indexer, format!("taps{i}"), &Dim::from(conv.kernel[i]));
        stride(&mut indexer, format!("dilation{i}"), &Dim::from(conv.dilations[i]));
        sum.push(format!("const off w{i} = (off)({rest} - image{i} * out{i}) * {by} - {before};"));
        rest = format!("image{i}");
    }
    let taps = conv.kernel.iter().try_fold(Dim::ONE, |n, d| n.mul(&Dim::from(*d))).map_err(dim)?;
    let taps = stride(&mut indexer, "taps".to_owned(), &taps);
    let mut offset = format!("(off){rest}");
    let mut weight = "0".to_owned();
    let mut inside = Vec::new();
    for i in 0..rank {
        sum.push(format!("for (off t{i} = 0; t{i} < taps{i}; ++t{i}) {{"));
        sum.push(format!("const off p{i} = w{i} + t{i} * dilation{i};"));
        offset = format!("({offset} * in{i} + p{i})");
        weight = if weight == "0" { format!("t{i}") } else { format!("({weight} * taps{i} + t{i})") };
        inside.push(format!("p{i} >= 0 && p{i} < in{i}"));
    }
    let bytes = wide * size;
    let whole = match tail {
        true => format!("load_some<{bytes}, {size}>(a + at, live)"),
        false => format!("load<{bytes}, {align}>(a + at)"),
    };
    sum.push(format!("const bool inside = {};", inside.join(" && ")));
    sum.push(format!("const off at = {offset} * pitch + (off)column;"));
    sum.push(format!("Words<{}> x = {{}};", bytes.div_ceil(4)));
    sum.push(format!("if (inside) x = {whole};"));
    sum.push("#pragma unroll".to_owned());
    sum.push(format!("for (int e = 0; e < {vector}; ++e) {{"));
    let y = format!("get_{b}(load<{0}, {0}>(b + (off)(column + e) * {taps} + {weight}), 0)", b.bits() / 8);
    let is_code = product.accumulator == DType::I32;
    let c_type = if is_code { "i32" } else { "float" };
    let x = if is_code && pad.as_f64() != 0.0 {
        let value = ParamValue::Scalar(crate::scalar::Scalar::new(DType::I32, pad.number()));
        indexer.param(Param { name: "pad".into(), c_type: "const i32".into(), value });
        format!("(inside ? (i32)get_{a}(x, e) : pad)")
    } else {
        format!("get_{a}(x, e)")
    };
    let (live, otherwise) = if tail { ("e < live ? ", " : 0") } else { ("", "") };
    sum.push(format!("const {c_type} y = {live}{y}{otherwise};"));
    sum.push(match is_code {
        true => format!("acc[e] += {x} * y;"),
        false => format!("acc[e] = fmaf({x}, y, acc[e]);"),
    });
    sum.push("}".to_owned());
    sum.extend(std::iter::repeat_n("}".to_owned(), rank));

    let (mut places, mut lines) = row_lines(parts, &mut indexer, vector, tail);
    let mut context = parts.context();
    context.insert("what", &format!("Each thread sums {vector} adjacent channels of one pixel."));
    context.insert("vector", &vector);
    context.insert("lanes", &vector);
    context.insert("group", &group);
    context.insert("tail", &tail);
    context.insert("acc_type", c_type);
    context.insert("sum", &sum);
    places.append(&mut lines.prologue);
    lines.prologue = places;
    let at = if is_code { "(i32)word_at(acc_w, e)" } else { "__uint_as_float(word_at(acc_w, e))" };
    lead_with_accumulator(&mut lines, product, at);
    lines.insert(&mut context);

    let pointers = [Param::factor(0, a, align as u32), Param::factor(1, b, b.bits() / 8)];
    let pointers = pointers.into_iter().chain(lines.pointers).collect();
    let params = parts.params(pointers, indexer.params);
    let blocks = Blocks::Threads(vec![(rows, 1), (channels.clone(), wide)]);
    let name = format!("depthwise_{}", parts.name());
    Ok(Filled { name, template: "depthwise", context, params, blocks, dynamic_shared: 0 })
}
