//! Random graphs of pointwise ops and views, with inputs to run them on.
//!
//! Every row of the op table can appear, on every type it takes; operands broadcast from every side; views of every kind; quantize
//! and dequantize per tensor and per channel; a symbolic batch; several outputs; shared and dead values. The same seed and
//! number of ops give the same graph, and a smaller number gives its beginning, so that proptest can shrink.

use pointweld::dim::Dim;
use pointweld::dtype::DType;
use pointweld::graph::{Builder, Graph, Kind, Node, Operand, Type, Value};
use pointweld::op::{self, Op, Row, TypeRule};
use pointweld::scalar::{Number, Scalar};
use pointweld::shape;
use pointweld::shape::Shape;
use pointweld::tensor::Tensor;
use pointweld::view::{SliceAxis, View};

/// A graph and a tensor for each of its inputs.
#[derive(Debug)]
pub struct Generated {
    pub graph: Graph,
    pub inputs: Vec<(String, Tensor)>,
}

/// A small generator of random numbers (SplitMix64): the tests' graphs may not change with a library's version.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Between 0 and 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An element of a type: mostly of moderate size, but also tails, denormals, signed zeros, infinities and NaN.
    pub fn number(&mut self, dtype: DType) -> Number {
        if dtype == DType::Bool {
            return Number::Int(self.below(2) as i128);
        }
        if !dtype.is_float() {
            let small = Number::Int(self.below(9) as i128 - if dtype.is_signed_int() { 4 } else { 0 });
            return if self.once_in(2) { small } else { Scalar::from_bits(dtype, self.next()).number() };
        }
        let x = match self.below(16) {
            0 => self.pick(&[0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0, -1.0, 1e-41, -1e-310]),
            1 => Scalar::from_bits(dtype, self.next()).as_f64(),
            2 => (self.unit() - 0.5) * 400.0,
            _ => (self.unit() - 0.5) * 12.0,
        };
        Number::Float(x).rounded_to(dtype)
    }

    pub fn tensor(&mut self, dtype: DType, sizes: &[usize]) -> Tensor {
        let count: usize = sizes.iter().product();
        let numbers: Vec<Number> = (0..count).map(|_| self.number(dtype)).collect();
        Tensor::from_numbers(dtype, sizes, numbers).expect("as many numbers as elements")
    }
}

/// The size that the symbol `batch` gets.
const BATCH: usize = 2;

/// The types of inputs and casts; the narrower floats come in by quantization.
const TYPES: [DType; 12] = [
    DType::F32,
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::F64,
    DType::I8,
    DType::U8,
    DType::I32,
    DType::I64,
    DType::U16,
    DType::I16,
    DType::Bool,
];

struct Generator {
    random: Random,
    builder: Builder,
    values: Vec<(Value, DType, Shape)>,
    inputs: Vec<(String, Tensor)>,
    rows: Vec<&'static Row>,
    last: &'static Row,
}

/// A graph of `ops` nodes that compute, at most (what has too large a result is left out).
pub fn generate(seed: u64, ops: usize) -> Generated {
    let rows: Vec<_> = op::table().collect();
    let mut g = Generator {
        random: Random::new(seed),
        builder: Builder::new("random"),
        values: vec![],
        inputs: vec![],
        rows,
        last: &op::ADD,
    };
    for _ in 0..2 + g.random.below(3) {
        g.input();
    }
    for _ in 0..ops {
        match g.random.below(8) {
            0 => g.constant(),
            1 | 2 => g.view(),
            3 => g.quantized(),
            _ => g.pointwise(),
        }
    }
    g.finish()
}

impl Generator {
    fn shape(&mut self) -> Shape {
        let shapes = [
            shape!["batch", 3, 4, 2],
            shape!["batch", 3, 4, 2],
            shape!["batch", 1, 1, 1],
            shape![1, 3, 1, 1],
            shape![3, 1, 1],
            shape![4, 2],
            shape![2],
            shape![1],
            shape![],
            shape![1, 3, 4, 1],
        ];
        self.random.pick(&shapes)
    }

