//! What fused, what did not and why.

use super::traffic::{self, Traffic};
use crate::dim::Bindings;
use crate::emit;
use crate::graph::{Graph, Kind};
use crate::passes;
use crate::plan::{Decision, Plan, Reason, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// A plan explained; `Display` is the text, `Serialize` the JSON report.
#[derive(Debug, Serialize)]
pub struct Explanation {
    pub model: String,
    /// The sizes that bytes are counted for.
    pub sizes: Bindings,
    /// Nodes that compute: of the model, and after the passes.
    pub nodes: Nodes,
    /// The pointwise part run node by node, and as planned.
    pub before: Traffic,
    pub after: Traffic,
    /// How often each rule of the passes fired.
    pub rules: BTreeMap<String, usize>,
    pub kernels: Vec<KernelRow>,
    pub decisions: Vec<Decision>,
}

#[derive(Debug, Serialize)]
pub struct Nodes {
    pub model: usize,
    pub simplified: usize,
    /// Of the simplified ones, those that fusion may take: pointwise ops and views.
    pub fusable: usize,
}

/// One kernel of the plan.
#[derive(Debug, Serialize)]
pub struct KernelRow {
    pub name: String,
    /// `PWN(Sigmoid_213, Mul_214): 345[Int8(1,128,40,40)] -> 347[Int8(1,128,40,40)]`
    pub line: String,
    pub ops: Vec<String>,
    pub form: String,
    pub bytes: u64,
    /// Names of the model's nodes in it.
    pub nodes: Vec<String>,
}

/// Explains a plan of `simplified`, which the passes made of `model`. Symbols without a size count as 1.
pub fn explain(
    model: &Graph,
    simplified: &Graph,
    plan: &Plan,
    passes: &passes::Report,
    given: &Bindings,
) -> Explanation {
    let sizes = traffic::sizes_for(given, traffic::dims(model).chain(traffic::dims(simplified)));
    let computes = |graph: &Graph| {
        graph.ids().filter(|id| !matches!(graph.node(*id).kind, Kind::Input | Kind::Constant(_))).count()
    };
    let fusable = |graph: &Graph| {
        graph.ids().filter(|id| matches!(graph.node(*id).kind, Kind::Pointwise(_) | Kind::View(_))).count()
    };
    let mut before = Traffic::default();
    model.ids().for_each(|id| before.add(traffic::of_node(model, id, &sizes)));
    let kernels = plan.kernels().map(|kernel| KernelRow {
        name: kernel.name.clone(),
        line: emit::describe(plan, kernel),
        ops: kernel.body.iter().map(|stmt| stmt.op.to_string()).collect(),
        form: format!("{:?}", kernel.schedule.form),
        bytes: traffic::of_kernel(plan, kernel, &sizes).bytes,
        nodes: kernel.origin.iter().map(|o| o.name.clone()).collect(),
    });
    Explanation {
        model: plan.model.clone(),
        nodes: Nodes { model: computes(model), simplified: computes(simplified), fusable: fusable(simplified) },
        before,
        after: traffic::of_plan(plan, &sizes),
        rules: passes.counts().into_iter().map(|((pass, rule), n)| (format!("{pass}/{rule}"), n)).collect(),
        kernels: kernels.collect(),
        decisions: plan.decisions.clone(),
        sizes,
    }
}

impl Explanation {
    /// Only what concerns the model's node of that name; `None` if neither a kernel nor a decision names it.
    pub fn about(mut self, node: &str) -> Option<Explanation> {
        self.kernels.retain(|kernel| kernel.nodes.iter().any(|n| n == node));
        let kernels: Vec<&str> = self.kernels.iter().map(|k| k.name.as_str()).collect();
        let holds = |d: &Decision| {
            let inside = matches!(&d.verdict, Verdict::Fused { kernel, .. } if kernels.contains(&kernel.as_str()));
            d.from == node || d.to == node || inside
        };
        self.decisions.retain(holds);
        (!self.kernels.is_empty() || !self.decisions.is_empty()).then_some(self)
    }

    /// How many edges were cut for each kind of reason.
    fn cuts(&self) -> BTreeMap<&'static str, usize> {
        let mut cuts = BTreeMap::new();
        for d in &self.decisions {
            if let Verdict::Cut { reason } = &d.verdict {
                *cuts.entry(kind(reason)).or_default() += 1;
            }
        }
        cuts
    }
}

fn kind(reason: &Reason) -> &'static str {
    match reason {
        Reason::NotPointwise { .. } => "one end is not pointwise",
        Reason::UnknownType { .. } => "a type or shape is not known",
        Reason::UnsupportedType { .. } => "an element type has no kernel",
        Reason::Undecided { .. } => "a broadcast depends on unknown sizes",
        Reason::IndexNotAffine { .. } => "an index is not affine",
        Reason::Cycle { .. } => "fusing would make a cycle",
        Reason::Cost { .. } => "the round trip is cheaper",
        Reason::Domains { .. } => "the iteration spaces differ",
        Reason::TooLarge { .. } => "a kernel's limits",
        Reason::KeptApart => "kept apart on request",
        Reason::CompileFailed { .. } => "the fused kernel did not compile",
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Nodes { model, simplified, fusable } = self.nodes;
        writeln!(
            f,
            "{}: {model} nodes, {simplified} after the passes, {fusable} of them pointwise or views",
            crate::name::Shown(&self.model)
        )?;
        let sizes: Vec<String> =
            self.sizes.iter().map(|(name, n)| format!("{} = {n}", crate::name::Shown(name))).collect();
        let at = if sizes.is_empty() { String::new() } else { format!(" at {}", sizes.join(", ")) };
        writeln!(
            f,
            "launches {} -> {}, bytes {} -> {}{at}",
            self.before.launches,
            self.after.launches,
            Bytes(self.before.bytes),
            Bytes(self.after.bytes)
        )?;
        if !self.rules.is_empty() {
            writeln!(f, "\nrules that fired")?;
            for (rule, n) in &self.rules {
                writeln!(f, "  {n:5}  {rule}")?;
            }
        }
        writeln!(f, "\nkernels")?;
        for kernel in &self.kernels {
            writeln!(f, "  {}  {}  {}", kernel.name, kernel.form, Bytes(kernel.bytes))?;
            writeln!(f, "    {}", kernel.line)?;
            writeln!(f, "    {}", kernel.ops.join(", "))?;
        }
        let cuts = self.cuts();
        if !cuts.is_empty() {
            writeln!(f, "\nwhy values go through memory")?;
            for (why, n) in cuts {
                writeln!(f, "  {n:5}  {why}")?;
            }
        }
        writeln!(f, "\nedges")?;
        for d in &self.decisions {
            writeln!(f, "  {d}")?;
        }
        Ok(())
    }
}

/// Bytes in a unit a person reads.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0 as f64;
        match self.0 {
            0..1_000 => write!(f, "{} B", self.0),
            1_000..1_000_000 => write!(f, "{:.1} kB", n / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.1} MB", n / 1e6),
            _ => write!(f, "{:.2} GB", n / 1e9),
        }
    }
}
