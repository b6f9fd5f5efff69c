//! What can go wrong when a graph or a plan is executed on the CPU.

use crate::dim::DimError;
use crate::dtype::DType;
use crate::graph::Type;
use crate::name::Shown;
use crate::tensor::TensorError;

/// Why a graph or a plan was not executed: which input, node or kernel, what was found and what was expected.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReferenceError {
    #[error("the input {} is not given; it is {expected}", Shown(.name))]
    MissingInput { name: String, expected: Type },
    #[error("{} is not an input of the graph; its inputs are {}", Shown(.name), list(.inputs))]
    UnknownInput { name: String, inputs: Vec<String> },
    #[error("the input {} is {expected}, and {found} was given", Shown(.name))]
    InputType { name: String, expected: Type, found: Type },
    #[error("{} makes the size {symbol:?} {found}, which is {bound} already", Shown(.name))]
    Symbol { name: String, symbol: String, bound: u64, found: u64 },
    #[error("the graph has a cycle through {}", Shown(.node))]
    Cycle { node: String },
    #[error("{} ({kind}): {source}", Shown(.node))]
    Node { node: String, kind: String, source: NodeError },
    #[error("the result {} of {} is said to be {said}, and is {found}", Shown(.value), Shown(.node))]
    Result { node: String, value: String, said: Type, found: Type },
    #[error("kernel {kernel}: {source}")]
    Kernel { kernel: String, source: KernelError },
    #[error("the output {} is never computed whole: {written} of {count} elements are", Shown(.name))]
    OutputUnwritten { name: String, written: usize, count: usize },
    #[error(transparent)]
    Dim(#[from] DimError),
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| Shown(name).to_string()).collect::<Vec<_>>().join(", ")
}

/// Why one node was not executed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NodeError {
    #[error(
        "its meaning is not known, so it can't be executed; make the tensors it computes outputs or inputs instead"
    )]
    Opaque,
    #[error("takes {expected} operands, found {found}")]
    Arity { expected: String, found: usize },
    #[error("operand {operand} must be {expected}, and is {found}")]
    Operand { operand: &'static str, expected: String, found: String },
    #[error("{0}")]
    Invalid(String),
    #[error("the result would be {dtype} {sizes:?}, more than the {limit} bytes that one tensor may have")]
    TooLarge { dtype: DType, sizes: Vec<usize>, limit: usize },
    #[error("the result's {what} is not known from its type nor from its operands")]
    Unknown { what: &'static str },
    #[error(transparent)]
    Tensor(#[from] TensorError),
    #[error(transparent)]
    Dim(#[from] DimError),
}

/// What a plan does wrong, found while one of its kernels or nodes was executed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum KernelError {
    #[error("it names buffer {buffer}, and the plan has {count}")]
    NoBuffer { buffer: u32, count: usize },
    #[error("the type of buffer {} is not known", Shown(.0))]
    UnknownType(String),
    #[error("{} is {buffer}, and is accessed as {access}", Shown(.name))]
    Type { name: String, buffer: DType, access: DType },
    #[error("an access of {} has {strides} strides for {rank} axes", Shown(.name))]
    Rank { name: String, strides: usize, rank: usize },
    #[error("it accesses elements {low} to {high} of {}, which has {count}", Shown(.name))]
    OutOfBounds { name: String, low: i64, high: i64, count: usize },
    #[error("it reads element {element} of {}, which nothing has written", Shown(.name))]
    Unwritten { name: String, element: usize },
    #[error("element {element} of {} is written twice", Shown(.name))]
    WrittenTwice { name: String, element: usize },
    #[error("it writes {}, whose contents are given", Shown(.name))]
    NotWritable { name: String },
    #[error("statement {stmt} uses {arg}, which is not computed before it")]
    Order { stmt: usize, arg: String },
    #[error("its product gives {sums} sums for a domain of {count}")]
    Product { sums: usize, count: usize },
    #[error("node {0:?} of the plan is not in the graph")]
    NoNode(crate::graph::NodeId),
    #[error(transparent)]
    Broadcast(#[from] crate::plan::BroadcastError),
    #[error(transparent)]
    Operands(#[from] crate::op::TypeError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Dim(#[from] DimError),
}
