//! The built-in model: the C3 block of YOLOv5, quantized to INT8 as a QAT exporter writes it.
//!
//! ```text
//! x ─ cv1 ─ cv1' ─ cv2' ─ add ─ concat ─ cv3 ─ y        every cv is conv → SiLU, with Q/DQ on its input and its weights
//! │    └───────────────────┘      │
//! └── cv2 ────────────────────────┘
//! ```
//!
//! The activations between two convolutions are quantized once, after the SiLU: quantizing the sigmoid and the product
//! apart is what costs YOLOv5s most of its accuracy.

use crate::anchor::{Anchor, Conv};
use crate::dtype::DType;
use crate::graph::{BuildError, Builder, Graph, Kind, Node, Type, Value};
use crate::scalar::Number;
use crate::shape;
use crate::tensor::Tensor;
use crate::view::View;

/// Channels of the block's input and output; its inner branches have half as many.
const CHANNELS: usize = 64;
/// Height and width.
const SIZE: usize = 40;

/// The block, for inputs f32 `x` of shape (batch, 64, 40, 40) with values in about ±3. Weights are random, of seed 1.
///
/// # Errors
/// None for this graph; the builder's result is passed on.
pub fn c3_block() -> Result<Graph, BuildError> {
    let half = CHANNELS / 2;
    let mut block = Block { b: Builder::new("yolov5_c3_int8"), random: fastrand::Rng::with_seed(1) };
    let x = block.b.input("x", DType::F32, shape!["batch", CHANNELS, SIZE, SIZE]);
    let x = block.fake_quantize(x, 3.0 / 127.0, 0);
    let cv1 = block.conv_silu("cv1", x, CHANNELS, half, 1);
    let cv1 = block.fake_quantize(cv1, SILU_SCALE, SILU_ZERO_POINT);
    let inner = block.conv_silu("m.cv1", cv1, half, half, 1);
    let inner = block.fake_quantize(inner, SILU_SCALE, SILU_ZERO_POINT);
    let inner = block.conv_silu("m.cv2", inner, half, half, 3);
    let sum = block.b.add(cv1, inner);
    let cv2 = block.conv_silu("cv2", x, CHANNELS, half, 1);
    let ty = Type::new(DType::F32, shape!["batch", CHANNELS, SIZE, SIZE]);
    let concat = Node::new(Kind::View(View::Concat { axis: 1 }), "concat", ty).with_origin("concat", "Concat");
    let both = block.b.node(concat, &[sum, cv2]).value();
    let both = block.fake_quantize(both, 1.5 * SILU_SCALE, SILU_ZERO_POINT);
    let y = block.conv_silu("cv3", both, CHANNELS, CHANNELS, 1);
    let codes = block.b.quantize(y, SILU_SCALE, SILU_ZERO_POINT, DType::I8);
    block.b.output("y", codes);
    block.b.finish()
}

/// SiLU's range begins at −0.278, so a symmetric range would waste nearly half of the codes.
const SILU_SCALE: f32 = 4.3 / 255.0;
const SILU_ZERO_POINT: i32 = -111;

struct Block {
    b: Builder,
    random: fastrand::Rng,
}

impl Block {
    /// Quantize and dequantize: what a Q/DQ pair in a model does.
    fn fake_quantize(&mut self, x: Value, scale: f32, zero_point: i32) -> Value {
        let codes = self.b.quantize(x, scale, zero_point, DType::I8);
        self.b.dequantize(codes, scale, zero_point)
    }

    /// A convolution of `kernel`×`kernel` that keeps the size, with INT8 weights per channel, bias, and SiLU as exporters write it.
    fn conv_silu(&mut self, name: &str, x: Value, from: usize, to: usize, kernel: usize) -> Value {
        let taps = from * kernel * kernel;
        let codes = (0..to * taps).map(|_| Number::Int(self.random.i8(-127..=127).into()));
        let codes: Vec<Number> = codes.collect();
        // Uniform codes of this scale give the convolution's result about the spread of its input.
        let spread = (3.0 / taps as f64).sqrt() / 127.0;
        let scales: Vec<f64> = (0..to).map(|_| spread * (0.8 + 0.4 * self.random.f64())).collect();
        let bias: Vec<f64> = (0..to).map(|_| self.random.f64() - 0.5).collect();
        let constant = |dtype, sizes: &[usize], numbers: Vec<Number>| {
            // The sizes are products of this function's own arguments.
            Tensor::from_numbers(dtype, sizes, numbers).expect("as many numbers as the sizes say")
        };
        let floats = |values: Vec<f64>| values.into_iter().map(Number::Float).collect::<Vec<_>>();
        let zeros = vec![Number::Int(0); to];
        let codes = constant(DType::I8, &[to, from, kernel, kernel], codes);
        let scales = constant(DType::F32, &[to, 1, 1, 1], floats(scales));
        let zeros = constant(DType::I8, &[to, 1, 1, 1], zeros);
        let bias = constant(DType::F32, &[to], floats(bias));
        let codes = self.b.constant(&format!("{name}.weight"), codes);
        let scales = self.b.constant(&format!("{name}.weight_scale"), scales);
        let zeros = self.b.constant(&format!("{name}.weight_zero_point"), zeros);
        let bias = self.b.constant(&format!("{name}.bias"), bias);
        let to_f32 = crate::op::Op::to(&crate::op::DEQUANTIZE, DType::F32);
        let weight = self.b.apply(to_f32, &[codes.into(), scales.into(), zeros.into()]);
        let conv = Conv {
            kernel: vec![kernel; 2],
            strides: vec![1; 2],
            dilations: vec![1; 2],
            pads: vec![(kernel / 2, kernel / 2); 2],
            groups: 1,
            bias: true,
        };
        let ty = Type::new(DType::F32, shape!["batch", to, SIZE, SIZE]);
        let name = format!("{name}.conv");
        let conv = Node::new(Kind::Anchor(Anchor::Conv(conv)), &name, ty).with_origin(&name, "Conv");
        let conv = self.b.node(conv, &[x, weight, bias]).value();
        let gate = self.b.sigmoid(conv);
        self.b.mul(conv, gate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_well_formed() {
        let graph = c3_block().unwrap();
        crate::verify::verify(&graph).unwrap();
        assert_eq!(graph.ty(graph.outputs()[0].1).to_string(), "Int8(batch,64,40,40)");
        assert_eq!(graph.ids().filter(|id| matches!(graph.node(*id).kind, Kind::Anchor(_))).count(), 5);
    }
}
