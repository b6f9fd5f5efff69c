//! Builds kernels as `fuse` would, for tests of what comes after it.

use pointweld::dim::Dim;
use pointweld::dtype::DType;
use pointweld::op::{self, Op};
use pointweld::plan::{Access, Arg, BufferId, Kernel, Load, Product, Schedule, Stmt, Store, layout};
use pointweld::scalar::{Number, Scalar};

/// Writes a body, statement by statement.
pub struct Body {
    kernel: Kernel,
}

impl Body {
    /// The accumulator of the kernel's product.
    pub fn product(&self) -> Arg {
        Arg::Product
    }

    pub fn load(&self, i: u32) -> Arg {
        Arg::Load(i)
    }

    pub fn float(&self, x: f32) -> Arg {
        Arg::Const(Scalar::f32(x))
    }

    pub fn scalar(&self, dtype: DType, x: f64) -> Arg {
        let number = if dtype.is_float() { Number::Float(x) } else { Number::Int(x as i128) };
        Arg::Const(Scalar::new(dtype, number))
    }

    pub fn op(&mut self, op: Op, args: &[Arg]) -> Arg {
        let types: Vec<DType> = args.iter().map(|arg| self.kernel.arg_dtype(*arg)).collect();
        let dtype = op.result_type(&types).unwrap_or_else(|error| panic!("{error}"));
        let name = format!("{}_{}", op.name(), self.kernel.body.len());
        self.kernel.body.push(Stmt { op, args: args.to_vec(), dtype, name });
        Arg::Stmt(self.kernel.body.len() as u32 - 1)
    }

    pub fn cast(&mut self, x: Arg, to: DType) -> Arg {
        self.op(Op::to(&op::CAST, to), &[x])
    }

    pub fn dequantize(&mut self, x: Arg, scale: f32, zero: i64) -> Arg {
        let code = self.kernel.arg_dtype(x);
        let zero = self.scalar(code, zero as f64);
        self.op(Op::to(&op::DEQUANTIZE, DType::F32), &[x, self.float(scale), zero])
    }

    pub fn quantize(&mut self, x: Arg, to: DType, scale: f32, zero: i64) -> Arg {
        let zero = self.scalar(to, zero as f64);
        self.op(Op::to(&op::QUANTIZE, to), &[x, self.float(scale), zero])
    }
}

/// The contents of a kernel's constant operand.
pub fn known(dtype: DType, count: usize, element: impl Fn(usize) -> f64) -> Vec<Scalar> {
    let number = |x: f64| if dtype.is_float() { Number::Float(x) } else { Number::Int(x as i128) };
    (0..count).map(|i| Scalar::new(dtype, number(element(i)))).collect()
}

/// Strides of an operand over a domain.
pub type Strides = fn(&[Dim]) -> Vec<Dim>;

/// The sum of the first two loads.
pub fn add(b: &mut Body) -> Arg {
    b.op(Op::new(&op::ADD), &[b.load(0), b.load(1)])
}

/// As the domain itself.
pub fn dense(domain: &[Dim]) -> Vec<Dim> {
    layout::row_major(domain).unwrap()
}

/// One element for all.
pub fn uniform(domain: &[Dim]) -> Vec<Dim> {
    vec![Dim::ZERO; domain.len()]
}

/// A vector along axis `axis`.
pub fn along(domain: &[Dim], axis: usize) -> Vec<Dim> {
    (0..domain.len()).map(|i| Dim::fixed(i64::from(i == axis))).collect()
}

/// The last two axes exchanged in memory.
pub fn transposed(domain: &[Dim]) -> Vec<Dim> {
    let mut swapped = domain.to_vec();
    let rank = swapped.len();
    swapped.swap(rank - 1, rank - 2);
    let mut strides = layout::row_major(&swapped).unwrap();
    strides.swap(rank - 1, rank - 2);
    strides
}

/// A kernel of one dense store over a domain.
pub fn kernel(domain: &[i64], loads: &[(DType, Strides)], to: DType, body: impl FnOnce(&mut Body) -> Arg) -> Kernel {
    with_product(None, domain, loads, to, body)
}

/// A kernel of one dense store that begins with a product.
pub fn with_product(
    product: Option<Product>,
    domain: &[i64],
    loads: &[(DType, Strides)],
    to: DType,
    body: impl FnOnce(&mut Body) -> Arg,
) -> Kernel {
    let domain: Vec<Dim> = domain.iter().map(|&n| Dim::fixed(n)).collect();
    let access = |strides: Vec<Dim>| Access { offset: Dim::ZERO, strides };
    let load = |(i, (dtype, strides)): (usize, &(DType, Strides))| Load {
        buffer: BufferId(i as u32),
        dtype: *dtype,
        access: access(strides(&domain)),
        known: Vec::new(),
    };
    let loads: Vec<Load> = loads.iter().enumerate().map(load).collect();
    let out = BufferId(loads.len() as u32);
    let kernel = Kernel {
        name: "k0".into(),
        origin: Vec::new(),
        domain: domain.clone(),
        loads,
        body: Vec::new(),
        product: product.map(Box::new),
        stores: Vec::new(),
        broadcasts: Vec::new(),
        schedule: Schedule::default(),
    };
    let mut builder = Body { kernel };
    let value = body(&mut builder);
    let mut kernel = builder.kernel;
    kernel.stores.push(Store { buffer: out, dtype: to, access: access(dense(&domain)), value });
    kernel
}
