//! Runs a generated kernel on every machine that is here and compares every element with the exact result.

use crate::machines;
use pointweld::dim::Bindings;
use pointweld::dtype::DType;
use pointweld::emit::{self, KernelSource};
use pointweld::plan::{Arg, Kernel};
use pointweld::prove::{Outcome, Trial};
use pointweld::reference::{Rounding, body};
use pointweld::scalar::{Number, Scalar};
use pointweld::target::Arch;

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
    /// See `ptx::Options::perturb`.
    pub perturb: Option<u64>,
    /// Element `at` of what load `load` reaches.
    pub element: &'a mut dyn FnMut(usize, DType, usize) -> Scalar,
}

/// As [`prove`] for sm_90, with random data of the name's own.
pub fn check(name: &str, kernel: &Kernel, within: Within) {
    check_at(name, kernel, within, Bindings::new());
}

/// As [`check`], at these sizes.
pub fn check_at(name: &str, kernel: &Kernel, within: Within, bindings: Bindings) {
    let mut noise = Noise(name.bytes().map(u64::from).sum());
    let mut element = |_: usize, dtype: DType, _: usize| noise.element(dtype);
    prove(name, kernel, Setup { arch: Arch::SM_90, bindings, within, perturb: None, element: &mut element });
}

/// Runs `kernel`, with pointers no better aligned than it asks for, and compares.
pub fn prove(name: &str, kernel: &Kernel, setup: Setup) {
    let source = emit::emit(kernel, &emit::Options::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    prove_source(name, kernel, &source, setup);
}

/// The same for a text of that kernel.
pub fn prove_source(name: &str, kernel: &Kernel, source: &KernelSource, setup: Setup) {
    let table = emit::table_of(kernel);
    let trial = Trial::new(kernel, source, &setup.bindings, table.as_deref());
    let mut trial = trial.unwrap_or_else(|error| panic!("{name}: {error}"));
    if trial.count() == 0 {
        assert_eq!(trial.launch.grid, [0, 1, 1], "{name}");
        return;
    }
    for (i, region) in trial.loads.iter_mut().enumerate() {
        let width = region.width();
        let known = &kernel.loads[i].known;
        if !known.is_empty() {
            region.contents = region.part_of(known);
            continue;
        }
        let mut element = |at| (setup.element)(i, region.dtype, at).bits().to_le_bytes();
        region.contents = (0..region.count).flat_map(|at| element(at).into_iter().take(width)).collect();
    }
    let mut outcomes = Vec::new();
    machines::on_each(source, setup.arch, setup.perturb, |machine, it| {
        let outcome = it.run(&trial).unwrap_or_else(|error| panic!("{name} on {machine}: {error}\n{}", source.text));
        outcomes.push((machine.to_string(), outcome));
    });
    compare(name, &trial, &outcomes, setup.within);
}

/// Compares what the machines stored with the exact results.
fn compare(name: &str, trial: &Trial, outcomes: &[(String, Outcome)], within: Within) {
    let kernel = trial.kernel;
    for index in trial.tuples() {
        let number =
            |region: &pointweld::prove::Region| region.element(&region.contents, region.position(&index)).number();
        let numbers: Vec<Number> = trial.loads.iter().map(number).collect();
        let wanted = body::eval(kernel, &numbers, Rounding::Exact);
        let statements = body::statements(kernel, &numbers, Rounding::Exact);
        for (i, (store, region)) in kernel.stores.iter().zip(&trial.stores).enumerate() {
            let exact = match store.value {
                Arg::Stmt(s) => statements[s as usize],
                _ => wanted[i],
            };
            let at = region.position(&index);
            for (machine, outcome) in outcomes {
                let stored = &outcome.stores[i];
                assert!(stored.written[at], "{name} on {machine}: y{i} at {index:?} was not written");
                let found = region.element(&stored.bytes, at);
                assert!(
                    agrees(found, wanted[i], exact, within),
                    "{name} on {machine}: y{i} at {index:?} of {numbers:?} is {found} and should be {:?} ({exact:?})\n{}",
                    wanted[i],
                    trial.source.text
                );
            }
        }
    }
    for (machine, outcome) in outcomes {
        for stored in &outcome.stores {
            let written = stored.written.iter().filter(|written| **written).count() as u64;
            assert_eq!(written, trial.count(), "{name} on {machine}: other elements were written as well");
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
