//! Builds graphs from Rust.

use super::{Graph, Kind, Node, NodeId, Origin, Type, Value};
use crate::dtype::DType;
use crate::name::Shown;
use crate::op::{self, Op, Row, TypeError};
use crate::scalar::{Number, Scalar};
use crate::shape::{Shape, ShapeError};
use crate::tensor::Tensor;

/// What went wrong while a graph was built: the node's name, and why.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BuildError {
    #[error("{}: {source}", Shown(.node))]
    Type { node: String, source: TypeError },
    #[error("{}: {source}", Shown(.node))]
    Shape { node: String, source: ShapeError },
    #[error("{}: the type of operand {operand} is not known", Shown(.node))]
    Unknown { node: String, operand: usize },
    #[error("the graph has no output; name one with Builder::output")]
    NoOutput,
}

/// An operand of a builder's method: a value of the graph, or a number that becomes a constant of the other operand's type.
#[derive(Debug, Clone, Copy)]
pub enum Operand {
    Value(Value),
    Number(f64),
}

impl From<Value> for Operand {
    fn from(value: Value) -> Operand {
        Operand::Value(value)
    }
}
impl From<f64> for Operand {
    fn from(x: f64) -> Operand {
        Operand::Number(x)
    }
}
impl From<f32> for Operand {
    fn from(x: f32) -> Operand {
        Operand::Number(x.into())
    }
}

/// Builds a [`Graph`] of pointwise ops. The first mistake is kept and reported by [`Builder::finish`], so that formulas read as formulas.
///
/// ```
/// use pointweld::{dtype::DType, graph::Builder, shape};
/// let mut b = Builder::new("silu");
/// let x = b.input("x", DType::I8, shape!["batch", 128, 40, 40]);
/// let real = b.dequantize(x, 0.05, 0);
/// let y = b.silu(real);
/// let codes = b.quantize(y, 0.04, 0, DType::I8);
/// b.output("y", codes);
/// assert_eq!(b.finish().unwrap().outputs().len(), 1);
/// ```
pub struct Builder {
    graph: Graph,
    error: Option<BuildError>,
}

/// Methods named after rows of the table.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $row:ident($($arg:ident),+);)*) => {
        $(
            #[doc = concat!("The op [`op::", stringify!($row), "`].")]
            $(#[$doc])*
            pub fn $name(&mut self, $($arg: impl Into<Operand>),+) -> Value {
                self.apply(Op::new(&op::$row), &[$($arg.into()),+])
            }
        )*
    };
}

impl Builder {
    pub fn new(name: &str) -> Builder {
        Builder { graph: Graph::new(name), error: None }
    }

    /// An input of the graph.
    pub fn input(&mut self, name: &str, dtype: DType, shape: Shape) -> Value {
        self.graph.add(Node::new(Kind::Input, name, Type::new(dtype, shape)), &[]).value()
    }

    /// A constant tensor.
    pub fn constant(&mut self, name: &str, tensor: Tensor) -> Value {
        let ty = Type::new(tensor.dtype(), tensor.shape());
        self.graph.add(Node::new(Kind::Constant(tensor), name, ty), &[]).value()
    }

    /// A constant of one element.
    pub fn scalar(&mut self, value: Scalar) -> Value {
        self.constant(&value.to_string(), Tensor::scalar(value))
    }

    /// Any op of the table, or a row of one's own. Params that are not given take their defaults.
    pub fn apply(&mut self, op: Op, operands: &[Operand]) -> Value {
        let name = format!("{}_{}", op.name(), self.graph.len());
        let row = op.row();
        let peer = operands.iter().rev().find_map(|o| match o {
            Operand::Value(v) => self.graph.ty(*v).dtype,
            Operand::Number(_) => None,
        });
        let mut values: Vec<Value> = operands
            .iter()
            .enumerate()
            .map(|(slot, operand)| match *operand {
                Operand::Value(value) => value,
                Operand::Number(x) => {
                    let dtype = if slot < row.operands.len() { peer.unwrap_or(DType::F32) } else { DType::F32 };
                    self.scalar(Scalar::new(dtype, Number::Float(x)))
                }
            })
            .collect();
        for param in row.params.iter().skip(values.len().saturating_sub(row.operands.len())) {
            if let Some(default) = param.default.filter(|_| values.len() >= row.operands.len()) {
                values.push(self.scalar(Scalar::f32(default)));
            }
        }
        let ty = match self.infer(&name, op, &values) {
            Ok(ty) => ty,
            Err(error) => {
                self.error.get_or_insert(error);
                Type::default()
            }
        };
        let mut node = Node::new(Kind::Pointwise(op), &name, ty);
        node.origin.push(Origin { name, op_type: row.onnx.first().map_or(row.name, |o| o.op_type).into() });
        self.graph.add(node, &values).value()
    }

    fn infer(&self, name: &str, op: Op, values: &[Value]) -> Result<Type, BuildError> {
        if self.error.is_some() {
            return Ok(Type::default());
        }
        let node = || name.to_string();
        let (mut dtypes, mut shape) = (Vec::new(), Shape::SCALAR);
        for (operand, value) in values.iter().enumerate() {
            let (dtype, other) =
                self.graph.ty(*value).full().ok_or_else(|| BuildError::Unknown { node: node(), operand })?;
            dtypes.push(dtype);
            shape = shape.broadcast(other).map_err(|source| BuildError::Shape { node: node(), source })?;
        }
        let dtype = op.result_type(&dtypes).map_err(|source| BuildError::Type { node: node(), source })?;
        Ok(Type::new(dtype, shape))
    }

