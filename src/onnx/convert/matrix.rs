//! Matrix products.

use super::pointwise::scalar;
use super::*;
use crate::anchor::Anchor;
use crate::graph::Kind;
use crate::op;
use std::collections::BTreeMap;

pub(super) fn matmul(cx: &mut Cx) -> Done {
    cx.at_most(2)?;
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let y = product_of(cx, a, b, false, false)?;
    cx.finish(0, y)
}

/// NumPy's product, of vectors too: a vector on the left is one row, on the right one column, and that axis goes again.
/// With `transpose_a` or `transpose_b` the last two axes of that operand are exchanged.
pub(super) fn product_of(cx: &mut Cx, a: Value, b: Value, transpose_a: bool, transpose_b: bool) -> Result<Value, Stop> {
    let dtype = cx.dtype(a);
    let (left, right, rows, columns) = (cx.need_shape(a)?, cx.need_shape(b)?, cx.shape(a), cx.shape(b));
    if left.rank() == 0 || right.rank() == 0 {
        return Err(Stop::Broken(format!("it multiplies {left} and {right}; scalars have no matrix product")));
    }
    if cx.dtype(b) != dtype && cx.dtype(b).is_some() && dtype.is_some() {
        return Err(Stop::Broken("its operands differ in element type".into()));
    }
    let wide = |cx: &mut Cx, v: Value, shape: &Shape, row: bool| match shape.rank() {
        1 => {
            let to = if row { vec![Dim::ONE, shape[0].clone()] } else { vec![shape[0].clone(), Dim::ONE] };
            cx.reshape(v, Shape(to))
        }
        _ => v,
    };
    let (a, b) = (wide(cx, a, &left, true), wide(cx, b, &right, false));
    let (left, right) = (cx.need_shape(a)?, cx.need_shape(b)?);
    let shape = product_shape(&left, &right, transpose_a, transpose_b)?;
    let kind = Kind::Anchor(Anchor::Gemm { transpose_a, transpose_b, bias: false });
    let y = cx.add(kind, typed(dtype, shape.clone()), &[a, b]);
    let vector = |shape: &Option<Shape>| shape.as_ref().is_some_and(|s| s.rank() == 1);
    let (drop_row, drop_column) = (vector(&rows), vector(&columns));
    let mut to = shape.0;
    if drop_column {
        to.pop();
    }
    if drop_row {
        let at = to.len() - if drop_column { 1 } else { 2 };
        to.remove(at);
    }
    Ok(cx.reshape(y, Shape(to)))
}

fn product_shape(a: &Shape, b: &Shape, transpose_a: bool, transpose_b: bool) -> Result<Shape, Stop> {
    let matrix = |s: &Shape, transpose: bool| {
        let (rows, columns) = (s[s.rank() - 2].clone(), s[s.rank() - 1].clone());
        if transpose { (columns, rows) } else { (rows, columns) }
    };
    let ((rows, inner), (other, columns)) = (matrix(a, transpose_a), matrix(b, transpose_b));
    if inner.sub(&other)?.known().is_some_and(|difference| difference != 0) {
        return Err(Stop::Broken(format!("it multiplies {a} and {b}: {inner} is not {other}")));
    }
    let outer = |s: &Shape| Shape(s[..s.rank() - 2].to_vec());
    let mut shape = crate::onnx::import::broadcast(&[outer(a), outer(b)])?;
    shape.0.extend([rows, columns]);
    Ok(shape)
}

/// alpha·A·B + beta·C. The product is the anchor; a factor that is not 1 is a multiplication of its own.
pub(super) fn gemm(cx: &mut Cx) -> Done {
    cx.at_most(3)?;
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let dtype = cx.dtype(a);
    let (left, right) = (cx.need_shape(a)?, cx.need_shape(b)?);
    if left.rank() != 2 || right.rank() != 2 {
        return Err(Stop::Broken(format!("it multiplies {left} and {right}; both must be matrices")));
    }
    let (transpose_a, transpose_b) = (cx.attributes.flag("transA", false)?, cx.attributes.flag("transB", false)?);
    let (alpha, beta) = (cx.attributes.float_or("alpha", 1.0)?, cx.attributes.float_or("beta", 1.0)?);
    let shape = product_shape(&left, &right, transpose_a, transpose_b)?;
    let ty = typed(dtype, shape.clone());
    let mut c = cx.optional(2).filter(|_| beta != 0.0);
    if let Some(c) = c {
        let bias = cx.need_shape(c)?;
        // ONNX broadcasts C to the product, never the product to C.
        if crate::onnx::import::broadcast(&[shape.clone(), bias.clone()])?.rank() > 2 {
            return Err(Stop::Broken(format!("its third operand {bias} does not broadcast to {shape}")));
        }
    }
    let add = |cx: &mut Cx, bias: bool, operands: &[Value]| {
        cx.add(Kind::Anchor(Anchor::Gemm { transpose_a, transpose_b, bias }), ty.clone(), operands)
    };
    if let Some(bias) = c.filter(|_| beta != 1.0) {
        let beta = scalar(cx, bias, beta.into())?;
        c = Some(cx.pointwise(Op::new(&op::MUL), &[bias, beta])?);
    }
    let y = match (c, alpha == 1.0) {
        (Some(c), true) => add(cx, true, &[a, b, c]),
        (c, _) => {
            let mut y = add(cx, false, &[a, b]);
            if alpha != 1.0 {
                let alpha = scalar(cx, a, alpha.into())?;
                y = cx.pointwise(Op::new(&op::MUL), &[y, alpha])?;
            }
            match c {
                Some(c) => cx.pointwise(Op::new(&op::ADD), &[y, c])?,
                None => y,
            }
        }
    };
    cx.finish(0, y)
}

