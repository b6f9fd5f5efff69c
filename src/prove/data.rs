//! Data that finds mistakes: every code of a byte, tails, and the values that arithmetic treats apart.

use crate::dtype::DType;
use crate::scalar::{Number, Scalar};

/// Codes of a 16-bit type.
const CODES: usize = 1 << 16;

/// Fills a tensor's elements. `operand` tells operands apart, so that two 8-bit ones meet in every combination within 65,536
/// elements.
pub fn fill(random: &mut fastrand::Rng, dtype: DType, count: usize, operand: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count * dtype.bytes().unwrap_or(1));
    // Every code of 16 bits as well, where there is room.
    let codes = if dtype.bits() == 16 && count > CODES { CODES } else { 0 };
    for i in 0..count {
        let bits = if i < codes { i as u64 } else { element(random, dtype, i, operand).bits() };
        bytes.extend_from_slice(&bits.to_le_bytes()[..dtype.bytes().unwrap_or(1)]);
    }
    bytes
}

/// Fills a factor of a product: finite floats, because one NaN would hide a whole row, and any codes.
pub fn factor(random: &mut fastrand::Rng, dtype: DType, count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count * dtype.bytes().unwrap_or(1));
    for _ in 0..count {
        let element = match dtype.is_float() {
            true => match random.u8(..) {
                0..8 => Scalar::new(dtype, Number::Float([0.0, -0.0, 6e-8, -1e-40][random.usize(..4)])),
                _ => Scalar::new(dtype, Number::Float((0..3).map(|_| 2.0 * random.f64() - 1.0).sum())),
            },
            false => Scalar::from_bits(dtype, random.u64(..)),
        };
        bytes.extend_from_slice(&element.bits().to_le_bytes()[..dtype.bytes().unwrap_or(1)]);
    }
    bytes
}

fn element(random: &mut fastrand::Rng, dtype: DType, i: usize, operand: usize) -> Scalar {
    match dtype {
        DType::Bool => Scalar::from_bits(dtype, u64::from(random.bool())),
        _ if dtype.bits() == 8 => Scalar::from_bits(dtype, (i >> (8 * (operand % 2))) as u64),
        _ if dtype.is_float() => float(random, dtype),
        // Small integers meet each other; full-width ones overflow.
        _ if random.u8(..) < 128 => Scalar::new(dtype, Number::Int(random.i64(-20..=20).into())),
        _ => Scalar::from_bits(dtype, random.u64(..)),
    }
}

fn float(random: &mut fastrand::Rng, dtype: DType) -> Scalar {
    const SPECIAL: [f64; 14] =
        [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0, -1.0, 0.5, -0.5, 1e-40, -1e-40, 6e-8, 3e38, -3e38];
    match random.u8(..) {
        0..16 => Scalar::new(dtype, Number::Float(SPECIAL[random.usize(..SPECIAL.len())])),
        // Any bits: all exponents alike.
        16..48 => Scalar::from_bits(dtype, random.u64(..)),
        // What networks hold: the sum of three uniform numbers is near normal.
        n => {
            let near_normal = (0..3).map(|_| 2.0 * random.f64() - 1.0).sum::<f64>();
            let scale = if n < 64 { 40.0 } else { 3.0 };
            Scalar::new(dtype, Number::Float(near_normal * scale))
        }
    }
}
