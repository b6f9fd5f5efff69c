//! Rounding to integers. All are exact in every float type.

use super::row::onnx;
use super::{Algebra, Cost, Cuda, Eval, Row, rows};

const ROUNDING: Row =
    Row { algebra: Algebra { idempotent: true, ..Algebra::INCREASING }, cost: Cost::new(1, 0, 0), ..Row::UNARY };

rows! {
    CEIL = Row {
        name: "ceil",
        formula: "the smallest integer >= x",
        onnx: &[onnx("Ceil", 6)],
        elsewhere: &["TensorRT kCEIL", "cuDNN CEIL"],
        eval: Eval::float(|a| a[0].ceil()),
        cuda: Cuda { f32: "ceilf({0})", fast: "", f64: "ceil({0})", int: "" },
        ..ROUNDING
    };
    FLOOR = Row {
        name: "floor",
        formula: "the largest integer <= x",
        onnx: &[onnx("Floor", 6)],
        elsewhere: &["TensorRT kFLOOR", "cuDNN FLOOR"],
        eval: Eval::float(|a| a[0].floor()),
        cuda: Cuda { f32: "floorf({0})", fast: "", f64: "floor({0})", int: "" },
        ..ROUNDING
    };
    ROUND = Row {
        name: "round",
        formula: "the nearest integer, half to even",
        onnx: &[onnx("Round", 11)],
        elsewhere: &["TensorRT kROUND"],
        eval: Eval::float(|a| a[0].round_ties_even()),
        cuda: Cuda { f32: "rintf({0})", fast: "", f64: "rint({0})", int: "" },
        ..ROUNDING
    };
}
