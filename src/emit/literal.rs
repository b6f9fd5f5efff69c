//! Numbers as C++ literals that mean exactly the number.

use crate::dtype::DType;
use crate::scalar::{Number, Scalar};

/// `x` as a float literal: the shortest decimal that reads back to the same bits.
pub fn float(x: f32) -> String {
    if x.is_nan() {
        return "__int_as_float(0x7fc00000)".to_owned();
    }
    if x.is_infinite() {
        return format!("__int_as_float(0x{:x})", x.to_bits());
    }
    parenthesised(format!("{x:?}f"))
}

/// A word of which both halves are a 16-bit float.
pub fn pair(x: Scalar) -> String {
    format!("0x{0:04x}{0:04x}u", x.bits())
}

/// `x` as a double literal.
pub fn double(x: f64) -> String {
    if x.is_nan() {
        return "__longlong_as_double(0x7ff8000000000000ll)".to_owned();
    }
    if x.is_infinite() {
        return format!("__longlong_as_double(0x{:x}ll)", x.to_bits());
    }
    parenthesised(format!("{x:?}"))
}

/// An integer or bool of type `dtype`.
pub fn integer(dtype: DType, number: Number) -> String {
    let value = number.rounded_to(dtype).as_i128();
    match dtype {
        DType::Bool => (if value != 0 { "true" } else { "false" }).to_owned(),
        // The literal of the smallest integer would be a negation of one that does not fit.
        DType::I64 if value == i128::from(i64::MIN) => "(-9223372036854775807ll - 1)".to_owned(),
        DType::I32 if value == i128::from(i32::MIN) => "(-2147483647 - 1)".to_owned(),
        DType::I64 => parenthesised(format!("{value}ll")),
        DType::U64 => format!("{value}ull"),
        DType::U32 => format!("{value}u"),
        DType::I32 => parenthesised(value.to_string()),
        _ => format!("({}){}", dtype.name(), parenthesised(value.to_string())),
    }
}

/// A negative literal is an expression: `-{0}` of it would be a decrement.
fn parenthesised(text: String) -> String {
    if text.starts_with('-') { format!("({text})") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_exact() {
        assert_eq!(float(0.1), "0.1f");
        assert_eq!(float(1.0), "1.0f");
        assert_eq!(float(-1e-45), "(-1e-45f)");
        assert_eq!(float(-0.0), "(-0.0f)");
        assert_eq!(float(f32::MAX), "3.4028235e38f");
        assert_eq!(float(f32::NEG_INFINITY), "__int_as_float(0xff800000)");
        assert_eq!(double(f64::NAN), "__longlong_as_double(0x7ff8000000000000ll)");
        assert_eq!(integer(DType::I8, Number::Int(-128)), "(i8)(-128)");
        assert_eq!(integer(DType::U64, Number::Int(u64::MAX.into())), "18446744073709551615ull");
        assert_eq!(integer(DType::I64, Number::Int(i64::MIN.into())), "(-9223372036854775807ll - 1)");
        assert_eq!(integer(DType::Bool, Number::Float(f64::NAN)), "true");
    }
}