    fn sizes(shape: &Shape) -> Vec<usize> {
        shape.eval(&[("batch".to_string(), BATCH as u64)].into()).expect("only the batch is symbolic")
    }

    /// The common shape, if there is one both for the symbols and for the sizes that they get.
    fn broadcast(shapes: &[&Shape]) -> Option<Shape> {
        let join = |all: Shape, shape: &Shape| all.broadcast(shape).ok();
        let bound = shapes.iter().map(|shape| Shape::from(Self::sizes(shape).as_slice()));
        bound.collect::<Vec<_>>().iter().try_fold(Shape::SCALAR, join)?;
        shapes.iter().copied().try_fold(Shape::SCALAR, join)
    }

    fn input(&mut self) {
        let (dtype, shape) = (self.random.pick(&TYPES), self.shape());
        let name = format!("input_{}", self.inputs.len());
        let tensor = self.random.tensor(dtype, &Self::sizes(&shape));
        let value = self.builder.input(&name, dtype, shape.clone());
        self.inputs.push((name, tensor));
        self.values.push((value, dtype, shape));
    }

    /// A constant; one in two is a number that some identity is about.
    fn constant(&mut self) {
        let (dtype, shape) = (self.random.pick(&TYPES), self.shape());
        let Some(sizes) = shape.known() else { return };
        let tensor = if self.random.once_in(2) {
            let x = self.random.pick(&[0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, 6.0]);
            let count: usize = sizes.iter().product();
            Tensor::from_numbers(dtype, &sizes, vec![Number::Float(x); count]).expect("as many numbers as elements")
        } else {
            self.random.tensor(dtype, &sizes)
        };
        let value = self.builder.constant(&format!("constant_{}", self.values.len()), tensor);
        self.values.push((value, dtype, shape));
    }

    fn any(&mut self) -> (Value, DType, Shape) {
        // Half of the time a recent one, so that chains grow.
        let n = self.values.len();
        let from = if self.random.once_in(2) { n.saturating_sub(4) } else { 0 };
        let i = from + self.random.below(n - from);
        self.values[i].clone()
    }

    /// A constant of one element that some identity is about.
    fn simple(&mut self, dtype: DType) -> (Value, DType, Shape) {
        let x = self.random.pick(&[0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, 6.0, f64::INFINITY, f64::NEG_INFINITY]);
        (self.builder.scalar(Scalar::new(dtype, Number::Float(x))), dtype, Shape::SCALAR)
    }

    fn of_type(&mut self, dtype: DType) -> (Value, DType, Shape) {
        let found: Vec<_> = self.values.iter().filter(|v| v.1 == dtype).cloned().collect();
        if found.is_empty() || self.random.once_in(8) {
            let (value, _, shape) = self.any();
            return (self.builder.cast(value, dtype), dtype, shape);
        }
        self.random.pick(&found)
    }

