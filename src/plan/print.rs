//! A plan as text: one line a load, statement, store and decision.

use super::{
    Access, Arg, Broadcast, BufferId, Contraction, Costs, Decision, Kernel, Plan, Product, Role, Routine, Step, Verdict,
};
use crate::dim::Dim;
use crate::name::Shown;
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan {}", Shown(&self.model))?;
        for (i, buffer) in self.buffers.iter().enumerate() {
            write!(f, "  b{i} {}[{}]", Shown(&buffer.name), buffer.ty)?;
            match buffer.role {
                Role::Input => write!(f, " input")?,
                Role::Constant => write!(f, " constant")?,
                Role::Computed => {}
                Role::Alias(of) => write!(f, " = b{}", of.0)?,
            }
            let id = BufferId(i as u32);
            let names = self.outputs.iter().filter(|(_, b)| *b == id);
            names.into_iter().try_for_each(|(name, _)| write!(f, " -> {}", Shown(name)))?;
            writeln!(f)?;
        }
        for step in &self.steps {
            match step {
                Step::Kernel(kernel) => write!(f, "{kernel}")?,
                Step::Routine(routine) => write!(f, "{routine}")?,
                Step::Node { label, kind, inputs, outputs, why, .. } => {
                    writeln!(f, "node {} {kind}: {} -> {}: {why}", Shown(label), list(inputs), list(outputs))?;
                }
            }
        }
        for d in &self.decisions {
            writeln!(f, "edge {d}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Routine {
    /// `routine Softmax_3 Softmax: b1 -> b2 by rt_softmax_0`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<&str> = self.stages.iter().map(|stage| stage.name.as_str()).collect();
        let (label, inputs, outputs) = (Shown(&self.label), list(&self.inputs), list(&self.outputs));
        writeln!(f, "routine {label} {}: {inputs} -> {outputs} by {}", self.kind, stages.join(", "))
    }
}

fn list(ids: &[BufferId]) -> String {
    ids.iter().map(|b| format!("b{}", b.0)).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Decision {
    /// `Conv_12 -> Sigmoid_13: cut: Conv_12 is conv, which is not pointwise`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}: ", Shown(&self.from), Shown(&self.to))?;
        match &self.verdict {
            Verdict::Fused { kernel, recomputed: false } => write!(f, "fused in {kernel}"),
            Verdict::Fused { kernel, recomputed: true } => write!(f, "fused in {kernel}, computed elsewhere too"),
            Verdict::Alias => f.write_str("the same memory"),
            Verdict::Cut { reason } => write!(f, "cut: {reason}"),
        }?;
        match self.costs {
            Some(Costs { fused_ns, cut_ns }) => write!(f, ": fused {fused_ns:.0} ns, cut {cut_ns:.0} ns"),
            None => Ok(()),
        }
    }
}

impl Kernel {
    /// What it computes, for a reader: the product if it has one, then each statement's op; `copy` if it only moves elements.
    pub fn ops(&self) -> Vec<String> {
        let product = self.product.iter().map(|product| match product.contraction {
            Contraction::Matrix { .. } => "gemm".to_string(),
            Contraction::Conv { .. } => "conv".to_string(),
        });
        let mut ops: Vec<String> = product.chain(self.body.iter().map(|stmt| stmt.op.to_string())).collect();
        if ops.is_empty() {
            ops.push("copy".into());
        }
        ops
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extents: Vec<String> = self.domain.iter().map(ToString::to_string).collect();
        writeln!(f, "kernel {} over ({})", self.name, extents.join(", "))?;
        if let Some(product) = &self.product {
            writeln!(f, "  {product}")?;
        }
        for Broadcast { node, from, to } in &self.broadcasts {
            writeln!(f, "  {from} is 1 or {to}, for {}", Shown(node))?;
        }
        for (i, load) in self.loads.iter().enumerate() {
            writeln!(f, "  x{i}: {} = b{}{}", load.dtype, load.buffer.0, load.access)?;
        }
        for (i, s) in self.body.iter().enumerate() {
            let args: Vec<String> = s.args.iter().map(|a| a.to_string()).collect();
            writeln!(f, "  v{i}: {} = {}({})", s.dtype, s.op, args.join(", "))?;
        }
        for store in &self.stores {
            writeln!(f, "  b{}{} = {}", store.buffer.0, store.access, store.value)?;
        }
        Ok(())
    }
}

impl fmt::Display for Product {
    /// `acc: f32 = Σ_k b0[64*i0 + i1] · b1[i0 + 64*i1], k < 64`: the accesses' axes are (batch…, i, k) and (batch…, k, j).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (a, b) = (self.a.buffer.0, self.b.buffer.0);
        let sizes = |sizes: &[Dim]| sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
        write!(f, "acc: {} = ", self.accumulator)?;
        match &self.contraction {
            Contraction::Matrix { k, a: at, b: by, .. } => write!(f, "Σ_k b{a}{at} · b{b}{by}, k < {k}"),
            Contraction::Conv { input, output, channels, first, pitch, filters, conv, pad, .. } => write!(
                f,
                "conv(b{a}[{first} + {pitch}*i], b{b}) of {} {channels} to {} {filters}, kernel {:?}, strides {:?}, dilations {:?}, pads {:?} of {pad}, groups {}",
                sizes(input),
                sizes(output),
                conv.kernel,
                conv.strides,
                conv.dilations,
                conv.pads,
                conv.groups
            ),
        }
    }
}

impl fmt::Display for Access {
    /// `[12 + 4*i0 + i1]`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = (!self.offset.is(0)).then(|| self.offset.to_string());
        let terms = self.strides.iter().enumerate().filter(|(_, s)| !s.is(0)).map(|(i, s)| match s.known() {
            Some(1) => format!("i{i}"),
            Some(n) => format!("{n}*i{i}"),
            None => format!("({s})*i{i}"),
        });
        let terms: Vec<String> = offset.into_iter().chain(terms).collect();
        write!(f, "[{}]", if terms.is_empty() { "0".into() } else { terms.join(" + ") })
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arg::Load(i) => write!(f, "x{i}"),
            Arg::Product => f.write_str("acc"),
            Arg::Stmt(i) => write!(f, "v{i}"),
            Arg::Const(scalar) => write!(f, "{scalar}"),
        }
    }
}
