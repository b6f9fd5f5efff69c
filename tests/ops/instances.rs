//! Every op of the table with every tuple of operand types it takes, and values to try it on.

use pointweld::dtype::DType;
use pointweld::op::{self, Op, TypeRule};
use pointweld::scalar::{Number, Scalar};
use std::sync::LazyLock;

/// An op on operands of given types, params included.
#[derive(Debug, Clone)]
pub struct Instance {
    pub op: Op,
    pub operands: Vec<DType>,
    pub result: DType,
}

/// All that the rows' type rules admit, found by asking the rules.
pub static ALL: LazyLock<Vec<Instance>> = LazyLock::new(|| op::table().flat_map(of_row).collect());

fn of_row(row: &'static op::Row) -> Vec<Instance> {
    let targets: Vec<Op> = match row.types {
        TypeRule::Convert | TypeRule::Quantize | TypeRule::Dequantize => {
            DType::ALL.iter().map(|t| Op::to(row, *t)).collect()
        }
        _ => vec![Op::new(row)],
    };
    let mut tuples = vec![Vec::new()];
    for _ in row.operands {
        tuples = tuples.iter().flat_map(|t: &Vec<DType>| DType::ALL.map(|d| [t.as_slice(), &[d]].concat())).collect();
    }
    let mut found = Vec::new();
    for op in targets {
        for tuple in &tuples {
            let operands = [tuple.as_slice(), &vec![DType::F32; row.params.len()]].concat();
            if let Ok(result) = op.result_type(&operands) {
                found.push(Instance { op, operands, result });
            }
        }
    }
    found
}

/// A small generator (splitmix64): the same values in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// An edge one time in four, any bits one time in four, else a value of a moderate size.
    pub fn value(&mut self, t: DType) -> Number {
        let edges = edges(t);
        match self.next() % 8 {
            0 | 1 => edges[self.next() as usize % edges.len()],
            2 | 3 => Scalar::from_bits(t, self.next()).number().rounded_to(t),
            _ if t.is_float() => {
                let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
                let size = libm::exp2((self.next() % 12) as f64 - 6.0);
                Number::Float((2.0 * unit - 1.0) * size).rounded_to(t)
            }
            _ => Number::Int((self.next() % 41) as i128 - 20).rounded_to(t),
        }
    }
}

/// Zeros, ones, ends, infinities, NaN, denormals, ties and thresholds that fall on values of the type.
pub fn edges(t: DType) -> Vec<Number> {
    if let Some((low, high)) = t.int_range() {
        return [0, 1, 2, 3, -1, -2, low, low + 1, high, high - 1].map(|i| Number::Int(i).rounded_to(t)).to_vec();
    }
    let ordinary = [0.0, 1.0, 0.5, 1.5, 2.0, 2.5, 3.0, 6.0, 0.1, 10.0, 20.0, 88.0, 100.0, 104.0, 710.0, 1e4, 1e-4];
    let extreme = [f64::INFINITY, f64::MAX, 3.4e38, 1.2e-38, 1e-40, 1e-45, 5e-324, f64::MIN_POSITIVE, 65504.0, 6e-8];
    let all = ordinary.into_iter().chain(extreme).flat_map(|x| [x, -x]).chain([f64::NAN]);
    all.map(|x| Scalar::new(t, Number::Float(x)).number()).collect()
}

/// Operands for an instance: random values, and for params values near their defaults.
pub fn operands(instance: &Instance, random: &mut Random) -> Vec<Number> {
    let tensors = instance.op.row().operands.len();
    let tensor = instance.operands[..tensors].iter().map(|t| random.value(*t)).collect::<Vec<_>>();
    let params = instance.op.row().params.iter().map(|p| {
        let factor = [1.0, 1.0, 0.5, 1.25, 3.0][random.next() as usize % 5];
        Number::Float(f64::from(p.default.unwrap_or(1.0) * factor))
    });
    let params: Vec<_> = params.collect();
    [tensor, params].concat()
}

/// Equality of bits, NaNs being one value.
pub fn same(a: Number, b: Number) -> bool {
    match (a, b) {
        (Number::Float(x), Number::Float(y)) => x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()),
        _ => a == b,
    }
}
