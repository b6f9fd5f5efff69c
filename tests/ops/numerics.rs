//! The CUDA texts against the meanings: NVRTC's PTX of every text, run on the interpreter over dense samples and edges, with
//! approximate instructions correctly rounded and then moved within their documented errors; and its machine code on the GPU, where
//! one answers.
//!
//! `cargo test --test ops numerics -- --nocapture` prints the largest error of every text beside its bound.

use crate::execute::Texts;
use crate::instances::{Instance, Random, edges};
use crate::texts::{c_type, kernel, with_text};
use pointweld::dtype::DType;
use pointweld::emit::prelude::prelude_for;
use pointweld::minifloat;
use pointweld::op::Deviation;
use pointweld::scalar::{Number, Scalar};
use pointweld::target::Arch;
use std::collections::BTreeMap;

/// One text of one instance, with values for its params.
struct Case {
    kernel: String,
    instance: &'static Instance,
    kind: Kind,
    params: Vec<f64>,
}

/// Which of a row's texts.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Accurate,
    Fast,
    /// For operands that are finite.
    Finite,
    /// With less of the slow unit.
    Relief,
}

impl Case {
    fn text(&self) -> &'static str {
        match self.kind {
            Kind::Finite => self.instance.op.row().finite,
            Kind::Relief => self.instance.op.row().relief,
            kind => self.instance.op.text(&self.instance.operands, kind == Kind::Fast),
        }
    }
}

/// Every text of the instances chosen, each with its default params and some others.
fn cases(wanted: impl Fn(&Instance) -> bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for instance in with_text().into_iter().filter(|i| wanted(i)) {
        let params = instance.op.row().params;
        let settings: &[f32] = if params.is_empty() { &[1.0] } else { &[1.0, 0.5, 3.0] };
        for factor in settings {
            for kind in [Kind::Accurate, Kind::Fast, Kind::Finite, Kind::Relief] {
                let value = |default: f32| if default == 0.0 { factor - 1.0 } else { default * factor };
                let params = params.iter().map(|p| f64::from(value(p.default.unwrap_or(1.0)))).collect();
                let case = Case { kernel: format!("k{}", cases.len()), instance, kind, params };
                let float = c_type(instance.operands[0]) == "float";
                let new = kind == Kind::Accurate || case.text() != instance.op.text(&instance.operands, false);
                if new && !case.text().is_empty() && (float || matches!(kind, Kind::Accurate | Kind::Fast)) {
                    cases.push(case);
                }
            }
        }
    }
    cases
}

fn texts(cases: &[Case], arch: Arch) -> Texts {
    let kernels: String = cases.iter().map(|c| kernel(&c.kernel, c.instance, c.text(), &c.params)).collect();
    // The GPU compiles for itself: once is enough.
    Texts::compile(&(prelude_for(&kernels) + &kernels), arch, arch == Arch::SM_90)
}

/// The type whose bytes an array of values of type `t` holds: that of the C type.
fn array_type(t: DType) -> DType {
    match c_type(t) {
        "float" => DType::F32,
        _ => t,
    }
}

fn bytes(values: &[Number], t: DType) -> Vec<u8> {
    let size = t.bytes().unwrap();
    values.iter().flat_map(|v| Scalar::new(t, *v).bits().to_le_bytes()[..size].to_vec()).collect()
}

fn numbers(bytes: &[u8], t: DType) -> Vec<Number> {
    let read = |chunk: &[u8]| chunk.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
    bytes.chunks(t.bytes().unwrap()).map(|chunk| Scalar::from_bits(t, read(chunk)).number()).collect()
}

/// What the kernel of a case makes of these operands on each machine: on the interpreter once for each of `seeds`, and on the GPU.
fn execute(texts: &Texts, case: &Case, operands: &[Vec<Number>], seeds: &[Option<u64>]) -> Vec<(String, Vec<Number>)> {
    let types = case.instance.operands.iter().map(|t| array_type(*t));
    let memory: Vec<Vec<u8>> = operands.iter().zip(types).map(|(x, t)| bytes(x, t)).collect();
    let result = array_type(case.instance.result);
    let (count, size) = (operands[0].len(), operands[0].len() * result.bytes().unwrap());
    let interpreted = seeds.iter().map(|seed| {
        let found = texts.interpret(&case.kernel, &memory, count, size, *seed);
        (format!("interpreted, seed {seed:?}"), numbers(&found, result))
    });
    let on_gpu = texts.on_gpu(&case.kernel, &memory, count, size);
    interpreted.chain(on_gpu.map(|found| ("on the GPU".to_owned(), numbers(&found, result)))).collect()
}

/// The largest error of a text, in ulp beyond its absolute allowance, and where.
#[derive(Default)]
struct Worst {
    ulp: f64,
    machine: String,
    at: Vec<f64>,
    got: f64,
    exact: f64,
}

