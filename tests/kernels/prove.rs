//! Runs a generated kernel's PTX on the CPU and compares every element with the exact result.

use pointweld::compile::{Output, Request, Toolchain};
use pointweld::dim::Bindings;
use pointweld::dtype::DType;
use pointweld::emit::{self, ArgValue, KernelSource};
use pointweld::plan::{Access, Kernel};
use pointweld::ptx::{self, DevPtr, Memory, Module};
use pointweld::reference::{Rounding, body};
use pointweld::scalar::{Number, Scalar};
use pointweld::target::Arch;
use std::sync::LazyLock;

/// Deterministic noise.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An element: one in eight is an edge of the type, half are of ordinary size, the others any bits.
    pub fn element(&mut self, dtype: DType) -> Scalar {
        let bits = self.next();
        let float = |x: f64| Scalar::new(dtype, Number::Float(x));
        match (self.next() % 8, dtype.is_float()) {
            (0, true) => {
                let edges = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.5, -1.5, 1.0, 1e-40, -3e-6];
                float(edges[bits as usize % edges.len()])
            }
            (1..=4, true) => float((bits as i64 >> 32) as f64 / f64::from(1 << 29)),
            (0, false) if dtype != DType::Bool => {
                let (low, high) = dtype.int_range().unwrap();
                let edges = [low, high, 0, 1, low + 1, high - 1];
                Scalar::new(dtype, Number::Int(edges[bits as usize % edges.len()]))
            }
            (1..=4, false) if dtype.bits() > 16 => Scalar::new(dtype, Number::Int(i128::from(bits % 2001) - 1000)),
            (_, false) if dtype == DType::Bool => Scalar::new(dtype, Number::Int((bits & 1).into())),
            _ => Scalar::from_bits(dtype, bits),
        }
    }
}

/// How far stored floats may lie from the exact ones: in units in the last place of the stored type, and absolutely.
#[derive(Clone, Copy)]
pub struct Within {
    pub ulp: f64,
    pub absolute: f64,
}

/// Rounded once.
pub const ROUNDED: Within = Within { ulp: 0.5, absolute: 0.0 };

pub struct Setup<'a> {
    pub arch: Arch,
    pub bindings: Bindings,
    pub within: Within,
    /// Bytes by which every pointer misses a multiple of 256, in elements.
    pub skew: usize,
    /// See `ptx::Options::perturb`.
    pub perturb: Option<u64>,
    /// Element `at` of load `load`.
    pub element: &'a mut dyn FnMut(usize, DType, usize) -> Scalar,
}

static TOOLCHAIN: LazyLock<Toolchain> = LazyLock::new(|| Toolchain::load().unwrap_or_else(|e| panic!("{e}")));

/// Runs `kernel` and compares.
pub fn prove(name: &str, kernel: &Kernel, setup: Setup) {
    let source = emit::emit(kernel, &emit::Options::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let module = module(&source, setup.arch);
    let entry = module.kernel(&source.entry).unwrap();
    let launch = source.launch(kernel, &setup.bindings).unwrap_or_else(|error| panic!("{name}: {error}"));
    let extents: Vec<u64> = kernel.domain.iter().map(|d| d.eval(&setup.bindings).unwrap()).collect();
    let count: u64 = extents.iter().product();
    if count == 0 {
        assert_eq!(launch.grid, [0, 1, 1], "{name}");
        return;
    }
    let mut memory = Memory::new();
    let elements = |access: &Access| span(access, &extents, &setup.bindings);
    let mut contents: Vec<Vec<Scalar>> = Vec::new();
    let mut loads = Vec::new();
    for (i, load) in kernel.loads.iter().enumerate() {
        let values: Vec<Scalar> = (0..elements(&load.access)).map(|at| (setup.element)(i, load.dtype, at)).collect();
        let size = load.dtype.bytes().unwrap();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.bits().to_le_bytes()[..size].to_vec()).collect();
        let buffer = memory.alloc_at_offset(bytes.len(), &format!("x{i}"), setup.skew * size);
        memory.write(buffer, &bytes);
        loads.push(buffer);
        contents.push(values);
    }
    let mut stores = Vec::new();
    for (i, store) in kernel.stores.iter().enumerate() {
        let size = store.dtype.bytes().unwrap();
        stores.push(memory.alloc_at_offset(elements(&store.access) * size, &format!("y{i}"), setup.skew * size));
    }
    let table = emit::table_of(kernel).map(|bytes| memory.alloc_from(&bytes, "table"));
    let args = launch.args.iter().map(|arg| argument(*arg, &loads, &stores, table)).collect();
    let launch = ptx::Launch { grid: launch.grid, block: launch.block, dynamic_shared: launch.dynamic_shared, args };
    let options = ptx::Options { perturb: setup.perturb, block_conflicts: true, ..ptx::Options::default() };
    ptx::run(entry, &launch, &mut memory, &options).unwrap_or_else(|fault| panic!("{name}: {fault}\n{}", source.text));

    for flat in 0..count {
        let index = unflatten(flat, &extents);
        let numbers: Vec<Number> = kernel
            .loads
            .iter()
            .zip(&contents)
            .map(|(load, values)| values[load.access.at(&index, &setup.bindings).unwrap() as usize].number())
            .collect();
        let wanted = body::eval(kernel, &numbers, Rounding::Exact);
        for (i, store) in kernel.stores.iter().enumerate() {
            let size = store.dtype.bytes().unwrap();
            let at = store.access.at(&index, &setup.bindings).unwrap() as usize * size;
            let found = stores[i].offset(at as i64);
            assert_eq!(memory.first_unwritten(found, size), None, "{name}: y{i} at {index:?} was not written");
            let mut bits = [0; 8];
            bits[..size].copy_from_slice(&memory.read(found)[..size]);
            let found = Scalar::from_bits(store.dtype, u64::from_le_bytes(bits));
            let statements = body::statements(kernel, &numbers, Rounding::Exact);
            let exact = match store.value {
                pointweld::plan::Arg::Stmt(s) => statements[s as usize],
                _ => wanted[i],
            };
            let same = agrees(found, wanted[i], exact, setup.within);
            assert!(
                same,
                "{name}: y{i} at {index:?} of {numbers:?} is {found} and should be {:?} ({exact:?})\n{}",
                wanted[i], source.text
            );
        }
    }
}

