//! pointweld compiles graphs of pointwise ops into fused CUDA kernels, INT8 quantization on their edges included.
//!
//! It reads an ONNX model or a graph built in Rust, cuts it into fusion groups, generates one CUDA kernel a group, compiles it with
//! NVRTC, and explains, proves and runs what it made. A machine with a GPU is needed only to run kernels on one: everything else,
//! the proof that they are right included, works without.
//!
//! # The stages
//!
//! | stage | room | from → to |
//! |---|---|---|
//! | import | [`onnx`], [`graph::Builder`], [`expr`] | a file, Rust, or a line of text → [`Graph`](graph::Graph) |
//! | simplify | [`passes`] | `Graph` → `Graph`: folding, CSE, algebra, recognised patterns |
//! | fuse | [`mod@fuse`] | `Graph` → [`Plan`](plan::Plan): groups, and a [`Decision`](plan::Decision) for every edge |
//! | schedule | [`schedule`] | chooses vector widths, loop nests, tables |
//! | emit | [`emit`] | [`Kernel`](plan::Kernel) → CUDA text and launch parameters |
//! | compile | [`compile`] | text → cubin or PTX, by NVRTC, cached on disk |
//! | run | [`reference`](mod@reference), [`ptx`], [`runtime`] | on the CPU as the truth, on the CPU from the PTX, on a GPU |
//!
//! [`compiler::Compiler`] runs the stages in order; [`report`] explains what came out.
//!
//! # The specification of the IR
//!
//! **Values.** A [`Graph`](graph::Graph) is made of nodes; a node has ordered operand slots and one or more results. A
//! [`Value`](graph::Value) is one result. Its [`Type`](graph::Type) is an element type ([`DType`](dtype::DType)) and a
//! [`Shape`](shape::Shape), either of which may be unknown behind an op that pointweld does not know. Tensors are dense and row-major.
//!
//! **Dimensions** are integers or polynomials over named symbols ([`Dim`](dim::Dim)): `batch`, `3*h*w`, `floor((h - 1)/(2)) + 1`.
//! Equal dimensions compare equal, whichever way they were computed.
//!
//! **Nodes** are of one of these kinds ([`Kind`](graph::Kind)):
//! * `Input` and `Constant`;
//! * `Pointwise`: a row of the [op table](op). Operands broadcast to one another by NumPy's rule, which is ONNX's; element `i` of the
//!   result is the row's meaning applied to element `i` of each operand. Attributes are constant operands;
//! * `View`: the same elements in another arrangement ([`View`](view::View));
//! * `Anchor`: a matrix product or convolution ([`Anchor`](anchor::Anchor));
//! * `Structural`: known by shape and meaning, bounding fusion ([`Structural`](structural::Structural));
//! * `Opaque`: anything else.
//!
//! **Meaning.** A pointwise node computes its row's exact result ([`Op::eval_exact`](op::Op::eval_exact)) and rounds it once to its
//! element type, half to even; integers wrap. Values become codes and codes values by the rule of [`qparams`]. This is what
//! [`reference::run_graph`] computes.
//!
//! **Plans.** A kernel computes a whole group for each index tuple of its domain. Within a kernel, floats narrower than f32 stay in f32
//! between statements: they are rounded where they are stored, cast or quantized. A kernel's float results lie within the
//! bound that [`reference::bound`] derives from the rows' [`Bound`](op::Bound)s; its integer results, INT8 codes
//! included, equal the exact ones.
//!
//! A node that fusion does not take is a [`Routine`](plan::Routine): one or more kernels of its own, within the bound of its family
//! ([`prove::routine`]). What has none runs on the host, and the plan says why ([`OnHost`](plan::OnHost)).
//!
//! **Invariants** ([`verify`](mod@verify)): no cycles; operands exist; a pointwise node's type follows from its operands'.
//!
//! # One example, walked
//!
//! SiLU between two quantized tensors, the case that INT8 engines get wrong when they quantize the sigmoid and the product apart:
//!
//! ```
//! use pointweld::{compiler::Compiler, dtype::DType, graph::Builder, shape};
//!
//! // The graph, as a QAT exporter writes it: dequantize, sigmoid, mul, quantize.
//! let mut b = Builder::new("silu");
//! let x = b.input("x", DType::I8, shape!["batch", 128, 40, 40]);
//! let real = b.dequantize(x, 0.05, 0);
//! let gate = b.sigmoid(real);
//! let silu = b.mul(real, gate);
//! let y = b.quantize(silu, 0.04, 0, DType::I8);
//! b.output("y", y);
//! let graph = b.finish()?;
//!
//! // The passes recognise sigmoid·x as one op, and fusion makes the whole chain one kernel.
//! let planned = Compiler::new().plan(&graph)?;
//! assert_eq!(planned.plan.kernels().count(), 1);
//!
//! // Its only varying input has 256 codes, so the schedule replaces the arithmetic by a table that is exact by construction.
//! let kernel = planned.plan.kernels().next().unwrap();
//! assert!(kernel.schedule.table.is_some());
//! println!("{}", planned.sources[0].text);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod anchor;
pub mod bench;
pub mod cli;
pub mod compile;
pub mod compiler;
pub mod data;
pub mod demo;
pub mod dim;
pub mod dtype;
pub mod emit;
pub mod expr;
pub mod files;
pub mod fuse;
pub mod graph;
pub mod lock;
pub mod memory;
pub mod minifloat;
pub mod name;
pub mod npy;
pub mod onnx;
pub mod op;
pub mod passes;
pub mod patch;
pub mod plan;
pub mod prove;
pub mod ptx;
pub mod qparams;
pub mod quant;
pub mod reference;
pub mod report;
pub mod runtime;
pub mod scalar;
pub mod schedule;
pub mod shape;
pub mod structural;
pub mod target;
pub mod tensor;
pub mod tune;
pub mod verify;
pub mod view;