    fn pointwise(&mut self) {
        // Often the op before once more, or a cast: chains of one op are what identities are about.
        let row = match self.random.below(8) {
            0 | 1 => self.last,
            2 => &op::CAST,
            _ => self.rows[self.random.below(self.rows.len())],
        };
        self.last = row;
        if matches!(row.types, TypeRule::Quantize | TypeRule::Dequantize) {
            return self.quantized();
        }
        let target = matches!(row.types, TypeRule::Convert).then(|| self.random.pick(&TYPES));
        let op = target.map_or(Op::new(row), |to| Op::to(row, to));
        // Operands by trial: the row's own rule says what fits.
        for _ in 0..12 {
            let mut operands = vec![self.any()];
            while operands.len() < row.operands.len() {
                let peer = operands[operands.len() - 1].1;
                let next = match self.random.below(4) {
                    0 => self.any(),
                    1 => self.simple(peer),
                    _ => self.of_type(peer),
                };
                operands.push(next);
            }
            let mut dtypes: Vec<DType> = operands.iter().map(|o| o.1).collect();
            dtypes.extend(row.params.iter().map(|_| DType::F32));
            let shapes: Vec<&Shape> = operands.iter().map(|o| &o.2).collect();
            let shape = Self::broadcast(&shapes);
            let (Ok(dtype), Some(shape)) = (op.result_type(&dtypes), shape) else { continue };
            let mut args: Vec<Operand> = operands.iter().map(|o| o.0.into()).collect();
            for param in row.params {
                let x = param
                    .default
                    .filter(|_| self.random.once_in(2))
                    .map_or_else(|| self.random.unit() * 2.0, f64::from);
                args.push(self.builder.scalar(Scalar::new(DType::F32, Number::Float(x))).into());
            }
            let value = self.builder.apply(op, &args);
            return self.push(value, dtype, shape);
        }
    }

    fn push(&mut self, value: Value, dtype: DType, shape: Shape) {
        if Self::sizes(&shape).iter().product::<usize>() <= 4096 {
            self.values.push((value, dtype, shape));
        }
    }

    /// A quantize, often followed by its dequantize; per tensor, or per channel along axis 1 of four.
    fn quantized(&mut self) {
        let floats: Vec<_> = self.values.iter().filter(|v| v.1 == DType::F32).cloned().collect();
        let codes: Vec<_> = self.values.iter().filter(|v| matches!(v.1, DType::I8 | DType::U8)).cloned().collect();
        let per_channel = self.random.once_in(3);
        let sizes: &[usize] = if per_channel { &[1, 3, 1, 1] } else { &[] };
        let count: usize = sizes.iter().product();
        let scales: Vec<f64> = (0..count).map(|_| 0.01 + self.random.unit() * 0.2).collect();
        let scale = self.builder.constant("scale", Tensor::from_f64(DType::F32, sizes, &scales).expect("a tensor"));
        let code = if self.random.once_in(2) { DType::I8 } else { DType::U8 };
        let scale_shape = Shape::from(sizes);
        if !codes.is_empty() && self.random.once_in(2) {
            let (x, code, shape) = self.random.pick(&codes);
            let Some(shape) = Self::broadcast(&[&shape, &scale_shape]) else { return };
            let zero = self.builder.constant("zero", self.random.tensor(code, sizes));
            let real = self.builder.apply(Op::to(&op::DEQUANTIZE, DType::F32), &[x.into(), scale.into(), zero.into()]);
            self.push(real, DType::F32, shape.clone());
            if self.random.once_in(2) {
                let again = self.builder.apply(Op::to(&op::QUANTIZE, code), &[real.into(), scale.into(), zero.into()]);
                self.push(again, code, shape);
            }
        } else if !floats.is_empty() {
            let (x, _, shape) = self.random.pick(&floats);
            let Some(shape) = Self::broadcast(&[&shape, &scale_shape]) else { return };
            let zero = self.builder.constant("zero", self.random.tensor(code, sizes));
            let q = self.builder.apply(Op::to(&op::QUANTIZE, code), &[x.into(), scale.into(), zero.into()]);
            self.push(q, code, shape.clone());
            if self.random.once_in(2) {
                let real =
                    self.builder.apply(Op::to(&op::DEQUANTIZE, DType::F32), &[q.into(), scale.into(), zero.into()]);
                self.push(real, DType::F32, shape);
            }
        }
    }

