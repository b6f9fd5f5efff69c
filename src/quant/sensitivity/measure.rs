//! Where a model is measured, and the signal and the noise there.

use super::SensitivityError;
use crate::graph::{Graph, Kind, Value};
use crate::name::Shown;
use crate::op;
use crate::tensor::Tensor;
use crate::view::View;
use serde::Serialize;

/// Parts of an output that are measured apart; more are measured as one.
const MOST_PARTS: usize = 8;

/// A value that is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The value's name in the model.
    pub name: String,
    pub value: Value,
    /// What it is to a reader: the output that it is, or is a part of.
    pub about: String,
}

/// The points of a graph: its outputs, and the values named in `also`. An output that is a concatenation is measured part by part,
/// since its parts may differ in size by orders: boxes in pixels beside scores below 1. A sigmoid's result is measured before the
/// sigmoid as well.
///
/// # Errors
/// If a name is no value's.
pub fn points(graph: &Graph, also: &[String]) -> Result<Vec<Point>, SensitivityError> {
    let mut points = Vec::new();
    for (output, value) in graph.outputs() {
        let whole = Point { name: graph.value_name(*value).into(), value: *value, about: output.clone() };
        let parts = parts(graph, *value).filter(|parts| (2..=MOST_PARTS).contains(&parts.len()));
        match parts {
            None => points.push(whole),
            Some(parts) => points.extend((1..).zip(&parts).map(|(i, part)| {
                let about = format!("part {i} of {} of {output}", parts.len());
                Point { name: graph.value_name(*part).into(), value: *part, about }
            })),
        }
    }
    // A score near 0 or 1 hides what a logit shows, and a small score what a large one drowns.
    for i in 0..points.len() {
        let value = points[i].value;
        if graph.node(value.node).op().is_some_and(|op| op.is(&op::SIGMOID)) {
            let logit = graph.operands(value.node)[0];
            let about = format!("before the sigmoid of {}", points[i].about);
            if !points.iter().any(|point| point.value == logit) {
                points.push(Point { name: graph.value_name(logit).into(), value: logit, about });
            }
        }
    }
    for name in also {
        let value = find(graph, name).ok_or_else(|| SensitivityError::Unknown {
            name: name.clone(),
            outputs: graph.outputs().iter().map(|(name, _)| Shown(name).to_string()).collect::<Vec<_>>().join(", "),
        })?;
        if !points.iter().any(|point| point.value == value) {
            points.push(Point { name: name.clone(), value, about: "asked for".into() });
        }
    }
    Ok(points)
}

/// The operands of the concatenation that makes a value, below views that keep every element.
fn parts(graph: &Graph, mut value: Value) -> Option<Vec<Value>> {
    loop {
        let operands = graph.operands(value.node);
        match &graph.node(value.node).kind {
            Kind::View(View::Concat { .. }) => {
                let varies = |v: &Value| graph.constant(*v).is_none();
                return Some(operands.into_iter().filter(varies).collect());
            }
            Kind::View(View::Reshape { .. } | View::Transpose { .. }) => value = operands[0],
            _ => return None,
        }
    }
}

/// The value of that name.
pub(super) fn find(graph: &Graph, name: &str) -> Option<Value> {
    graph.ids().find_map(|node| {
        let port = graph.node(node).outputs.iter().position(|output| output.name == name)?;
        Some(Value { node, port: port as u32 })
    })
}

/// Sums of squares over all samples: of the exact values, and of what they are missed by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Noise {
    pub signal: f64,
    pub error: f64,
}

impl Noise {
    /// What `found` misses of `exact`. Where `exact` is not finite nothing is compared; a result that is not finite though it should
    /// be, or has another shape, is infinitely wrong.
    pub fn between(exact: &Tensor, found: &Tensor) -> Noise {
        if exact.sizes() != found.sizes() {
            return Noise { signal: 0.0, error: f64::INFINITY };
        }
        match (exact.slice::<f32>(), found.slice::<f32>()) {
            (Some(a), Some(b)) => Noise::of_pairs(a.iter().zip(b.iter()).map(|(a, b)| (f64::from(*a), f64::from(*b)))),
            _ => Noise::of_pairs(exact.to_f64().into_iter().zip(found.to_f64())),
        }
    }

    fn of_pairs(pairs: impl Iterator<Item = (f64, f64)>) -> Noise {
        let mut noise = Noise::default();
        for (a, b) in pairs.filter(|(a, _)| a.is_finite()) {
            noise.signal += a * a;
            noise.error += if b.is_finite() { (a - b) * (a - b) } else { f64::INFINITY };
        }
        noise
    }

    pub fn add(&mut self, other: Noise) {
        self.signal += other.signal;
        self.error += other.error;
    }

    /// Signal-to-quantization-noise ratio in dB: 10·log₁₀(Σ exact² / Σ error²). Infinite where nothing is missed.
    pub fn db(self) -> f64 {
        if self.error == 0.0 { f64::INFINITY } else { 10.0 * (self.signal / self.error).log10() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;
    use crate::graph::{Builder, Node, Type};
    use crate::shape;

    #[test]
    fn decibels_are_those_of_the_formula() {
        let f = |v: &[f32]| Tensor::from_slice(&[v.len()], v).unwrap();
        let noise = Noise::between(&f(&[3.0, 4.0, f32::NAN]), &f(&[3.0, 4.5, 1.0]));
        assert_eq!((noise.signal, noise.error), (25.0, 0.25));
        assert_eq!(noise.db(), 20.0);
        assert_eq!(Noise::between(&f(&[1.0]), &f(&[1.0])).db(), f64::INFINITY);
        assert_eq!(Noise::between(&f(&[1.0]), &f(&[f32::INFINITY])).db(), f64::NEG_INFINITY);
        assert_eq!(Noise::between(&f(&[1.0]), &f(&[1.0, 2.0])).db(), f64::NEG_INFINITY);
    }

    #[test]
    fn an_output_that_is_a_concatenation_is_measured_part_by_part() {
        let mut b = Builder::new("g");
        let x = b.input("x", DType::F32, shape![1, 4, 10]);
        let boxes = b.mul(x, 320.0);
        let scores = b.sigmoid(x);
        let ty = Type::new(DType::F32, shape![1, 8, 10]);
        let both = b.node(Node::new(Kind::View(View::Concat { axis: 1 }), "both", ty), &[boxes, scores]).value();
        b.output("out", both);
        b.output("x_too", x);
        let graph = b.finish().unwrap();
        let found = points(&graph, &[graph.value_name(boxes).to_string()]).unwrap();
        // The logits are the input, which is an output already.
        assert_eq!(found.iter().map(|p| p.value).collect::<Vec<_>>(), [boxes, scores, x]);
        assert_eq!(found[1].about, "part 2 of 2 of out");
        let error = points(&graph, &["nothing".into()]).unwrap_err().to_string();
        assert_eq!(error, "the model has no value nothing; its outputs are out, x_too");
    }
}
