//! Graphs to fuse, in a few words each.

use pointweld::anchor::{Anchor, Conv};
use pointweld::dim::Dim;
use pointweld::dtype::DType;
use pointweld::fuse::{Options, fuse};
use pointweld::graph::{Builder, Graph, Kind, Node, Type, Value};
use pointweld::plan::{Kernel, Plan, Reason, Verdict};
use pointweld::shape::Shape;
use pointweld::tensor::Tensor;
use pointweld::view::{SliceAxis, View};

/// A graph in the making; nodes are named by what the test calls them.
pub struct Net {
    pub b: Builder,
    types: std::collections::BTreeMap<Value, (DType, Shape)>,
}

impl Net {
    pub fn new(name: &str) -> Net {
        Net { b: Builder::new(name), types: Default::default() }
    }

    pub fn input(&mut self, name: &str, dtype: DType, shape: Shape) -> Value {
        let v = self.b.input(name, dtype, shape.clone());
        self.typed(v, dtype, shape)
    }

    /// Tells the type of a value that the builder made of ops, so that the methods here can go on from it.
    pub fn typed(&mut self, v: Value, dtype: DType, shape: Shape) -> Value {
        self.types.insert(v, (dtype, shape));
        v
    }

    fn node(&mut self, name: &str, kind: Kind, operands: &[Value], dtype: DType, shape: Shape) -> Value {
        let node = Node::new(kind, name, Type::new(dtype, shape.clone())).with_origin(name, "Test");
        let v = self.b.node(node, operands).value();
        self.typed(v, dtype, shape)
    }

    fn view(&mut self, name: &str, view: View, x: Value, shape: Shape) -> Value {
        let dtype = self.types[&x].0;
        self.node(name, Kind::View(view), &[x], dtype, shape)
    }

    /// A 1×1 convolution to as many channels.
    pub fn conv(&mut self, name: &str, x: Value, channels: usize) -> Value {
        let (dtype, mut shape) = self.types[&x].clone();
        let sizes = [channels, shape[1].known().unwrap() as usize, 1, 1];
        let weights = vec![0.5; sizes.iter().product()];
        let w = self.b.constant(&format!("{name}.w"), Tensor::from_f64(dtype, &sizes, &weights).unwrap());
        shape.0[1] = Dim::from(channels);
        let one = vec![1, 1];
        let conv = Conv {
            kernel: one.clone(),
            strides: one.clone(),
            dilations: one,
            pads: vec![(0, 0); 2],
            groups: 1,
            bias: false,
        };
        self.node(name, Kind::Anchor(Anchor::Conv(conv)), &[x, w], dtype, shape)
    }

    pub fn reshape(&mut self, name: &str, x: Value, to: Shape) -> Value {
        self.view(name, View::Reshape { to: to.clone() }, x, to)
    }

    pub fn transpose(&mut self, name: &str, x: Value, axes: &[usize]) -> Value {
        let from = self.types[&x].1.clone();
        let to = axes.iter().map(|a| from[*a].clone()).collect();
        self.view(name, View::Transpose { axes: axes.to_vec() }, x, to)
    }

    /// Elements `start .. start + size` of an axis.
    pub fn slice(&mut self, name: &str, x: Value, axis: usize, start: i64, size: i64) -> Value {
        let mut to = self.types[&x].1.clone();
        let mut axes: Vec<SliceAxis> =
            to.iter().map(|d| SliceAxis { start: Dim::ZERO, step: 1, size: d.clone() }).collect();
        axes[axis] = SliceAxis { start: Dim::fixed(start), step: 1, size: Dim::fixed(size) };
        to.0[axis] = Dim::fixed(size);
        self.view(name, View::Slice { axes }, x, to)
    }

    pub fn repeat(&mut self, name: &str, x: Value, factors: &[u64]) -> Value {
        let from = self.types[&x].1.clone();
        let to = from.iter().zip(factors).map(|(d, f)| d.mul(&Dim::fixed(*f as i64)).unwrap()).collect();
        self.view(name, View::Repeat { factors: factors.to_vec() }, x, to)
    }

    pub fn concat(&mut self, name: &str, xs: &[Value], axis: usize) -> Value {
        let (dtype, mut to) = self.types[&xs[0]].clone();
        let total = xs.iter().fold(Dim::ZERO, |n, x| n.add(&self.types[x].1[axis]).unwrap());
        to.0[axis] = total;
        self.node(name, Kind::View(View::Concat { axis }), xs, dtype, to)
    }

    pub fn output(&mut self, name: &str, v: Value) {
        self.b.output(name, v);
    }

    pub fn graph(self) -> Graph {
        self.b.finish().unwrap()
    }
}

pub fn plan(graph: &Graph) -> Plan {
    fuse(graph, &Options::default()).unwrap()
}

/// The names of the ops of each kernel, in the plan's order.
pub fn bodies(plan: &Plan) -> Vec<Vec<&'static str>> {
    plan.kernels().map(|k| k.body.iter().map(|s| s.op.name()).collect()).collect()
}

pub fn only(plan: &Plan) -> &Kernel {
    assert_eq!(plan.kernels().count(), 1, "{plan}");
    plan.kernels().next().unwrap()
}

/// What became of the edge between two nodes, by label.
pub fn verdict<'p>(plan: &'p Plan, from: &str, to: &str) -> &'p Verdict {
    let found = plan.decisions.iter().find(|d| d.from == from && d.to == to);
    &found.unwrap_or_else(|| panic!("no edge from {from} to {to}\n{plan}")).verdict
}

pub fn reason<'p>(plan: &'p Plan, from: &str, to: &str) -> &'p Reason {
    match verdict(plan, from, to) {
        Verdict::Cut { reason } => reason,
        other => panic!("{from} to {to}: {other:?}\n{plan}"),
    }
}