    fn view(&mut self) {
        let (x, dtype, from) = self.any();
        let mut operands = vec![x];
        let rank = from.rank();
        let (view, to) = match self.random.below(6) {
            0 => self.reshape(&from),
            1 => {
                let mut axes: Vec<usize> = (0..rank).collect();
                // Half of them their own inverse, so that pairs cancel.
                match rank >= 2 && self.random.once_in(2) {
                    true => axes.swap(rank - 1, rank - 2),
                    false => (0..rank).rev().for_each(|i| axes.swap(i, self.random.below(i + 1))),
                }
                let to = axes.iter().map(|a| from[*a].clone()).collect();
                (View::Transpose { axes }, to)
            }
            2 => {
                let axes: Vec<SliceAxis> = from.iter().map(|d| self.slice(d)).collect();
                let to = axes.iter().map(|a| a.size.clone()).collect();
                (View::Slice { axes }, to)
            }
            3 => {
                let mut to = from.0.clone();
                to.iter_mut().filter(|d| d.is(1)).for_each(|d| *d = Dim::from(1 + self.random.below(3)));
                if to.len() < 4 && self.random.once_in(2) {
                    to.insert(0, Dim::from(2usize));
                }
                (View::Expand { to: Shape(to.clone()) }, Shape(to))
            }
            4 => {
                let factors: Vec<u64> = from.iter().map(|_| 1 + self.random.below(2) as u64).collect();
                let grown = from.iter().zip(&factors).map(|(d, f)| d.mul(&Dim::fixed(*f as i64)).expect("small"));
                let to = grown.collect();
                (View::Repeat { factors }, to)
            }
            _ => {
                let Some(axis) = (rank > 0).then(|| self.random.below(rank)) else { return };
                let alike: Vec<_> = self.values.iter().filter(|v| v.1 == dtype && v.2 == from).cloned().collect();
                operands.push(self.random.pick(&alike).0);
                let mut to = from.0.clone();
                to[axis] = to[axis].mul(&Dim::fixed(2)).expect("small");
                (View::Concat { axis }, Shape(to))
            }
        };
        let name = format!("{}_{}", view.name(), self.values.len());
        let node = Node::new(Kind::View(view), &name, Type::new(dtype, to.clone())).with_origin(&name, "View");
        let value = self.builder.node(node, &operands).value();
        self.push(value, dtype, to);
    }

    fn reshape(&mut self, from: &Shape) -> (View, Shape) {
        let mut to = from.0.clone();
        match self.random.below(3) {
            0 if to.len() >= 2 => {
                let at = self.random.below(to.len() - 1);
                let merged = to[at].mul(&to[at + 1]).expect("small");
                to.splice(at..at + 2, [merged]);
            }
            1 if to.iter().any(|d| d.is(1)) => {
                let at = to.iter().position(|d| d.is(1)).expect("just seen");
                to.remove(at);
            }
            _ if to.len() < 5 => to.insert(self.random.below(to.len() + 1), Dim::ONE),
            _ => {}
        }
        (View::Reshape { to: Shape(to.clone()) }, Shape(to))
    }

    fn slice(&mut self, d: &Dim) -> SliceAxis {
        match d.known() {
            Some(n) if n > 1 && self.random.once_in(2) => {
                let start = self.random.below(n as usize) as i64;
                let backward = self.random.once_in(3);
                let size = if backward { start + 1 } else { n - start };
                SliceAxis { start: Dim::fixed(start), step: if backward { -1 } else { 1 }, size: Dim::fixed(size) }
            }
            _ => SliceAxis { start: Dim::ZERO, step: 1, size: d.clone() },
        }
    }

    /// Most of what nothing reads becomes an output; the rest is dead.
    fn finish(mut self) -> Generated {
        let (last, ..) = self.values[self.values.len() - 1].clone();
        self.builder.output("output", last);
        let mut graph = self.builder.finish().expect("the generator asks the type rules first");
        for (i, (value, ..)) in self.values.iter().enumerate() {
            let unread = graph.use_count(*value) == 0 && graph.constant(*value).is_none();
            if unread && !self.random.once_in(5) || self.random.once_in(25) {
                graph.mark_output(&format!("output_{i}"), *value);
            }
        }
        Generated { graph, inputs: self.inputs }
    }
}