/// The spacing of the compute type at `x`.
fn ulp(x: f64, double: bool) -> f64 {
    let (mantissa, least, most) = if double { (52, -1022, 1023) } else { (23, -126, 127) };
    let exponent = if x == 0.0 || x.is_nan() { least } else { libm::ilogb(x).clamp(least, most) };
    libm::scalbn(1.0, exponent - mantissa)
}

/// The error in ulp of the exact result, what `abs` allows taken off; infinite for a wrong NaN or infinity.
fn error(got: f64, exact: f64, abs: f64, double: bool) -> f64 {
    if got.is_nan() || exact.is_nan() {
        return if got.is_nan() && exact.is_nan() { 0.0 } else { f64::INFINITY };
    }
    // Where the exact result is beyond the type's largest value, infinity stands for the next value that it would have.
    let next = if double { f64::INFINITY } else { libm::scalbn(1.0, 128) };
    let got = if got.is_infinite() { next.copysign(got) } else { got };
    let exact = if exact.abs() > next { next.copysign(exact) } else { exact };
    if got == exact {
        return 0.0;
    }
    ((got - exact).abs() - abs).max(0.0) / ulp(exact, double)
}

/// Whether the text computes in double.
fn is_double(instance: &Instance) -> bool {
    instance.result == DType::F64 || (instance.result == DType::Bool && instance.operands[0] == DType::F64)
}

fn bound(case: &Case) -> Deviation {
    let bound = &case.instance.op.row().bound;
    match (case.kind != Kind::Accurate, is_double(case.instance)) {
        (true, _) => bound.fast,
        (_, true) => bound.f64,
        _ => bound.f32,
    }
}

/// All finite and infinite f16 and bf16 values, then a random sample of f32.
fn dense() -> Vec<Number> {
    let half = (0..1u64 << 16).map(|code| minifloat::decode(DType::F16, code));
    let brain = (0..1u64 << 16).map(|code| minifloat::decode(DType::BF16, code));
    let mut random = Random(3);
    let spread = (0..1 << 15).map(|_| random.value(DType::F32).as_f64()).collect::<Vec<_>>();
    half.chain(brain).chain(spread).map(Number::Float).collect()
}

/// Operands for a case: for one f32 operand the dense sample, else all pairs of edges and a random sample.
fn sample(case: &Case, dense: &[Number]) -> Vec<Vec<Number>> {
    let types = &case.instance.operands[..case.instance.op.row().operands.len()];
    if types == [DType::F32] {
        let finite = |x: &&Number| case.kind != Kind::Finite || x.as_f64().is_finite();
        return vec![dense.iter().filter(finite).copied().collect()];
    }
    let mut random = Random(4);
    let mut columns = vec![Vec::new(); types.len()];
    let lists: Vec<Vec<Number>> = types.iter().map(|t| edges(*t)).collect();
    let pairs = lists[0].len() * lists[lists.len() - 1].len();
    for i in 0..pairs + 20_000 {
        for (slot, t) in types.iter().enumerate() {
            let list = &lists[slot];
            let edge = if slot == 0 { list[i % list.len()] } else { list[i / lists[0].len() % list.len()] };
            columns[slot].push(if i < pairs { edge } else { random.value(*t) });
        }
    }
    columns
}

