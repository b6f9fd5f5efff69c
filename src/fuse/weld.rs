//! What an anchor is to a kernel that is welded onto it: its factors, where they may lie, and the contraction that a [`Product`](crate::plan::Product)
//! says.
//!
//! A factor is read from memory, but not always as a tensor of its own: views before it fold into the strides that the product reads by, as
//! far as the contraction can say them. A matrix may be transposed and broadcast, and the input of a convolution may be a slice of the channels of
//! a wider tensor, wherever that tensor lies.

use super::draft::{Sink, backward, forward};
use super::facts::{Class, Facts};
use super::index::{MapId, Space};
use crate::anchor::{Anchor, Conv, is_thin};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::{Graph, NodeId, Value};
use crate::plan::{Access, Contraction, Reason, layout};
use crate::scalar::{Number, Scalar};
use crate::shape::Shape;

/// The main loop of a welded kernel, before buffers are chosen.
#[derive(Debug, Clone)]
pub(super) struct Main {
    anchor: Anchor,
    pub factors: [Factor; 2],
    result: Shape,
    pub accumulator: DType,
}

/// A factor: the value that is read, and its index for each index of the operand.
#[derive(Debug, Clone)]
pub(super) struct Factor {
    pub value: u32,
    pub dtype: DType,
    /// The views between the value and the anchor, which the index stands for.
    pub through: Vec<u32>,
    /// The operand's shape, and the iterator of each of its axes that has one.
    shape: Shape,
    axes: Vec<Option<u32>>,
    space: Space,
    map: MapId,
}

/// Views looked through before a factor.
const DEEPEST: usize = 8;

impl Main {
    /// What the anchor is to a kernel, if a template can multiply its factors. Its operands have been numbered.
    pub fn new(facts: &Facts, graph: &Graph, id: NodeId, anchor: &Anchor, operands: &[Value]) -> Result<Main, Reason> {
        let node = graph.node(id);
        let no = |why: String| Reason::NoTemplate { node: node.label().into(), why };
        let [a, b] = operands else { return Err(no("it has not two factors".into())) };
        for v in [*a, *b, id.value()] {
            if graph.ty(v).full().is_none() {
                return Err(Reason::UnknownType { value: graph.value_name(v).into() });
            }
        }
        let types = [*a, *b].map(|v| graph.ty(v).dtype.unwrap_or(DType::F32));
        let accumulator = match types {
            [DType::I8 | DType::U8, DType::I8 | DType::U8] => DType::I32,
            [a, b] if a == b && matches!(a, DType::F16 | DType::BF16 | DType::F32) => DType::F32,
            [a, b] => return Err(no(format!("no kernel multiplies {a} with {b}"))),
        };
        match anchor {
            Anchor::ConvLast { .. } if accumulator.is_float() && is_thin_operand(graph, b) => {
                return Err(no("it has one filter of few terms".into()));
            }
            Anchor::ConvLast { conv, .. } if (1..=2).contains(&conv.kernel.len()) => {}
            Anchor::ConvLast { conv, .. } => return Err(no(format!("it has {} spatial axes", conv.kernel.len()))),
            Anchor::Gemm { .. } => {}
            Anchor::Conv(_) => return Err(no("its channels are not last".into())),
            Anchor::ConvTranspose { .. } => return Err(no("it is a transposed convolution".into())),
        }
        let factor = |v: &Value, dtype| Factor::new(facts, facts.of(*v), dtype);
        let result = graph.ty(id.value()).shape.clone().unwrap_or_default();
        let factors = [factor(a, types[0]), factor(b, types[1])];
        let mut main = Main { anchor: anchor.clone(), factors, result, accumulator };
        let dense = |v: u32| Sink { target: v, chain: Vec::new(), via: Vec::new() };
        for slot in 0..2 {
            if !main.reads(facts, slot, &dense(main.factors[slot].value)) {
                return Err(no("its operands do not fit each other".into()));
            }
            // As far as the contraction can say the index.
            for _ in 0..DEEPEST {
                let Some(further) = main.factors[slot].behind(facts) else { break };
                let now = std::mem::replace(&mut main.factors[slot], further);
                if !main.reads(facts, slot, &dense(main.factors[slot].value)) {
                    main.factors[slot] = now;
                    break;
                }
            }
        }
        let accesses = [0, 1].map(|slot| main.factors[slot].access(facts, &dense(main.factors[slot].value)));
        let [Some(a), Some(b)] = accesses else { return Err(no("its operands do not fit each other".into())) };
        main.contraction(&a, &b).ok_or_else(|| no("its operands do not fit each other".into()))?;
        Ok(main)
    }

