//! A model being quantized: read, placed, observed, decided and written, in that order.

use super::choose::{Choice, Unseen, choose};
use super::observe::{Observation, Watched, watched};
use super::place::{Placement, place};
use super::scheme::Scheme;
use super::write::{WeightForm, WriteError, unwritable, write};
use crate::data::{DataError, Samples};
use crate::dim::Bindings;
use crate::graph::Graph;
use crate::name::Shown;
use crate::onnx::{Import, ModelFile, OnnxError, Warning, upgrade};
use crate::reference::{self, ReferenceError};
use prost::Message;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// See the module's page.
pub struct Quantizer {
    file: ModelFile,
    pub graph: Graph,
    pub placement: Placement,
    /// What the import could not convert.
    pub warnings: Vec<Warning>,
    /// Whether the model was brought up to the operator set that codes per channel need.
    pub upgraded: bool,
    watched: Watched,
    options: reference::Options,
    fingerprint: String,
}

/// Feeds that are run at the same time: each has all its activations in memory.
const AT_ONCE: usize = 8;

/// Why a model can't be prepared for quantization.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    #[error("no group, node or subgraph is named {}; `*` at the end stands for any rest", Shown(.0))]
    Unknown(String),
    #[error("nothing in the model can be quantized: {0}")]
    Nothing(String),
    #[error("{}: {source}", Shown(.sample))]
    Run { sample: String, source: ReferenceError },
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Unseen(#[from] Unseen),
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Quantizer {
    /// Imports the model with sizes for its symbols and decides where codes go. `keep` names what stays in float: groups, nodes, or
    /// subgraphs by their prefix.
    ///
    /// # Errors
    /// What the import gives; a name in `keep` that matches nothing; a model in which no group can be quantized, or that is quantized already.
    pub fn new(mut file: ModelFile, sizes: &Bindings, keep: &[String]) -> Result<Quantizer, QuantizeError> {
        let imported = Import::new().bind_all(sizes).model(&file)?;
        let graph = imported.graph;
        let fingerprint = blake3::hash(&file.model.encode_to_vec()).to_hex().to_string();
        let ranks: BTreeMap<String, usize> = values(&graph).collect();
        let upgraded = upgrade(&mut file.model, |name| ranks.get(name).copied())?;
        let mut float = BTreeMap::new();
        for pattern in keep {
            let found = matching(&graph, pattern);
            if found.is_empty() {
                return Err(QuantizeError::Unknown(pattern.clone()));
            }
            float.extend(found.into_iter().map(|name| (name, format!("asked for by {pattern}"))));
        }
        let mut placement = place(&graph, &float);
        loop {
            let before = float.len();
            float.extend(unwritable(&mut file.model, &graph, &placement)?);
            if float.len() == before {
                break;
            }
            placement = place(&graph, &float);
        }
        let (own, products) = placement.already(&graph);
        if own > 0 && own == products {
            let what = format!("the model is quantized already, its {own} convolutions and products all read codes");
            return Err(QuantizeError::Nothing(what));
        }
        if placement.sites.is_empty() {
            let reason = placement.float.iter().next().map(|(name, reason)| format!("{}: {reason}", Shown(name)));
            return Err(QuantizeError::Nothing(reason.unwrap_or_else(|| "it has no convolution or product".into())));
        }
        let watched = watched(&graph, &placement);
        let options = reference::Options { bindings: sizes.clone(), ..reference::Options::default() };
        let warnings = imported.warnings;
        Ok(Quantizer { file, graph, placement, warnings, upgraded, watched, options, fingerprint })
    }

    /// Runs all samples, a few at a time in parallel, and says what was seen. `each` is called after every feed.
    ///
    /// # Errors
    /// What reading the data and running the model on it give.
    pub fn observe(&self, samples: &Samples, each: impl Fn() + Sync) -> Result<Observation, QuantizeError> {
        let seen = Mutex::new(Observation::default());
        let run = |index: usize| {
            let feed = samples.feed(index)?;
            let mut one = Observation::default();
            let result = one.see(&self.graph, &self.watched, &feed, &self.options);
            result.map_err(|source| QuantizeError::Run { sample: samples.name(index * samples.batch()), source })?;
            // Sums do not depend on their order, so neither does the result.
            seen.lock().unwrap_or_else(PoisonError::into_inner).merge(&one);
            each();
            Ok::<(), QuantizeError>(())
        };
        let threads = rayon::current_num_threads().min(AT_ONCE);
        for first in (0..samples.feeds()).step_by(threads) {
            (first..(first + threads).min(samples.feeds())).into_par_iter().try_for_each(run)?;
        }
        Ok(seen.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the model file hashes to: observations of one model are of no use to another.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Scales for what was seen, and warnings.
    ///
    /// # Errors
    /// If a tensor was not observed.
    pub fn choose(&self, seen: &Observation, choice: &Choice) -> Result<(Scheme, Vec<String>), QuantizeError> {
        Ok(choose(&self.graph, &self.placement, seen, choice)?)
    }

    /// Writes the quantized model to `path`, in one step.
    ///
    /// # Errors
    /// What [`write`](super::write()) gives, and of the file system.
    pub fn write(mut self, scheme: &Scheme, form: WeightForm, path: &Path) -> Result<(), QuantizeError> {
        write(&mut self.file.model, &self.graph, &self.placement, scheme, form)?;
        Ok(self.file.write(path)?)
    }
}

/// The number of axes of every value, by its name.
fn values(graph: &Graph) -> impl Iterator<Item = (String, usize)> + '_ {
    let outputs = graph.ids().flat_map(|id| &graph.node(id).outputs);
    outputs.filter_map(|output| Some((output.name.clone(), output.ty.shape.as_ref()?.rank())))
}

/// The groups that a pattern names: by the group's name, by the name of one of its nodes or of their results, or as a prefix that
/// ends at a `/` or `.` of such a name; a `*` at the end stands for any rest.
pub fn matching(graph: &Graph, pattern: &str) -> Vec<String> {
    let hit = |name: &str| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name
            .strip_prefix(pattern)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']) || pattern.ends_with(['/', '.'])),
    };
    let groups = super::groups(graph).into_iter().filter(|group| {
        let names = |id: &crate::graph::NodeId| hit(graph.node(*id).label()) || hit(graph.value_name(id.value()));
        hit(&group.name) || group.nodes.iter().any(names)
    });
    groups.map(|group| group.name).collect()
}