/// The largest error of each text of these cases, by op and compute type, and what its row allows.
type Table = BTreeMap<(String, &'static str), (Worst, Deviation)>;

fn measure(cases: &[Case], arch: Arch) -> Table {
    let texts = texts(cases, arch);
    let dense = dense();
    let mut table = Table::new();
    for case in cases {
        let (operands, double, allowed) = (sample(case, &dense), is_double(case.instance), bound(case));
        let params = || case.params.iter().map(|p| Number::Float(*p));
        let exact = |i: usize| {
            let x: Vec<Number> = operands.iter().map(|column| column[i]).chain(params()).collect();
            case.instance.op.eval_exact(&x, case.instance.result).as_f64()
        };
        let exact: Vec<f64> = (0..operands[0].len()).map(exact).collect();
        let kind = match (case.kind, double) {
            (Kind::Fast, _) => "fast",
            (Kind::Finite, _) => "finite",
            (Kind::Relief, _) => "relief",
            (_, true) => "f64",
            _ => "f32",
        };
        let allowances = match kind {
            "fast" | "finite" => vec![(kind, allowed), ("codes", case.instance.op.row().bound.codes)],
            _ => vec![(kind, allowed)],
        };
        let mut worst: Vec<Worst> = allowances.iter().map(|_| Worst::default()).collect();
        // CUDA's double functions count on more of their approximate seeds than the ISA states.
        let seeds: &[_] = if double { &[None] } else { &[None, Some(1)] };
        for (machine, found) in execute(&texts, case, &operands, seeds) {
            for (i, got) in found.into_iter().enumerate() {
                for ((_, allowed), worst) in allowances.iter().zip(&mut worst) {
                    let ulp = error(got.as_f64(), exact[i], allowed.abs, double);
                    if ulp > worst.ulp {
                        let at = operands.iter().map(|column| column[i].as_f64()).collect();
                        *worst = Worst { ulp, machine: machine.clone(), at, got: got.as_f64(), exact: exact[i] };
                    }
                }
            }
        }
        for ((kind, allowed), worst) in allowances.into_iter().zip(worst) {
            let entry = table.entry((case.instance.op.to_string(), kind)).or_insert((Worst::default(), allowed));
            if worst.ulp > entry.0.ulp {
                entry.0 = worst;
            }
        }
    }
    table
}

/// Prints the table and fails on any text beyond its bound.
fn judge(table: &Table) {
    let mut failed = Vec::new();
    for ((op, kind), (worst, allowed)) in table {
        let place = match worst.ulp {
            0.0 => String::new(),
            _ => format!(" at {:?}: {:e}, exactly {:e}; {}", worst.at, worst.got, worst.exact, worst.machine),
        };
        let line = format!("{op:18} {kind:5} {:9.3} of {allowed}{place}", worst.ulp);
        println!("{line}");
        // The exact result is itself rounded, to f64.
        if worst.ulp > allowed.ulp * (1.0 + 1e-6) {
            failed.push(line);
        }
    }
    assert!(failed.is_empty(), "beyond their bounds:\n{}", failed.join("\n"));
}

fn on_floats(i: &Instance) -> bool {
    let types = &i.operands[..i.op.row().operands.len()];
    types.iter().all(|t| matches!(t, DType::F32 | DType::F64 | DType::Bool)) && types.iter().any(|t| t.is_float())
}

#[test]
fn float_texts_are_within_their_bounds() {
    judge(&measure(&cases(on_floats), Arch::SM_90));
}

/// sm_75 lacks the maximum and minimum that keep NaN; the prelude has another text for it.
#[test]
fn texts_that_differ_on_sm_75_are_within_their_bounds_there() {
    let differs = |i: &Instance| prelude_for(i.op.row().cuda.f32).contains("__CUDA_ARCH__");
    let cases = cases(|i| on_floats(i) && differs(i));
    assert!(!cases.is_empty());
    judge(&measure(&cases, Arch::SM_75));
}

/// All values of one operand of up to 16 bits, all pairs of values of 8-bit types and of bool; a sample of the wider ones.
fn integers(case: &Case) -> Vec<Vec<Number>> {
    let types = &case.instance.operands[..case.instance.op.row().operands.len()];
    let all = |t: DType| (0..1u64 << t.bits()).map(move |bits| Scalar::from_bits(t, bits).number().rounded_to(t));
    match *types {
        [a] if a.bits() <= 16 => vec![all(a).collect()],
        [a, b] if a.bits() == 8 && b.bits() == 8 => {
            all(a).flat_map(|x| all(b).map(move |y| [x, y])).fold(vec![Vec::new(); 2], |mut columns, pair| {
                columns.iter_mut().zip(pair).for_each(|(column, value)| column.push(value));
                columns
            })
        }
        _ => sample(case, &[]),
    }
}

#[test]
fn integer_texts_are_exact() {
    let cases = cases(|i| i.operands.iter().take(i.op.row().operands.len()).any(|t| !t.is_float()));
    // The texts of integers hold nothing that differs between architectures, except what NVRTC makes of them.
    for arch in [Arch::SM_75, Arch::SM_90] {
        let texts = texts(&cases, arch);
        for case in &cases {
            let operands = integers(case);
            let allowed = if case.instance.result.is_float() { bound(case) } else { Deviation::EXACT };
            for (machine, found) in execute(&texts, case, &operands, &[None]) {
                for (i, got) in found.into_iter().enumerate() {
                    let x: Vec<Number> = operands.iter().map(|column| column[i]).collect();
                    let exact = case.instance.op.eval_exact(&x, case.instance.result);
                    let right = is_right(case, got, exact, allowed);
                    assert!(right, "{arch}, {machine}: {:?} {x:?}: {got:?}, exactly {exact:?}", case.instance);
                }
            }
        }
    }
}

fn is_right(case: &Case, got: Number, exact: Number, allowed: Deviation) -> bool {
    match exact {
        // A float power may differ by a unit in the last place of f64 before it is truncated.
        Number::Int(y) if case.instance.operands.iter().any(|t| t.is_float()) => {
            let unused = 128 - case.instance.result.bits();
            let off = (got.as_i128() - y) << unused >> unused;
            off.abs() as f64 <= 1.0 + y.abs() as f64 * libm::exp2(-51.0)
        }
        Number::Int(_) => got == exact,
        Number::Float(y) => error(got.as_f64(), y, allowed.abs, is_double(case.instance)) <= allowed.ulp * (1.0 + 1e-6),
    }
}
