//! Einstein sums, by their definition: for each result, the sum over all other labels of the product of the operands.

use super::super::NodeError;
use super::super::column::{Column, whole};
use super::super::node::Context;
use super::super::strided::{Strided, strides};
use crate::tensor::Tensor;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// A letter of the equation, or an axis that an ellipsis stands for, counted from the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Ellipsis(usize),
    Letter(char),
}

pub(super) fn einsum(equation: &str, operands: &[Tensor], cx: &Context) -> Result<Tensor, NodeError> {
    let text: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (inputs, output) = match text.split_once("->") {
        Some((inputs, output)) => (inputs, Some(output)),
        None => (text.as_str(), None),
    };
    let terms: Vec<&str> = inputs.split(',').collect();
    if terms.len() != operands.len() || operands.is_empty() {
        return Err(NodeError::Arity { expected: terms.len().to_string(), found: operands.len() });
    }
    let dtype = operands[0].dtype();
    if let Some(other) = operands.iter().find(|t| t.dtype() != dtype) {
        let (expected, found) = (dtype.to_string(), other.dtype().to_string());
        return Err(NodeError::Operand { operand: "of it", expected, found });
    }
    let labels: Vec<Vec<Label>> =
        terms.iter().zip(operands).map(|(term, t)| parse(term, t.sizes().len())).collect::<Result<_, _>>()?;
    let mut sizes: BTreeMap<Label, usize> = BTreeMap::new();
    for (label, &n) in labels.iter().zip(operands).flat_map(|(labels, t)| labels.iter().zip(t.sizes())) {
        let size = sizes.entry(*label).or_insert(n);
        match (*size, n) {
            (a, b) if a == b || b == 1 => {}
            (1, n) => *size = n,
            (a, b) => return Err(NodeError::Invalid(format!("{equation:?}: {label:?} is {a} and {b}"))),
        }
    }
    let ellipsis = || sizes.keys().filter(|l| matches!(l, Label::Ellipsis(_))).rev().copied();
    let kept: Vec<Label> = match output {
        Some(output) => {
            let n = output.chars().filter(|c| c.is_alphabetic()).count();
            parse(output, n + if output.contains("...") { ellipsis().count() } else { 0 })?
        }
        // Without an arrow: the ellipsis, then every letter that occurs once, in the alphabet's order.
        None => {
            let once = |l: &&Label| labels.iter().flatten().filter(|other| other == l).count() == 1;
            let letters = sizes.keys().filter(|l| matches!(l, Label::Letter(_))).filter(once).copied();
            ellipsis().chain(letters).collect()
        }
    };
    if let Some(unknown) = kept.iter().find(|l| !sizes.contains_key(l)) {
        return Err(NodeError::Invalid(format!("{equation:?}: {unknown:?} is in no operand")));
    }
    let summed: Vec<Label> = sizes.keys().filter(|l| !kept.contains(l)).copied().collect();
    let to: Vec<usize> = kept.iter().map(|l| sizes[l]).collect();
    let count = cx.count(dtype, &to)?;
    let n: usize = summed.iter().map(|l| sizes[l]).product();
    let order: Vec<Label> = kept.into_iter().chain(summed).collect();
    let domain: Vec<usize> = order.iter().map(|l| sizes[l]).collect();
    let walks: Vec<Strided> = labels
        .iter()
        .zip(operands)
        .map(|(labels, t)| {
            let axes = labels.iter().zip(t.sizes()).zip(strides(t.sizes()));
            let stride = |label: &Label| {
                // A label that occurs twice walks the diagonal.
                axes.clone().filter(|((l, n), _)| *l == label && **n != 1).map(|(_, stride)| stride).sum()
            };
            Strided::new(0, &domain, &order.iter().map(stride).collect::<Vec<i64>>())
        })
        .collect();
    let columns: Vec<Vec<f64>> = operands.iter().map(|t| whole(t).into_floats()).collect();
    let sum = |i: usize| {
        let mut product = vec![1.0; n];
        for (walk, values) in walks.iter().zip(&columns) {
            let mut at = 0;
            walk.runs(i * n, n, |run| {
                run.elements().zip(&mut product[at..]).for_each(|(from, p)| *p *= values[from]);
                at += run.n;
            });
        }
        product.iter().sum::<f64>()
    };
    let results: Vec<f64> = (0..if n == 0 { 0 } else { count }).into_par_iter().map(sum).collect();
    let results = if n == 0 { vec![0.0; count] } else { results };
    match dtype.is_float() {
        true => Column::Float(results).into_tensor(dtype, &to),
        false => Column::Int(Column::Float(results).into_ints()).into_tensor(dtype, &to),
    }
}

/// The labels of a term for an operand of `rank` axes.
fn parse(term: &str, rank: usize) -> Result<Vec<Label>, NodeError> {
    let wrong = || NodeError::Invalid(format!("{term:?} does not label {rank} axes"));
    let letters = |text: &str| -> Option<Vec<Label>> {
        text.chars().map(|c| c.is_ascii_alphabetic().then_some(Label::Letter(c))).collect()
    };
    let labels = match term.split_once("...") {
        None => letters(term).ok_or_else(wrong)?,
        Some((before, after)) => {
            let (before, after) = (letters(before).ok_or_else(wrong)?, letters(after).ok_or_else(wrong)?);
            let n = rank.checked_sub(before.len() + after.len()).ok_or_else(wrong)?;
            before.into_iter().chain((0..n).rev().map(Label::Ellipsis)).chain(after).collect()
        }
    };
    if labels.len() == rank { Ok(labels) } else { Err(wrong()) }
}
