//! The CUDA texts of the conversions, which depend on two types at once: cast, quantize and dequantize.
//!
//! What they mean is said in `op/convert.rs` and `qparams.rs`; here it is said again in instructions. A float type narrower
//! than f32 is held in a `float` (or `double`) whose value is on the type's grid.

use super::literal;
use super::types::Class;
use crate::dtype::DType;
use crate::minifloat::Overflow;

/// `x`, of element type `from` computed in class `at`, as element type `to` computed in class `into`.
pub fn cast(x: &str, from: DType, at: Class, to: DType, into: Class, overflow: Overflow) -> String {
    if to == DType::Bool {
        return match at {
            Class::Int(DType::Bool) => x.to_owned(),
            Class::F32 => format!("{x} != 0.0f"),
            Class::F64 => format!("{x} != 0.0"),
            Class::Int(_) => format!("{x} != 0"),
        };
    }
    match at {
        Class::Int(t) if !to.is_float() => {
            if t == to {
                x.to_owned()
            } else {
                format!("({to}){x}")
            }
        }
        Class::Int(t) => of_integer(x, t, to, into, overflow),
        Class::F32 | Class::F64 if !to.is_float() => match to {
            DType::I32 => format!("pw_to_int({x})"),
            DType::U32 => format!("pw_to_uint({x})"),
            DType::I64 => format!("pw_to_llong({x})"),
            DType::U64 => format!("pw_to_ullong({x})"),
            // Saturated to 32 bits, then wrapped.
            _ => format!("({to})pw_to_int({x})"),
        },
        // The 8-bit floats with infinities saturate them.
        _ if from == to && to.bits() > 8 => x.to_owned(),
        Class::F32 => of_float(x, to, into, overflow),
        Class::F64 => of_double(x, to, into, overflow),
    }
}

/// The function that puts a float on the grid of a narrower float type.
fn round(to: DType, overflow: Overflow) -> String {
    match (to.bits(), overflow) {
        (8, Overflow::Infinity) => format!("round_{to}_unsaturated"),
        _ => format!("round_{to}"),
    }
}

/// An integer to a float type, rounded once as if through f64 (which is exact up to 53 bits, and what the reference does beyond).
fn of_integer(x: &str, from: DType, to: DType, into: Class, overflow: Overflow) -> String {
    if into == Class::F64 {
        return match to {
            DType::F64 => format!("(double){x}"),
            _ => of_double(&format!("(double){x}"), to, into, overflow),
        };
    }
    let float = match from.bits() {
        64 => format!("(float)(double){x}"),
        _ => format!("(float){x}"),
    };
    match to {
        DType::F32 => float,
        // A float holds all integers of 16 bits exactly; of wider ones it holds those that are not beyond f16's and the
        // 8-bit floats' ranges.
        _ if from.bits() <= 16 || to != DType::BF16 => format!("{}({float})", round(to, overflow)),
        _ => format!("{}(to_odd((double){x}))", round(to, overflow)),
    }
}

fn of_float(x: &str, to: DType, into: Class, overflow: Overflow) -> String {
    match to {
        DType::F64 => format!("(double){x}"),
        DType::F32 => x.to_owned(),
        _ if into == Class::F64 => format!("(double){}({x})", round(to, overflow)),
        _ => format!("{}({x})", round(to, overflow)),
    }
}

fn of_double(x: &str, to: DType, into: Class, overflow: Overflow) -> String {
    let float = match to {
        DType::F64 => return x.to_owned(),
        DType::F32 => format!("(float)({x})"),
        _ => format!("{}(to_odd({x}))", round(to, overflow)),
    };
    if into == Class::F64 { format!("(double){float}") } else { float }
}

/// How the quotient of a quantization is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotient {
    /// `x · inverse` rounded; what that misses is someone else's care.
    Near,
    /// The nearest integer to the exact quotient; the inverse is at hand.
    Exact,
    /// The same by an f64 division: for operands that are not floats and for scales at the ends of the range.
    Wide,
}

/// The integral float nearest to `x / scale`, before the zero point is added: NaN for NaN.
pub fn quotient(x: &str, scale: &str, inverse: &str, how: Quotient) -> String {
    match how {
        Quotient::Near => format!("nearest({x} * {inverse})"),
        Quotient::Exact => format!("quotient({x}, {scale}, {inverse})"),
        Quotient::Wide => format!("quotient_or_nan({x}, {scale})"),
    }
}

/// The code, not saturated, from the quotient and the zero point (`None`: zero).
pub fn with_zero_point(quotient: &str, zero_point: Option<&str>) -> String {
    match zero_point {
        None => quotient.to_owned(),
        Some(zero) => format!("number({quotient}) + {zero}"),
    }
}

/// An unsaturated code, which is not NaN, clamped to the range of `to`, as a float.
pub fn saturated(code: &str, to: DType) -> String {
    let (low, high) = to.int_range().unwrap_or((0, 0));
    format!("fminf(fmaxf({code}, {}), {})", literal::float(low as f32), literal::float(high as f32))
}

/// `x / scale` on the grid of an 8-bit float.
pub fn quantize_to_float(x: &str, scale: &str, to: DType, into: Class, overflow: Overflow) -> String {
    let rounded = format!("{}(quotient_odd({x}, {scale}))", round(to, overflow));
    if into == Class::F64 { format!("(double){rounded}") } else { rounded }
}

/// `(x − zero_point) · scale` for a code held in a float or double.
pub fn dequantize(x: &str, zero_point: Option<&str>, scale: &str) -> String {
    match zero_point {
        None => format!("{x} * {scale}"),
        Some(zero) => format!("({x} - {zero}) * {scale}"),
    }
}
