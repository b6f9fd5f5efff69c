//! Random convolutional networks, with an input to run them on: convolutions of every kind, residual sums, gates, splits, concatenations,
//! pools, resizes, reductions, heads that reshape. The same seed and number of ops give the same graph.

use crate::random_graph::{Generated, Random};
use pointweld::anchor::{Anchor, Conv};
use pointweld::dim::Dim;
use pointweld::dtype::DType;
use pointweld::graph::{Builder, Kind, Node, Type, Value};
use pointweld::shape::Shape;
use pointweld::structural::{Pool, Reduction, Structural};
use pointweld::tensor::Tensor;
use pointweld::view::{SliceAxis, View};

/// The size that the symbol `batch` gets.
const BATCH: usize = 2;

pub struct Net {
    pub random: Random,
    pub b: Builder,
    values: Vec<Value>,
    spatial: usize,
    count: usize,
}

/// A network of `ops` ops over one or two spatial axes.
pub fn generate(seed: u64, ops: usize) -> Generated {
    let mut random = Random::new(seed);
    let spatial = 1 + random.below(2);
    let mut net = Net { random, b: Builder::new("convnet"), values: vec![], spatial, count: 0 };
    let mut sizes = vec![BATCH, 3 + net.random.below(4)];
    sizes.extend((0..spatial).map(|_| 5 + net.random.below(6)));
    let shape: Shape = [Dim::symbol("batch")].into_iter().chain(sizes[1..].iter().map(|n| Dim::from(*n))).collect();
    let x = net.b.input("x", DType::F32, shape);
    net.values.push(x);
    let input = net.numbers(&sizes);
    for _ in 0..ops {
        let made = net.op();
        net.values.push(made);
    }
    let outputs: Vec<Value> = net.values.iter().rev().take(2).copied().collect();
    for (i, v) in outputs.into_iter().enumerate() {
        net.b.output(&format!("y{i}"), v);
    }
    Generated { graph: net.b.finish().unwrap(), inputs: vec![("x".into(), input)] }
}

impl Net {
    /// Small multiples of 1/8: sums of a few hundred products of them are exact in f32, whatever their order.
    pub fn numbers(&mut self, sizes: &[usize]) -> Tensor {
        let values: Vec<f64> =
            (0..sizes.iter().product()).map(|_| (self.random.below(17) as f64 - 8.0) / 8.0).collect();
        Tensor::from_f64(DType::F32, sizes, &values).unwrap()
    }

    fn shape(&self, v: Value) -> Shape {
        self.b.ty(v).shape.clone().unwrap()
    }

    fn node(&mut self, kind: Kind, operands: &[Value], shape: Shape) -> Value {
        self.count += 1;
        let name = format!("{kind}_{}", self.count);
        let node = Node::new(kind, &name, Type::new(DType::F32, shape)).with_origin(&name, "Test");
        self.b.node(node, operands).value()
    }

    fn pick(&mut self) -> Value {
        // The newest most of the time, so that the network is deep.
        let back = if self.random.once_in(3) { self.random.below(self.values.len()) } else { 0 };
        self.values[self.values.len() - 1 - back]
    }

    fn op(&mut self) -> Value {
        let x = self.pick();
        let shape = self.shape(x);
        match self.random.below(14) {
            0..=3 => self.conv(x),
            4 => self.b.relu(x),
            5 => self.b.silu(x),
            6 => self.scaled(x),
            7 => self.sum(x),
            8 => self.gate(x),
            9 => self.concat(x),
            10 => self.slice(x),
            11 => self.pool(x),
            12 => {
                let factors: Vec<u64> = (0..shape.rank()).map(|axis| if axis < 2 { 1 } else { 2 }).collect();
                if shape[2].known().unwrap() > 8 {
                    return self.b.relu(x);
                }
                let to = shape.iter().zip(&factors).map(|(d, f)| d.mul(&Dim::fixed(*f as i64)).unwrap()).collect();
                self.node(Kind::View(View::Repeat { factors }), &[x], to)
            }
            _ => {
                let pads: Vec<(i64, i64)> =
                    (0..shape.rank()).map(|axis| if axis < 2 { (0, 0) } else { (1, 0) }).collect();
                let to =
                    shape.iter().zip(&pads).map(|(d, (a, b))| d.add(&Dim::fixed(a + b)).unwrap()).collect::<Shape>();
                let op = Structural::Pad { mode: pointweld::structural::PadMode::Edge, pads };
                self.node(Kind::Structural(op), &[x], to)
            }
        }
    }