    /// Whether the factor can be read where a sink puts its value.
    pub fn reads(&self, facts: &Facts, slot: usize, sink: &Sink) -> bool {
        let Some(access) = self.factors[slot].access(facts, sink) else { return false };
        match (&self.anchor, slot) {
            (Anchor::ConvLast { .. }, 0) => place(&access, &self.factors[0].shape).is_some(),
            (Anchor::ConvLast { .. }, _) => is_dense(&access, &self.factors[1].shape),
            _ => true,
        }
    }

    /// The contraction for factors that are read so, one stride an axis of each operand.
    pub fn contraction(&self, a: &Access, b: &Access) -> Option<Contraction> {
        let (x, w) = (&self.factors[0].shape, &self.factors[1].shape);
        match &self.anchor {
            Anchor::ConvLast { conv, pad } => {
                let pad = Scalar::new(self.factors[0].dtype, Number::Int((*pad).into()));
                convolution(conv, pad, a, [x, w, &self.result])
            }
            Anchor::Gemm { transpose_a, transpose_b, .. } => {
                matrices([(x, a, *transpose_a), (w, b, *transpose_b)], &self.result)
            }
            _ => None,
        }
    }

    /// Multiplications, the sizes being those that `size` gives.
    pub fn multiplications(&self, size: impl Fn(&Dim) -> f64) -> f64 {
        let result: f64 = self.result.iter().map(&size).product();
        let depth: f64 = match (&self.anchor, &self.factors[0].shape) {
            (Anchor::ConvLast { .. }, _) => self.factors[1].shape.iter().skip(1).map(&size).product(),
            (Anchor::Gemm { transpose_a: true, .. }, x) if x.rank() > 1 => size(&x[x.rank() - 2]),
            (_, x) => x.last().map_or(1.0, &size),
        };
        result * depth
    }

    /// What the anchor is called in a kernel's name.
    pub fn name(&self) -> &'static str {
        match &self.anchor {
            Anchor::Gemm { .. } => "gemm",
            _ => "conv",
        }
    }
}

impl Factor {
    fn new(facts: &Facts, value: u32, dtype: DType) -> Factor {
        let shape = facts.shape(value).clone();
        let mut iterators = 0..;
        let axes = shape.iter().map(|d| if d.is(1) { None } else { iterators.next() }).collect();
        let space = Space::of(&shape);
        Factor { value, dtype, through: Vec::new(), shape, axes, space, map: Space::IDENTITY }
    }

    /// The same factor, read from what the view that makes it reads.
    fn behind(&self, facts: &Facts) -> Option<Factor> {
        let n = facts.values[self.value as usize].node;
        let Class::View(_) = facts.nodes[n as usize].class else { return None };
        let mut factor = self.clone();
        factor.map = backward(facts, &mut factor.space, n, 0, self.map)?;
        factor.value = facts.nodes[n as usize].operands[0];
        factor.through.push(n);
        (factor.space.extents.len() == self.space.extents.len()).then_some(factor)
    }

    /// How the operand's elements lie in the buffer of a sink: one stride for each of its axes.
    pub fn access(&self, facts: &Facts, sink: &Sink) -> Option<Access> {
        let mut space = self.space.clone();
        let (index, at) = forward(facts, &mut space, self.value, self.map, sink)?;
        // An axis cut in two has no stride.
        if space.extents.len() != self.space.extents.len() {
            return None;
        }
        let access = space.access(&index, facts.shape(at)).ok()?;
        let stride = |axis: &Option<u32>| axis.map_or(Dim::ZERO, |i| access.strides[i as usize].clone());
        Some(Access { offset: access.offset.clone(), strides: self.axes.iter().map(stride).collect() })
    }
}

fn is_thin_operand(graph: &Graph, weights: &Value) -> bool {
    graph.ty(*weights).shape.as_ref().is_some_and(is_thin)
}

