//! What happens inside a group: the error at each of its ops, with the group's boundaries and codes as they are.
//!
//! Nothing inside a group is ever rounded to codes, so looking adds no Q/DQ and moves none: the taps read what the group computes on
//! its way.

use super::measure::Noise;
use super::variant::Cache;
use super::{Meter, Progress, SensitivityError};
use crate::dtype::DType;
use crate::graph::{Graph, Value};
use crate::quant::Group;
use crate::reference;
use crate::tensor::Tensor;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A group and its ops in order.
#[derive(Debug, Clone, Serialize)]
pub struct TappedGroup {
    pub name: String,
    pub ops: Vec<Tap>,
}

/// The error at one op's result.
#[derive(Debug, Clone, Serialize)]
pub struct Tap {
    pub op: String,
    /// The name of its result.
    pub value: String,
    /// dB of f32 arithmetic against f64, both from the same float operands of the group; null where nothing is lost.
    pub float: f64,
    /// dB when this group alone reads codes, against the float model.
    pub alone: f64,
    /// dB when every group does.
    pub all: f64,
}

/// Taps every op of the named groups.
///
/// # Errors
/// If a sample can't be read, or the model not run on it.
pub fn tap_groups(
    meter: &Meter,
    names: &BTreeSet<String>,
    progress: &Progress,
) -> Result<Vec<TappedGroup>, SensitivityError> {
    let quantized: BTreeSet<&str> = meter.quantized().into_iter().collect();
    let groups: Vec<&Group> = meter.placement.groups.iter().filter(|g| names.contains(&g.name)).collect();
    let all = meter.variant(&BTreeSet::new())?;
    let alone = groups.iter().map(|group| {
        let others: BTreeSet<&str> = quantized.iter().copied().filter(|name| *name != group.name).collect();
        meter.variant(&others)
    });
    let alone = alone.collect::<Result<Vec<_>, _>>()?;
    let mut sums: Vec<Vec<[Noise; 3]>> = groups.iter().map(|g| vec![[Noise::default(); 3]; g.nodes.len()]).collect();
    let values = |group: &Group| group.nodes.iter().map(|id| meter.graph.value_name(id.value())).collect::<Vec<_>>();
    let wanted: Vec<&str> = groups.iter().flat_map(|group| values(group)).collect();
    for (i, feed) in meter.samples.iter().enumerate() {
        let feed = feed?;
        let failed = |source| SensitivityError::Run { sample: meter.samples.name(i), source };
        let mut cache = Cache::default();
        let exact = meter.float().run_and_keep(&feed, &wanted, &mut cache, &meter.options).map_err(failed)?;
        let full = all.run(&feed, &wanted, &cache, &meter.options).map_err(failed)?;
        let mut at = 0;
        for ((group, alone), sums) in groups.iter().zip(&alone).zip(&mut sums) {
            let names = values(group);
            let (exact, full) = (&exact[at..at + names.len()], &full[at..at + names.len()]);
            at += names.len();
            let on_codes = alone.run(&feed, &names, &cache, &meter.options).map_err(failed)?;
            let outside = outside(meter.graph, group);
            let outside_names: Vec<&str> = outside.iter().map(|v| meter.graph.value_name(*v)).collect();
            let operands = meter.float().run(&feed, &outside_names, &cache, &meter.options).map_err(failed)?;
            let double = in_double(meter.graph, group, outside.into_iter().zip(operands).collect(), &meter.options);
            for (k, sum) in sums.iter_mut().enumerate() {
                let f64_result = double.get(&group.nodes[k].value());
                sum[0].add(f64_result.map_or(Noise::default(), |d| Noise::between(d, &exact[k])));
                sum[1].add(Noise::between(&exact[k], &on_codes[k]));
                sum[2].add(Noise::between(&exact[k], &full[k]));
            }
        }
        progress(i + 1, meter.samples.feeds());
    }
    let tapped = groups.iter().zip(sums).map(|(group, sums)| TappedGroup {
        name: group.name.clone(),
        ops: group
            .nodes
            .iter()
            .zip(sums)
            .map(|(id, [float, alone, all])| Tap {
                op: meter.graph.node(*id).kind.to_string(),
                value: meter.graph.value_name(id.value()).to_string(),
                float: float.db(),
                alone: alone.db(),
                all: all.db(),
            })
            .collect(),
    });
    Ok(tapped.collect())
}

/// What a group reads from outside of it.
fn outside(graph: &Graph, group: &Group) -> Vec<Value> {
    let inside: BTreeSet<_> = group.nodes.iter().collect();
    let operands = group.nodes.iter().flat_map(|id| graph.operands(*id));
    operands.filter(|value| !inside.contains(&value.node)).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The results of a group's nodes in f64, as far as they can be computed so.
fn in_double(
    graph: &Graph,
    group: &Group,
    operands: BTreeMap<Value, Tensor>,
    options: &reference::Options,
) -> BTreeMap<Value, Tensor> {
    let widened = |tensor: Tensor| match tensor.dtype() {
        DType::F32 => Tensor::from_vec(tensor.sizes(), tensor.to_f64()).unwrap_or(tensor),
        _ => tensor,
    };
    let mut values: BTreeMap<Value, Tensor> = operands.into_iter().map(|(v, t)| (v, widened(t))).collect();
    for id in &group.nodes {
        let operands: Option<Vec<Tensor>> = graph.operands(*id).iter().map(|v| values.get(v).cloned()).collect();
        let Some(Ok(results)) = operands.map(|o| reference::run_node(graph.node(*id), &o, options)) else { continue };
        values.extend((0..).zip(results).map(|(port, tensor)| (Value { node: *id, port }, tensor)));
    }
    values
}
