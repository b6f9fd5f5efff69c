//! Makes a [`Kernel`] of a draft: statements in SSA order, loads and stores with affine accesses, axes merged.

use super::coalesce::coalesce;
use super::cost::Model;
use super::draft::{Draft, forward};
use super::facts::{Class, Facts};
use super::grow::Growth;
use super::index::MapId;
use super::weld::Main;
use crate::plan::{Access, Arg, Broadcast, BufferId, Kernel, Load, Operand, Product, Schedule, Stmt, Store};
use crate::scalar::Scalar;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::collections::{BTreeSet, HashMap};

/// Elements of a constant that a kernel may take in: a scale for each channel of the widest layers.
const MOST_KNOWN: usize = 4096;

fn scalars(tensor: &Tensor) -> Vec<Scalar> {
    let dtype = tensor.dtype();
    tensor.numbers().map(|number| Scalar::new(dtype, number)).collect()
}

/// A draft being lowered.
struct Lowering<'a, 'g> {
    facts: &'a Facts<'g>,
    growth: &'a Growth<'a, 'g>,
    buffers: &'a dyn Fn(u32) -> BufferId,
    /// What each value is at each map.
    known: HashMap<(u32, MapId), Arg>,
    kernel: Kernel,
}

/// Lowers a draft; `number` makes its name unique, `buffers` gives the buffer that a value lies in.
pub(super) fn lower(growth: &Growth, draft: &mut Draft, number: usize, buffers: &dyn Fn(u32) -> BufferId) -> Kernel {
    let facts = growth.facts;
    draft.stores.append(&mut draft.taps);
    // In the graph's order, whatever order growth found them in.
    draft.loads.sort_unstable();
    // Views split iterators where they need to, so all accesses are found before any is written down.
    let mut space = std::mem::take(&mut draft.space);
    let index = |v: u32, map: MapId, place: usize, space: &mut super::index::Space| {
        let sink = &growth.places[v as usize][place];
        let (index, at) = forward(facts, space, v, map, sink)?;
        Some((space.intern(index), at))
    };
    let main = growth.product_of(draft);
    let loads: Vec<_> = draft.loads.iter().map(|(v, map, at)| index(*v, *map, *at, &mut space)).collect();
    let stores: Vec<_> = draft.stores.iter().map(|(v, map, at)| index(*v, *map, *at, &mut space)).collect();
    let access = |place: &Option<(MapId, u32)>| {
        let (map, at) = (*place)?;
        space.access(space.map(map), facts.shape(at)).ok()
    };
    let kernel = Kernel {
        name: String::new(),
        origin: Vec::new(),
        domain: space.extents.clone(),
        product: None,
        loads: Vec::new(),
        body: Vec::new(),
        stores: Vec::new(),
        broadcasts: Vec::new(),
        schedule: Schedule::default(),
    };
    // The result of the product, as if it were stored: what orders the kernel's axes.
    let result = draft
        .product
        .and_then(|(n, map)| space.access(space.map(map), facts.shape(facts.nodes[n as usize].first)).ok());
    let mut l = Lowering { facts, growth, buffers, known: HashMap::new(), kernel };
    draft.computed.sort_by_key(|c| (c.node, c.map));
    draft.computed.dedup_by_key(|c| (c.node, c.map));
    let computed: BTreeSet<(u32, MapId)> =
        draft.computed.iter().map(|c| (facts.nodes[c.node as usize].first, c.map)).collect();
    for ((v, map, place), at) in draft.loads.iter().zip(&loads) {
        if !computed.contains(&(*v, *map))
            && let Some(access) = access(at)
        {
            l.load(*v, *map, *place, access);
        }
    }
    for c in &draft.computed {
        l.statement(c);
    }
    for ((v, map, place), at) in draft.stores.iter().zip(&stores) {
        if let (Some(access), Some(value)) = (access(at), l.arg(*v, Some(*map))) {
            let target = growth.places[*v as usize][*place].target;
            let store = Store { buffer: buffers(target), dtype: facts.dtype(*v), access, value };
            if !l.kernel.stores.contains(&store) {
                l.kernel.stores.push(store);
            }
        }
    }
    l.kernel.product = main.and_then(|(n, main)| l.product(n, main));
    let nodes: BTreeSet<u32> = draft.nodes.iter().copied().collect();
    l.finish(number, nodes, growth.model, main.map_or("", |(_, main)| main.name()), result)
}