/// Where a channels-last tensor that is a slice of the channels of another begins, and how far its places are apart.
fn place(access: &Access, shape: &Shape) -> Option<(Dim, Dim)> {
    let (channels, outer) = shape.0.split_last()?;
    let (stride, strides) = access.strides.split_last()?;
    if !stride.is(1) && !channels.is(1) {
        return None;
    }
    let dense = layout::row_major(outer).ok()?;
    let mut pitch = None;
    for ((size, stride), dense) in outer.iter().zip(strides).zip(&dense).rev() {
        if size.is(1) {
            continue;
        }
        let found = stride.div_exact(dense).filter(|d| !d.is(0))?;
        if *pitch.get_or_insert_with(|| found.clone()) != found {
            return None;
        }
    }
    Some((access.offset.clone(), pitch.unwrap_or_else(|| channels.clone())))
}

fn is_dense(access: &Access, shape: &Shape) -> bool {
    access.offset.is(0) && access.is_dense(shape)
}

fn convolution(conv: &Conv, pad: Scalar, a: &Access, [x, w, result]: [&Shape; 3]) -> Option<Contraction> {
    let (first, pitch) = place(a, x)?;
    let spatial = 1..x.rank().checked_sub(1)?;
    Some(Contraction::Conv {
        images: x.first()?.clone(),
        input: x.get(spatial.clone())?.to_vec(),
        output: result.get(spatial)?.to_vec(),
        channels: x.last()?.clone(),
        first,
        pitch,
        filters: w.first()?.clone(),
        conv: conv.clone(),
        pad,
    })
}

/// Each factor: its shape, its strides, and whether its last two axes are swapped.
fn matrices(factors: [(&Shape, &Access, bool); 2], result: &Shape) -> Option<Contraction> {
    let [(x, _, turned_x), (w, _, turned_w)] = factors;
    let (row, column) = (x.rank() == 1, w.rank() == 1);
    let outer = result.rank().checked_sub(usize::from(!row) + usize::from(!column))?;
    let mut batch = result[..outer].to_vec();
    // Strides over (batch…, rows, columns) of a factor; a vector has no rows on the left and no columns on the right.
    let strides = |(shape, access, turned): (&Shape, &Access, bool), left: bool| {
        let (mut sizes, mut strides) = (shape.0.clone(), access.strides.clone());
        if shape.rank() == 1 {
            let at = if left { 0 } else { 1 };
            sizes.insert(at, Dim::ONE);
            strides.insert(at, Dim::ZERO);
        }
        let inner = sizes.len().checked_sub(2)?;
        if turned {
            sizes.swap(inner, inner + 1);
            strides.swap(inner, inner + 1);
        }
        let missing = outer.checked_sub(inner)?;
        let mut all = vec![Dim::ZERO; missing];
        for (axis, size) in sizes[..inner].iter().enumerate() {
            match () {
                () if *size == batch[missing + axis] => all.push(strides[axis].clone()),
                () if size.is(1) => all.push(Dim::ZERO),
                () => return None,
            }
        }
        all.extend_from_slice(&strides[inner..]);
        Some((all, sizes[inner].clone(), sizes[inner + 1].clone()))
    };
    let (mut a, mut m, k) = strides(factors[0], true)?;
    let (mut b, inner, n) = strides(factors[1], false)?;
    let _ = (turned_x, turned_w);
    if k != inner {
        return None;
    }
    // A stack of matrices times one is one taller matrix.
    while let Some(last) = batch.len().checked_sub(1)
        && b[last].is(0)
        && (batch[last].is(1) || m.is(1) || a[last + 1].mul(&m).is_ok_and(|whole| whole == a[last]))
    {
        if m.is(1) {
            a[last + 1] = a[last].clone();
        }
        m = m.mul(&batch[last]).ok()?;
        batch.pop();
        a.remove(last);
        b.remove(last);
    }
    let access = |offset: &Dim, strides| Access { offset: offset.clone(), strides };
    let (a, b) = (access(&factors[0].1.offset, a), access(&factors[1].1.offset, b));
    Some(Contraction::Matrix { batch, m, n, k, a, b })
}