    /// A convolution of any shape that fits.
    pub fn conv(&mut self, x: Value) -> Value {
        let shape = self.shape(x);
        let channels = shape[1].known().unwrap() as usize;
        let groups = match self.random.below(4) {
            0 => channels,
            1 if channels.is_multiple_of(2) => 2,
            _ => 1,
        };
        let filters = groups * (1 + self.random.below(if groups == 1 { 8 } else { 2 }));
        let mut conv = Conv { kernel: vec![], strides: vec![], dilations: vec![], pads: vec![], groups, bias: false };
        conv.bias = self.random.once_in(2);
        let mut to = vec![shape[0].clone(), Dim::from(filters)];
        for axis in 0..self.spatial {
            let n = shape[2 + axis].known().unwrap() as usize;
            let (kernel, dilation) = self.random.pick(&[(1, 1), (3, 1), (2, 1), (3, 2)]);
            let stride = 1 + usize::from(self.random.once_in(4));
            let reach = (kernel - 1) * dilation + 1;
            let pads = if n < reach || !self.random.once_in(3) { (reach / 2, reach / 2) } else { (0, 0) };
            conv.kernel.push(kernel);
            conv.strides.push(stride);
            conv.dilations.push(dilation);
            conv.pads.push(pads);
            to.push(Dim::from((n + pads.0 + pads.1 - reach) / stride + 1));
        }
        let mut sizes = vec![filters, channels / groups];
        sizes.extend(&conv.kernel);
        let (w, b) = (self.numbers(&sizes), self.numbers(&[filters]));
        let mut operands = vec![x, self.b.constant("w", w)];
        if conv.bias {
            operands.push(self.b.constant("b", b));
        }
        self.node(Kind::Anchor(Anchor::Conv(conv)), &operands, Shape(to))
    }

    /// A constant a channel, under one of the shapes it may have.
    fn scaled(&mut self, x: Value) -> Value {
        let shape = self.shape(x);
        let channels = shape[1].known().unwrap() as usize;
        let mut sizes = vec![1; shape.rank() - usize::from(self.random.once_in(2))];
        let at = sizes.len() - 1 - self.spatial;
        sizes[at] = channels;
        let by = self.numbers(&sizes);
        let by = self.b.constant("scale", by);
        if self.random.once_in(2) { self.b.mul(x, by) } else { self.b.add(by, x) }
    }

    /// With another value of the same shape, if there is one.
    fn sum(&mut self, x: Value) -> Value {
        let shape = self.shape(x);
        let peers: Vec<Value> = self.values.iter().copied().filter(|v| self.shape(*v) == shape && *v != x).collect();
        if peers.is_empty() {
            return self.b.relu(x);
        }
        let peer = self.random.pick(&peers);
        self.b.add(x, peer)
    }

    /// Multiplied by a sigmoid of its mean over the spatial axes, by way of a 1×1 convolution half of the time.
    fn gate(&mut self, x: Value) -> Value {
        let shape = self.shape(x);
        let flat: Shape =
            shape.iter().enumerate().map(|(axis, d)| if axis < 2 { d.clone() } else { Dim::ONE }).collect();
        let op = match self.random.below(3) {
            0 => Structural::GlobalPool { max: true },
            1 => Structural::GlobalPool { max: false },
            _ => Structural::Reduce { op: Reduction::Mean, axes: (2..shape.rank()).collect(), keep_dims: true },
        };
        let mut gate = self.node(Kind::Structural(op), &[x], flat.clone());
        if self.random.once_in(2) {
            let channels = shape[1].known().unwrap() as usize;
            let ones = vec![1; self.spatial];
            let conv = Conv {
                kernel: ones.clone(),
                strides: ones.clone(),
                dilations: ones,
                pads: vec![(0, 0); self.spatial],
                groups: 1,
                bias: false,
            };
            let mut sizes = vec![channels, channels];
            sizes.extend(&conv.kernel);
            let w = self.numbers(&sizes);
            let w = self.b.constant("gate.w", w);
            gate = self.node(Kind::Anchor(Anchor::Conv(conv)), &[gate, w], flat);
        }
        let gate = self.b.sigmoid(gate);
        self.b.mul(x, gate)
    }

    /// Along the channels, with another value that agrees elsewhere, or with itself.
    fn concat(&mut self, x: Value) -> Value {
        let shape = self.shape(x);
        let fits = |v: &Value| self.shape(*v)[2..] == shape[2..];
        let peers: Vec<Value> = self.values.iter().copied().filter(fits).collect();
        let peer = self.random.pick(&peers);
        let mut to = shape.clone();
        to.0[1] = to[1].add(&self.shape(peer)[1]).unwrap();
        if to[1].known().unwrap() > 24 {
            return self.b.relu(x);
        }
        self.node(Kind::View(View::Concat { axis: 1 }), &[x, peer], to)
    }

    /// The first or the second half of the channels.
    fn slice(&mut self, x: Value) -> Value {
        let shape = self.shape(x);
        let channels = shape[1].known().unwrap();
        if channels < 2 {
            return self.b.relu(x);
        }
        let half = channels / 2;
        let (start, size) = if self.random.once_in(2) { (0, half) } else { (half, channels - half) };
        let mut axes: Vec<SliceAxis> =
            shape.iter().map(|d| SliceAxis { start: Dim::ZERO, step: 1, size: d.clone() }).collect();
        axes[1] = SliceAxis { start: Dim::fixed(start), step: 1, size: Dim::fixed(size) };
        let mut to = shape.clone();
        to.0[1] = Dim::fixed(size);
        self.node(Kind::View(View::Slice { axes }), &[x], to)
    }

    /// Over 3 places, the size staying.
    fn pool(&mut self, x: Value) -> Value {
        let shape = self.shape(x);
        let list = |n: usize| vec![n; self.spatial];
        let pool = Pool {
            kernel: list(3),
            strides: list(1),
            dilations: list(1),
            pads: vec![(1, 1); self.spatial],
            ceil_mode: false,
            channels_last: false,
        };
        let op = match self.random.below(2) {
            0 => Structural::MaxPool(pool),
            _ => Structural::AveragePool { pool, count_include_pad: self.random.once_in(2) },
        };
        self.node(Kind::Structural(op), &[x], shape)
    }
}
