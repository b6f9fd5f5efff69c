//! What fused, what did not and why.

use crate::dim::{Bindings, DimError};
use crate::graph::{Graph, Kind, NodeId};
use crate::plan::{Decision, Kernel, Moved, Plan, Reason, Routine, Step, Table, Verdict};
use crate::{emit, fuse, passes};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A plan explained; `Display` is the text, `Serialize` the JSON report.
#[derive(Debug, Serialize)]
pub struct Explanation {
    pub model: String,
    /// The sizes that bytes are counted for.
    pub sizes: Bindings,
    /// Nodes that compute: of the model, and after the passes.
    pub nodes: Nodes,
    /// What kernels can compute, run node by node, and as planned.
    pub before: Traffic,
    pub after: Traffic,
    /// How often each rule of the passes fired.
    pub rules: BTreeMap<String, usize>,
    pub kernels: Vec<KernelRow>,
    /// Nodes that have a kernel of their own, and nodes that run on the host.
    pub routines: Vec<RoutineRow>,
    pub host: Vec<HostRow>,
    pub decisions: Vec<Decision>,
    /// What the passes saw and left as it is: convolutions of one input that stay apart.
    pub refused: Vec<passes::Refused>,
}

#[derive(Debug, Serialize)]
pub struct Nodes {
    pub model: usize,
    pub simplified: usize,
    /// Of the simplified ones, those that fusion may take: pointwise ops and views.
    pub fusable: usize,
}

/// What the pointwise part of a model costs to run, at given sizes: [`Moved`] in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Traffic {
    pub launches: usize,
    /// Bytes of the elements that are read and written.
    pub bytes: u64,
    /// Bytes of the memory sectors that are moved for them.
    pub sectors: u64,
}

impl Traffic {
    /// Counts beyond what numbers hold are the largest number.
    fn of(moved: Result<Moved, DimError>, sizes: &Bindings) -> Traffic {
        let counted = moved.and_then(|moved| Ok((moved.launches, moved.at(sizes)?)));
        let (launches, (bytes, sectors)) = counted.unwrap_or((0, (u64::MAX, u64::MAX)));
        Traffic { launches, bytes, sectors }
    }
}

/// `Flat { vector: 16 }, 256 codes looked up in each of 64 channels`
fn form(kernel: &Kernel) -> String {
    let form = format!("{:?}", kernel.schedule.form);
    match kernel.schedule.table {
        Some(Table::Channels8 { .. }) => {
            let channels = kernel.channels().map_or(0, |found| found.channels);
            format!("{form}, 256 codes looked up in each of {channels} channels")
        }
        Some(Table::Codes8) => format!("{form}, 256 codes looked up"),
        Some(Table::Codes16 { .. }) => format!("{form}, 65,536 codes looked up"),
        None => form,
    }
}

/// One kernel of the plan.
#[derive(Debug, Serialize)]
pub struct KernelRow {
    pub name: String,
    /// `PWN(Sigmoid_213, Mul_214): 345[Int8(1,128,40,40)] -> 347[Int8(1,128,40,40)]`
    pub line: String,
    /// As [`Kernel::ops`] has them.
    pub ops: Vec<String>,
    pub form: String,
    pub bytes: u64,
    /// As in [`Traffic`].
    pub sectors: u64,
    /// Names of the model's nodes in it.
    pub nodes: Vec<String>,
}

/// A node with kernels of its own.
#[derive(Debug, Serialize)]
pub struct RoutineRow {
    pub node: String,
    /// `Softmax(Softmax_213): 345[Half(1,1000)] -> 346[Half(1,1000)]`, one for each kernel.
    pub lines: Vec<String>,
    /// The kernels' names.
    pub kernels: Vec<String>,
    pub bytes: u64,
}

/// A node that runs on the host.
#[derive(Debug, Serialize)]
pub struct HostRow {
    pub node: String,
    pub kind: String,
    pub why: String,
}

/// Explains a plan of `simplified`, which the passes made of `model`. Symbols without a size count as 1.
pub fn explain(
    model: &Graph,
    simplified: &Graph,
    plan: &Plan,
    passes: &passes::Report,
    given: &Bindings,
) -> Explanation {
    let mut symbols = BTreeSet::new();
    for graph in [model, simplified] {
        let shapes = graph.ids().flat_map(|id| &graph.node(id).outputs).filter_map(|output| output.ty.shape.as_ref());
        shapes.flat_map(|shape| shape.iter()).for_each(|dim| dim.symbols(&mut symbols));
    }
    let sizes = symbols.into_iter().map(|name| (name.clone(), given.get(&name).copied().unwrap_or(1))).collect();
    let computes = |graph: &Graph| {
        graph.ids().filter(|id| !matches!(graph.node(*id).kind, Kind::Input | Kind::Constant(_))).count()
    };
    let fusable = |graph: &Graph| {
        graph.ids().filter(|id| matches!(graph.node(*id).kind, Kind::Pointwise(_) | Kind::View(_))).count()
    };
    let kernels = plan.kernels().map(|kernel| {
        let Traffic { bytes, sectors, .. } = Traffic::of(kernel.moved(plan), &sizes);
        KernelRow {
            name: kernel.name.clone(),
            line: emit::describe(plan, kernel),
            ops: kernel.ops(),
            form: form(kernel),
            bytes,
            sectors,
            nodes: kernel.origin.iter().map(|o| o.name.clone()).collect(),
        }
    });
    let products = plan.kernels().filter(|kernel| kernel.product.is_some());
    let welded: BTreeSet<&str> = products.flat_map(|kernel| &kernel.origin).map(|node| node.name.as_str()).collect();
    let is_welded =
        |id: NodeId| matches!(model.node(id).kind, Kind::Anchor(_)) && welded.contains(model.node(id).label());
    Explanation {
        model: plan.model.clone(),
        nodes: Nodes { model: computes(model), simplified: computes(simplified), fusable: fusable(simplified) },
        before: Traffic::of(fuse::unfused(model, &fuse::Options::default(), is_welded), &sizes),
        after: Traffic::of(plan.moved(), &sizes),
        rules: passes.counts().into_iter().map(|((pass, rule), n)| (format!("{pass}/{rule}"), n)).collect(),
        kernels: kernels.collect(),
        routines: plan.routines().map(|routine| routine_row(plan, routine, &sizes)).collect(),
        host: plan.steps.iter().filter_map(host_row).collect(),
        decisions: plan.decisions.clone(),
        refused: passes.refused.clone(),
        sizes,
    }
}