/// True if `found` is the exact value rounded to its type, or a float within bounds of it.
fn agrees(found: Scalar, rounded: Number, exact: Number, within: Within) -> bool {
    let (Number::Float(got), Number::Float(rounded), Number::Float(exact)) = (found.number(), rounded, exact) else {
        return found.number() == rounded;
    };
    if got == rounded || (got.is_nan() && rounded.is_nan()) {
        return true;
    }
    let ulp = spacing(found.dtype(), exact);
    (got - exact).abs() <= within.ulp * ulp + within.absolute
        || (got.is_infinite() && (exact.abs() >= largest(found.dtype()) - ulp))
}

fn largest(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 65504.0,
        DType::BF16 => 3.38e38,
        DType::F32 => f64::from(f32::MAX),
        _ => f64::MAX,
    }
}

/// The distance of neighbouring numbers of the type at `x`.
fn spacing(dtype: DType, x: f64) -> f64 {
    let (mantissa, smallest) = match dtype {
        DType::F64 => (52, -1022),
        DType::F32 => (23, -126),
        DType::F16 => (10, -14),
        DType::BF16 => (7, -126),
        _ => return 0.0,
    };
    let exponent = if x == 0.0 || !x.is_finite() { smallest } else { (x.abs().log2().floor() as i32).max(smallest) };
    2f64.powi(exponent - mantissa)
}

fn module(source: &KernelSource, arch: Arch) -> Module {
    let request = Request { source: &source.text, kernel: &source.entry, arch, output: Output::Ptx, options: &[] };
    let compiled = TOOLCHAIN.compile(&request).unwrap_or_else(|error| panic!("{error}\n{}", source.text));
    Module::parse(std::str::from_utf8(&compiled.bytes).unwrap()).unwrap_or_else(|e| panic!("{e}\n{}", source.text))
}

fn argument(arg: ArgValue, loads: &[DevPtr], stores: &[DevPtr], table: Option<DevPtr>) -> ptx::Arg {
    match arg {
        ArgValue::Load { index, offset, .. } => loads[index as usize].offset(offset).into(),
        ArgValue::Store { index, offset, .. } => stores[index as usize].offset(offset).into(),
        ArgValue::Table { .. } => table.unwrap().into(),
        ArgValue::U32(x) => x.into(),
        ArgValue::I32(x) => x.into(),
        ArgValue::U64(x) => x.into(),
        ArgValue::I64(x) => x.into(),
        ArgValue::F32(x) => x.into(),
        ArgValue::F64(x) => x.into(),
    }
}

fn unflatten(mut flat: u64, extents: &[u64]) -> Vec<u64> {
    let mut index = vec![0; extents.len()];
    for (i, extent) in extents.iter().enumerate().rev() {
        index[i] = flat % extent;
        flat /= extent;
    }
    index
}

/// Elements that a buffer needs for an access.
fn span(access: &Access, extents: &[u64], bindings: &Bindings) -> usize {
    let mut last = access.offset.eval_signed(bindings).unwrap();
    for (stride, extent) in access.strides.iter().zip(extents) {
        last += stride.eval_signed(bindings).unwrap().max(0) * (*extent as i64 - 1).max(0);
    }
    last as usize + 1
}
