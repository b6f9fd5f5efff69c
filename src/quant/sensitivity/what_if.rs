//! What if the model had another activation: the cost of replacing, say, SiLU by hard-swish, without training again.

use super::measure::{Noise, Point, find};
use super::{Meter, Progress, SensitivityError};
use crate::data::Samples;
use crate::graph::{Graph, Kind, NodeId};
use crate::name::Shown;
use crate::op::{Op, Row};
use crate::passes;
use crate::patch::Patch;
use crate::quant::{Choice, Observation, QuantizeError, Scheme, choose, place, watched};
use crate::reference;
use crate::scalar::{Number, Scalar};
use crate::tensor::Tensor;
use serde::Serialize;
use std::collections::BTreeSet;

/// One op in the place of another.
#[derive(Clone, Copy)]
pub struct Replacement {
    from: &'static Row,
    to: &'static Row,
}

/// What a replacement costs.
#[derive(Debug, Clone, Serialize)]
pub struct WhatIf {
    pub from: &'static str,
    pub to: &'static str,
    /// Of each point, against the float model as it is: in float with every one replaced; on codes as it is; on codes with every one
    /// replaced.
    pub float: Vec<f64>,
    pub quantized: Vec<f64>,
    pub quantized_replaced: Vec<f64>,
    /// Each one replaced alone, in float, the dearest first: the name of its result, and dB at each point.
    pub each: Vec<(String, Vec<f64>)>,
}

/// What a param without a default is taken for.
const LEAK: f32 = 0.01;

impl Replacement {
    /// By the names of the op table.
    ///
    /// # Errors
    /// If there are no such ops, or they have more than one operand.
    pub fn new(from: &str, to: &str) -> Result<Replacement, SensitivityError> {
        let unary = |name: &str| {
            // People write hardswish, the table says hard_swish.
            let plain = |name: &str| name.replace('_', "").to_lowercase();
            let row = crate::op::table().find(|row| plain(row.name) == plain(name));
            row.filter(|row| row.operands.len() == 1).ok_or_else(|| SensitivityError::Op(name.into()))
        };
        Ok(Replacement { from: unary(from)?, to: unary(to)? })
    }

    /// The nodes that would be replaced.
    fn places(&self, graph: &Graph) -> Vec<NodeId> {
        graph.ids().filter(|id| graph.node(*id).op().is_some_and(|op| op.is(self.from))).collect()
    }

    /// The graph with these nodes replaced.
    fn apply(&self, graph: &Graph, places: &[NodeId]) -> Result<Graph, SensitivityError> {
        let mut graph = graph.clone();
        for id in places {
            let (name, ty) = (graph.value_name(id.value()).to_string(), graph.ty(id.value()).clone());
            let mut operands = vec![graph.operands(*id)[0]];
            let mut patch = Patch::new(&mut graph, "what_if", &[*id]);
            for param in self.to.params {
                let number = Number::Float(param.default.unwrap_or(LEAK).into());
                let scalar = Scalar::new(ty.dtype.unwrap_or(crate::dtype::DType::F32), number);
                operands.push(patch.constant(&format!("{name}#{}", param.name), Tensor::scalar(scalar)));
            }
            let new = patch.add(Kind::Pointwise(Op::new(self.to)), &name, ty, &operands);
            patch.replace(id.value(), new);
            patch.sweep();
        }
        Ok(graph)
    }
}

/// Measures a replacement: in float, and on codes with the scales that `choice` gives to what `calibration` then shows.
///
/// # Errors
/// If the model has none of the op, a sample can't be read, or the model not run on it.
pub fn what_if(
    meter: &Meter,
    replacement: Replacement,
    calibration: &Samples,
    choice: &Choice,
    progress: &Progress,
) -> Result<WhatIf, SensitivityError> {
    // Exporters write SiLU as a sigmoid and a product: the patterns find it.
    let mut recognised = meter.graph.clone();
    let skip = passes::names().into_iter().filter(|name| *name != "patterns").map(String::from).collect();
    passes::run(&mut recognised, &passes::Options { skip, ..passes::Options::default() }, |_, _, _| {})?;
    let places = replacement.places(&recognised);
    if places.is_empty() {
        return Err(SensitivityError::Absent(replacement.from.name.into()));
    }
    check(&meter.points, &recognised)?;
    let replaced = replacement.apply(&recognised, &places)?;
    let names: Vec<String> = places.iter().map(|id| recognised.value_name(id.value()).to_string()).collect();
    let mut variants = vec![meter.keyed(replaced.clone()), meter.variant(&BTreeSet::new())?];
    let on_codes = on_codes(meter, &replaced, calibration, choice)?;
    variants.push(meter.keyed(on_codes));
    for id in &places {
        variants.push(meter.keyed(replacement.apply(&recognised, &[*id])?));
    }
    let base = meter.keyed(recognised);
    let noise = meter.measure(&[&base], &variants, progress)?;
    let db = |row: &Vec<Noise>| row.iter().map(|noise| noise.db()).collect::<Vec<f64>>();
    let rows: Vec<Vec<f64>> = noise[1..].iter().map(db).collect();
    let mut each: Vec<(String, Vec<f64>)> = names.into_iter().zip(rows[3..].iter().cloned()).collect();
    let mean = |db: &[f64]| db.iter().map(|x| x.min(300.0)).sum::<f64>();
    each.sort_by(|a, b| mean(&a.1).total_cmp(&mean(&b.1)));
    Ok(WhatIf {
        from: replacement.from.name,
        to: replacement.to.name,
        float: rows[0].clone(),
        quantized: rows[1].clone(),
        quantized_replaced: rows[2].clone(),
        each,
    })
}

/// The points must still be there once ops are recognised: one inside a pattern is not.
fn check(points: &[Point], graph: &Graph) -> Result<(), SensitivityError> {
    let outputs = || graph.outputs().iter().map(|(name, _)| Shown(name).to_string()).collect::<Vec<_>>().join(", ");
    match points.iter().find(|point| find(graph, &point.name).is_none()) {
        Some(point) => Err(SensitivityError::Unknown { name: point.name.clone(), outputs: outputs() }),
        None => Ok(()),
    }
}

/// The graph on codes, calibrated anew.
fn on_codes(meter: &Meter, graph: &Graph, samples: &Samples, choice: &Choice) -> Result<Graph, SensitivityError> {
    let placement = place(graph, &meter.placement.float);
    let watched = watched(graph, &placement);
    let mut seen = Observation::default();
    let options: &reference::Options = &meter.options;
    for (i, feed) in samples.iter().enumerate() {
        let failed = |source| SensitivityError::Run { sample: samples.name(i), source };
        seen.see(graph, &watched, &feed?, options).map_err(failed)?;
    }
    let (scheme, _): (Scheme, _) = choose(graph, &placement, &seen, choice).map_err(QuantizeError::from)?;
    Ok(crate::quant::simulate(graph, &placement, &scheme)?)
}