fn routine_row(plan: &Plan, routine: &Routine, sizes: &Bindings) -> RoutineRow {
    let stages = &routine.stages;
    RoutineRow {
        node: routine.label.clone(),
        lines: stages.iter().map(|stage| emit::describe_stage(plan, routine, stage)).collect(),
        kernels: stages.iter().map(|stage| stage.name.clone()).collect(),
        bytes: stages.iter().map(|stage| Traffic::of(stage.moved(), sizes).bytes).sum(),
    }
}

fn host_row(step: &Step) -> Option<HostRow> {
    match step {
        Step::Node { label, kind, why, .. } => {
            Some(HostRow { node: label.clone(), kind: kind.clone(), why: why.to_string() })
        }
        Step::Kernel(_) | Step::Routine(_) => None,
    }
}

impl Explanation {
    /// Only what concerns the model's node of that name; `None` if neither a kernel nor a decision names it.
    pub fn about(mut self, node: &str) -> Option<Explanation> {
        self.kernels.retain(|kernel| kernel.nodes.iter().any(|n| n == node));
        self.routines.retain(|routine| routine.node == node);
        self.host.retain(|row| row.node == node);
        let kernels: Vec<&str> = self.kernels.iter().map(|k| k.name.as_str()).collect();
        let holds = |d: &Decision| {
            let inside = matches!(&d.verdict, Verdict::Fused { kernel, .. } if kernels.contains(&kernel.as_str()));
            d.from == node || d.to == node || inside
        };
        self.decisions.retain(holds);
        self.refused.retain(|refused| refused.nodes.iter().any(|n| n == node));
        let alone = !self.routines.is_empty() || !self.host.is_empty();
        (alone || !self.kernels.is_empty() || !self.decisions.is_empty()).then_some(self)
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
        Reason::Factor { .. } => "a product reads its factors from memory",
        Reason::OtherProduct { .. } => "a kernel holds one product",
        Reason::EpilogueEnds { .. } => "the elements are no longer those of the product",
        Reason::NoTemplate { .. } => "no kernel computes the product",
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
            Sectors(self.before.bytes, self.before.sectors),
            Sectors(self.after.bytes, self.after.sectors)
        )?;
        if !self.rules.is_empty() {
            writeln!(f, "\nrules that fired")?;
            for (rule, n) in &self.rules {
                writeln!(f, "  {n:5}  {rule}")?;
            }
        }
        writeln!(f, "\nkernels")?;
        for kernel in &self.kernels {
            writeln!(f, "  {}  {}  {}", kernel.name, kernel.form, Sectors(kernel.bytes, kernel.sectors))?;
            writeln!(f, "    {}", kernel.line)?;
            writeln!(f, "    {}", kernel.ops.join(", "))?;
        }
        if !self.routines.is_empty() {
            writeln!(f, "\nroutines: nodes with kernels of their own")?;
        }
        for routine in &self.routines {
            writeln!(f, "  {}  {}", routine.kernels.join(" "), Bytes(routine.bytes))?;
            routine.lines.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
        }
        if !self.host.is_empty() {
            writeln!(f, "\non the host")?;
        }
        for row in &self.host {
            writeln!(f, "  {} ({}): {}", crate::name::Shown(&row.node), row.kind, row.why)?;
        }
        let cuts = self.cuts();
        if !cuts.is_empty() {
            writeln!(f, "\nwhy values go through memory")?;
            for (why, n) in cuts {
                writeln!(f, "  {n:5}  {why}")?;
            }
        }
        if !self.refused.is_empty() {
            writeln!(f, "\nleft as they are by the passes")?;
        }
        for passes::Refused { pass, why, nodes } in &self.refused {
            let nodes: Vec<String> = nodes.iter().map(|node| crate::name::Shown(node).to_string()).collect();
            writeln!(f, "  {pass}: {}: {why}", nodes.join(", "))?;
        }
        writeln!(f, "\nedges")?;
        for d in &self.decisions {
            writeln!(f, "  {d}")?;
        }
        Ok(())
    }
}

/// Bytes, and those of the sectors moved for them where that is more.
struct Sectors(u64, u64);

impl fmt::Display for Sectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 > self.0 {
            true => write!(f, "{} ({} in whole sectors)", Bytes(self.0), Bytes(self.1)),
            false => write!(f, "{}", Bytes(self.0)),
        }
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