/// 8-bit product with an exact i32 result. Zero points that are left out become zeros.
pub(super) fn matmul_integer(cx: &mut Cx) -> Done {
    cx.at_most(4)?;
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let (left, right) = (cx.need_shape(a), cx.need_shape(b));
    let (Ok(left), Ok(right)) = (left, right) else {
        return opaque("the shape of an operand is not known", vec![of_dtype(Some(DType::I32))]);
    };
    if left.rank() < 2 || right.rank() < 2 {
        let rank = (left.rank() + right.rank()).saturating_sub(2);
        let fresh = cx.fresh_shape(0, rank);
        return opaque("it multiplies vectors", vec![typed(Some(DType::I32), fresh)]);
    }
    let shape = product_shape(&left, &right, false, false)?;
    let zeros = [super::quant::zero_or(cx, cx.optional(2), a)?, super::quant::zero_or(cx, cx.optional(3), b)?];
    let ty = typed(Some(DType::I32), shape);
    let y = cx.structural(Structural::MatMulInteger, ty, &[a, b, zeros[0], zeros[1]]);
    cx.finish(0, y)
}

/// Sizes of an Einsum's result by its letters; an ellipsis stands for the axes that broadcast.
pub(super) fn einsum(cx: &mut Cx) -> Done {
    let inputs = cx.all_inputs()?;
    let equation = cx.attributes.string("equation")?;
    let equation = cx.attributes.required("equation", equation)?;
    let dtype = cx.dtype(inputs[0]);
    let wrong =
        |cx: &Cx, expected: &str| Stop::Error(cx.attributes.error("equation", format!("{equation:?}"), expected));
    let text: String = equation.chars().filter(|c| !c.is_whitespace()).take(4096).collect();
    let (terms, result) = match text.split_once("->") {
        Some((terms, result)) => (terms.to_string(), Some(result.to_string())),
        None => (text.clone(), None),
    };
    let terms: Vec<&str> = terms.split(',').collect();
    if terms.len() != inputs.len() {
        return Err(wrong(cx, &format!("a term for each of {} inputs", inputs.len())));
    }
    let mut sizes: BTreeMap<char, Dim> = BTreeMap::new();
    let mut uses: BTreeMap<char, usize> = BTreeMap::new();
    let mut ellipsis = Shape::SCALAR;
    for (term, input) in terms.iter().zip(&inputs) {
        let shape = cx.need_shape(*input)?;
        let (head, tail) = term.split_once("...").unwrap_or((term, ""));
        let letters = head.chars().count() + tail.chars().count();
        let spare = shape.rank().checked_sub(letters).filter(|n| *n == 0 || term.contains("..."));
        let Some(spare) = spare else { return Err(wrong(cx, &format!("a letter for each axis of {shape}"))) };
        let middle = Shape(shape[head.len()..head.len() + spare].to_vec());
        ellipsis = crate::onnx::import::broadcast(&[ellipsis, middle])?;
        let dims = shape[..head.len()].iter().chain(&shape[head.len() + spare..]);
        for (letter, dim) in head.chars().chain(tail.chars()).zip(dims) {
            if !letter.is_ascii_alphabetic() {
                return Err(wrong(cx, "letters, commas, \"...\" and \"->\""));
            }
            *uses.entry(letter).or_default() += 1;
            let size = sizes.entry(letter).or_insert_with(|| dim.clone());
            match (size.known(), dim.known()) {
                (Some(a), Some(b)) if a != b && a != 1 && b != 1 => {
                    return Err(Stop::Broken(format!("{letter} in {equation:?} is both {a} and {b}")));
                }
                (Some(1), _) | (None, Some(2..)) => *size = dim.clone(),
                _ => {}
            }
        }
    }
    // Without an arrow: the ellipsis, then the letters used once, in order.
    let implicit = || uses.iter().filter(|(_, n)| **n == 1).map(|(c, _)| *c).collect::<String>();
    let result = result.unwrap_or_else(|| format!("...{}", implicit()));
    let (head, tail) = result.split_once("...").unwrap_or((&result, ""));
    let has_ellipsis = result.contains("...");
    let mut dims = Vec::new();
    for letter in head.chars().chain(['.']).chain(tail.chars()) {
        match sizes.get(&letter) {
            _ if letter == '.' => dims.extend(ellipsis.iter().filter(|_| has_ellipsis).cloned()),
            Some(size) => dims.push(size.clone()),
            None => return Err(wrong(cx, "a result of letters that the terms have")),
        }
    }
    let op = Structural::Einsum { equation: text };
    let y = cx.structural(op, typed(dtype, Shape(dims)), &inputs);
    cx.finish(0, y)
}