    methods! {
        add = ADD(a, b);
        sub = SUB(a, b);
        mul = MUL(a, b);
        div = DIV(a, b);
        max = MAX(a, b);
        min = MIN(a, b);
        pow = POW(a, b);
        neg = NEG(x);
        abs = ABS(x);
        sign = SIGN(x);
        reciprocal = RECIPROCAL(x);
        floor = FLOOR(x);
        ceil = CEIL(x);
        round = ROUND(x);
        exp = EXP(x);
        log = LOG(x);
        sqrt = SQRT(x);
        rsqrt = RSQRT(x);
        erf = ERF(x);
        sin = SIN(x);
        cos = COS(x);
        tanh = TANH(x);
        relu = RELU(x);
        leaky_relu = LEAKY_RELU(x, alpha);
        prelu = PRELU(x, slope);
        clip = CLIP(x, lo, hi);
        hard_sigmoid = HARD_SIGMOID(x);
        hard_swish = HARD_SWISH(x);
        sigmoid = SIGMOID(x);
        silu = SILU(x);
        softplus = SOFTPLUS(x);
        elu = ELU(x);
        gelu = GELU(x);
        gelu_tanh = GELU_TANH(x);
        mish = MISH(x);
        equal = EQUAL(a, b);
        greater = GREATER(a, b);
        less = LESS(a, b);
        and = AND(a, b);
        or = OR(a, b);
        not = NOT(x);
        select = WHERE(condition, a, b);
    }

    /// x as another type.
    pub fn cast(&mut self, x: Value, to: DType) -> Value {
        self.apply(Op::to(&op::CAST, to), &[x.into()])
    }

    /// Codes of type `to`, per tensor.
    pub fn quantize(&mut self, x: Value, scale: f32, zero_point: i32, to: DType) -> Value {
        let (scale, zero) =
            (self.scalar(Scalar::f32(scale)), self.scalar(Scalar::new(to, Number::Int(zero_point.into()))));
        self.apply(Op::to(&op::QUANTIZE, to), &[x.into(), scale.into(), zero.into()])
    }

    /// f32 values of codes, per tensor.
    pub fn dequantize(&mut self, x: Value, scale: f32, zero_point: i32) -> Value {
        let code = self.graph.ty(x).dtype.unwrap_or(DType::I8);
        let (scale, zero) =
            (self.scalar(Scalar::f32(scale)), self.scalar(Scalar::new(code, Number::Int(zero_point.into()))));
        self.apply(Op::to(&op::DEQUANTIZE, DType::F32), &[x.into(), scale.into(), zero.into()])
    }

    /// A unary op of one's own or of the table, by its row.
    pub fn unary(&mut self, row: &'static Row, x: Value) -> Value {
        self.apply(Op::new(row), &[x.into()])
    }

    /// The type of a value, as far as it is known.
    pub fn ty(&self, value: Value) -> &Type {
        self.graph.ty(value)
    }

    /// The element type of a value, if it is known.
    pub fn dtype(&self, value: Value) -> Option<DType> {
        self.graph.ty(value).dtype
    }

    /// Any other node, its result types being given: anchors, views, structural and opaque ops.
    pub fn node(&mut self, node: Node, operands: &[Value]) -> NodeId {
        self.graph.add(node, operands)
    }

    /// Names a value as an output of the graph.
    pub fn output(&mut self, name: &str, value: Value) {
        self.graph.mark_output(name, value);
    }

    /// The graph, or the first mistake.
    pub fn finish(self) -> Result<Graph, BuildError> {
        match self.error {
            Some(error) => Err(error),
            None if self.graph.outputs().is_empty() => Err(BuildError::NoOutput),
            None => Ok(self.graph),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape;

    #[test]
    fn x_times_x_is_one_node_with_two_edges() {
        let mut b = Builder::new("square");
        let x = b.input("x", DType::F32, shape![4]);
        let y = b.mul(x, x);
        b.output("y", y);
        let g = b.finish().unwrap();
        assert_eq!(g.operands(y.node).as_slice(), [x, x]);
        assert_eq!(g.use_count(x), 2);
    }

    #[test]
    fn numbers_take_the_type_of_their_peer_and_params_their_default() {
        let mut b = Builder::new("g");
        let x = b.input("x", DType::F16, shape!["n", 1]);
        let y = b.mul(x, 0.5);
        let z = b.unary(&op::LEAKY_RELU, y);
        b.output("z", z);
        let g = b.finish().unwrap();
        assert_eq!(g.ty(g.operands(y.node)[1]).dtype, Some(DType::F16));
        assert_eq!(g.operands(z.node).len(), 2);
        assert_eq!(g.ty(z).to_string(), "Half(n,1)");
    }

    #[test]
    fn the_first_mistake_is_reported_with_its_node() {
        let mut b = Builder::new("g");
        let x = b.input("x", DType::I8, shape![4]);
        let y = b.silu(x);
        let z = b.add(y, x);
        b.output("z", z);
        assert_eq!(b.finish().unwrap_err().to_string(), "silu_1: silu takes f64 f32 f16 bf16 for x, found i8");
        let mut b = Builder::new("g");
        let (x, y) = (b.input("x", DType::F32, shape![4]), b.input("y", DType::F32, shape![3]));
        let z = b.add(x, y);
        b.output("z", z);
        assert_eq!(b.finish().unwrap_err().to_string(), "add_2: (4) and (3) do not broadcast: axis 0 is 4 against 3");
    }
}
