//! The products of formulas: `matmul(a, b)` and `conv(x, w, stride, pad)`.

use crate::anchor::{Anchor, Conv};
use crate::dim::{Dim, DimError};
use crate::dtype::DType;
use crate::graph::{Builder, Kind, Node, Operand, Type, Value};
use crate::shape::Shape;

/// `a` (batch…, m, k) times `b` (k, n), or (batch…, k, n).
pub(super) fn matmul(builder: &mut Builder, operands: &[Operand]) -> Result<Value, String> {
    let &[Operand::Value(a), Operand::Value(b)] = operands else {
        return Err(format!("matmul takes two tensors, found {} operands", operands.len()));
    };
    let ((x, left), (y, right)) = (full(builder, a)?, full(builder, b)?);
    let dtype = result(x, y)?;
    let misfit = || format!("matmul of {left} by {right}: the axes do not fit");
    let ([outer @ .., m, k], [batch @ .., inner, n]) = (&left.0[..], &right.0[..]) else { return Err(misfit()) };
    if k != inner || !(batch.is_empty() || batch == outer) {
        return Err(misfit());
    }
    let shape = Shape([outer, &[m.clone(), n.clone()]].concat());
    let anchor = Anchor::Gemm { transpose_a: false, transpose_b: false, bias: false };
    Ok(add(builder, anchor, "MatMul", Type::new(dtype, shape), [a, b]))
}

/// `x` (image, spatial…, channel) convolved with `w` (filter, kernel…, channel/groups), with the same stride and padding along every axis.
pub(super) fn conv(builder: &mut Builder, operands: &[Operand]) -> Result<Value, String> {
    let (x, w, rest) = match operands {
        [Operand::Value(x), Operand::Value(w), rest @ ..] if rest.len() <= 2 => (*x, *w, rest),
        _ => return Err("conv takes two tensors, a stride and a padding".into()),
    };
    let number = |slot: usize, default: usize, least: f64| match rest.get(slot) {
        None => Ok(default),
        Some(Operand::Number(n)) if n.fract() == 0.0 && (least..=4096.0).contains(n) => Ok(*n as usize),
        Some(_) => Err("the stride and the padding of conv are whole numbers".to_owned()),
    };
    let (stride, pad) = (number(0, 1, 1.0)?, number(1, 0, 0.0)?);
    let ((a, input), (b, weights)) = (full(builder, x)?, full(builder, w)?);
    let dtype = result(a, b)?;
    let misfit = || format!("conv of {input} by {weights}: the axes do not fit");
    let ([images, spatial @ .., channels], [filters, kernel @ .., per_group]) = (&input.0[..], &weights.0[..]) else {
        return Err(misfit());
    };
    let known = |d: &Dim| d.known().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
    let sizes = [known(channels), known(per_group), known(filters)];
    let [Some(channels), Some(per_group), Some(count)] = sizes else { return Err(misfit()) };
    let groups = channels / per_group;
    let kernel: Vec<usize> = kernel.iter().map(known).collect::<Option<_>>().ok_or_else(misfit)?;
    let fits = kernel.len() == spatial.len() && !kernel.is_empty();
    if !fits || groups * per_group != channels || groups == 0 || count % groups != 0 {
        return Err(misfit());
    }
    let output = |(size, kernel): (&Dim, &usize)| -> Result<Dim, DimError> {
        let room = size.add(&Dim::from(2 * pad))?.sub(&Dim::from(*kernel))?;
        room.floor_div(&Dim::from(stride))?.add(&Dim::ONE)
    };
    let spatial: Vec<Dim> =
        spatial.iter().zip(&kernel).map(output).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    if spatial.iter().any(|d| d.known().is_some_and(|n| n < 1)) {
        return Err(misfit());
    }
    let shape = std::iter::once(images).chain(&spatial).chain([filters]).cloned().collect::<Vec<_>>();
    let shape = Shape(shape);
    let rank = kernel.len();
    let conv = Conv {
        kernel,
        strides: vec![stride; rank],
        dilations: vec![1; rank],
        pads: vec![(pad, pad); rank],
        groups,
        bias: false,
    };
    Ok(add(builder, Anchor::ConvLast { conv, pad: 0 }, "Conv", Type::new(dtype, shape), [x, w]))
}

fn full(builder: &Builder, v: Value) -> Result<(DType, Shape), String> {
    let found = builder.ty(v).full().map(|(dtype, shape)| (dtype, shape.clone()));
    found.ok_or_else(|| "a product needs operands of known types".into())
}

fn result(a: DType, b: DType) -> Result<DType, String> {
    let code = |t: DType| matches!(t, DType::I8 | DType::U8);
    match () {
        () if code(a) && code(b) => Ok(DType::I32),
        () if a == b && a.is_arithmetic_float() => Ok(a),
        () => Err(format!("nothing multiplies {a} with {b}")),
    }
}

fn add(builder: &mut Builder, anchor: Anchor, op: &str, ty: Type, operands: [Value; 2]) -> Value {
    let name = op.to_lowercase();
    builder.node(Node::new(Kind::Anchor(anchor), &name, ty).with_origin(&name, op), &operands).value()
}

#[cfg(test)]
mod tests {
    use crate::expr::parse;

    #[test]
    fn products_have_the_shapes_that_they_should() {
        let ty = |text: &str| parse(text).map(|g| g.ty(g.outputs()[0].1).to_string()).map_err(|e| e.to_string());
        assert_eq!(ty("y = matmul(a:f16[m,64], b:f16[64,32])").unwrap(), "Half(m,32)");
        assert_eq!(ty("y = matmul(a:i8[3,m,64], b:u8[3,64,32])").unwrap(), "Int32(3,m,32)");
        assert_eq!(ty("y = conv(x:f16[n,640,640,3], w:f16[32,6,6,3], 2, 2)").unwrap(), "Half(n,320,320,32)");
        assert_eq!(ty("y = conv(x:f32[2,9,8], w:f32[8,3,1])").unwrap(), "Float(2,7,8)");
        for (text, why) in [
            ("y = matmul(a:f16[m,64], b:f16[63,32])", "do not fit"),
            ("y = matmul(a:f16[m,64])", "two tensors"),
            ("y = matmul(a:f16[m,64], b:f32[64,32])", "nothing multiplies"),
            ("y = conv(x:f16[n,4,4,8], w:f16[8,9,9,8])", "do not fit"),
            ("y = conv(x:f16[n,4,4,8], w:f16[8,3,3,3])", "do not fit"),
            ("y = conv(x:f16[n,4,4,8], w:f16[8,3,3,8], 0.5)", "whole numbers"),
        ] {
            let message = ty(text).unwrap_err();
            assert!(message.contains(why), "{text}: {message}");
        }
    }
}