impl Lowering<'_, '_> {
    fn load(&mut self, v: u32, map: MapId, place: usize, access: Access) {
        if let Some(scalar) = self.facts.values[v as usize].uniform {
            self.known.insert((v, map), Arg::Const(scalar));
            return;
        }
        let target = self.growth.places[v as usize][place].target;
        let constant = self.facts.graph.constant(self.facts.values[target as usize].value);
        let known = constant.filter(|tensor| tensor.len() <= MOST_KNOWN).map_or_else(Vec::new, scalars);
        let load = Load { buffer: (self.buffers)(target), dtype: self.facts.dtype(v), access, known };
        let at = self.kernel.loads.iter().position(|l| *l == load).unwrap_or_else(|| {
            self.kernel.loads.push(load);
            self.kernel.loads.len() - 1
        });
        self.known.insert((v, map), Arg::Load(at as u32));
    }

    fn arg(&self, v: u32, map: Option<MapId>) -> Option<Arg> {
        match (self.facts.values[v as usize].uniform, map) {
            (Some(scalar), _) => Some(Arg::Const(scalar)),
            (None, map) => self.known.get(&(v, map?)).copied(),
        }
    }

    fn statement(&mut self, c: &super::draft::Computed) {
        let node = &self.facts.nodes[c.node as usize];
        if let Class::Product(_) = node.class {
            self.known.insert((node.first, c.map), Arg::Product);
            return;
        }
        let args: Option<SmallVec<[Arg; 4]>> =
            node.operands.iter().zip(&c.args).map(|(v, map)| self.arg(*v, *map)).collect();
        let Some(args) = args else { return };
        let arg = match node.class {
            Class::Point(op) => {
                let name = self.facts.name(node.first).to_string();
                self.kernel.body.push(Stmt { op, args: args.to_vec(), dtype: self.facts.dtype(node.first), name });
                Arg::Stmt(self.kernel.body.len() as u32 - 1)
            }
            _ => args[0],
        };
        self.known.insert((node.first, c.map), arg);
    }

    /// The main loop, its factors being read where they lie.
    fn product(&self, n: u32, main: &Main) -> Option<Box<Product>> {
        let sinks = [self.growth.factor_place(main, 0)?, self.growth.factor_place(main, 1)?];
        let access = |slot: usize| main.factors[slot].access(self.facts, sinks[slot]);
        let operand =
            |slot: usize| Operand { buffer: (self.buffers)(sinks[slot].target), dtype: main.factors[slot].dtype };
        Some(Box::new(Product {
            name: self.facts.label(n).into(),
            a: operand(0),
            b: operand(1),
            accumulator: main.accumulator,
            contraction: main.contraction(&access(0)?, &access(1)?)?,
        }))
    }

    fn finish(
        mut self,
        number: usize,
        nodes: BTreeSet<u32>,
        model: &Model,
        main: &str,
        result: Option<Access>,
    ) -> Kernel {
        for n in &nodes {
            for origin in &self.facts.graph.node(self.facts.nodes[*n as usize].id).origin {
                if !self.kernel.origin.contains(origin) {
                    self.kernel.origin.push(origin.clone());
                }
            }
        }
        for n in &nodes {
            for (from, to) in self.facts.open_broadcasts(*n) {
                let node = self.facts.label(*n).to_owned();
                let open = Broadcast { node, from, to };
                if !self.kernel.broadcasts.contains(&open) {
                    self.kernel.broadcasts.push(open);
                }
            }
        }
        self.kernel.name = name(&self.kernel, main, number);
        coalesce(&mut self.kernel, model, result);
        if self.kernel.channels().is_none() {
            self.kernel.loads.iter_mut().for_each(|load| load.known.clear());
        }
        self.kernel
    }
}

/// `pw_conv_dequantize_silu_3`: the product if it holds one, the ops in order, those in the middle left out where there are many.
fn name(kernel: &Kernel, main: &str, number: usize) -> String {
    const SHOWN: usize = 4;
    let clean = |name: &str| -> String {
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).take(24).collect()
    };
    let mut ops: Vec<String> = kernel.body.iter().map(|s| clean(s.op.name())).collect();
    ops.dedup();
    if !main.is_empty() {
        ops.insert(0, main.into());
    }
    if ops.is_empty() {
        return format!("pw_copy_{number}");
    }
    if ops.len() > SHOWN {
        let left_out = ops.len() - SHOWN;
        ops.splice(SHOWN / 2..ops.len() - SHOWN / 2, [format!("and{left_out}")]);
    }
    format!("pw_{}_{number}", ops.join("_"))
}
