//! Anchors and structural ops of the CPU reference against their definitions.

use pointweld::anchor::{Anchor, Conv};
use pointweld::dtype::DType;
use pointweld::graph::{Graph, Kind, Node, Type};
use pointweld::reference::{Options, run_graph};
use pointweld::structural::{DynamicView, Pool, Reduction, Structural};
use pointweld::tensor::Tensor;
use proptest::prelude::*;

/// Executes one node on given operands; the types of its results are not declared.
fn run(kind: Kind, outputs: usize, operands: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let mut graph = Graph::new("one node");
    let mut inputs = Vec::new();
    let names: Vec<String> = (0..operands.len()).map(|i| format!("x{i}")).collect();
    for (name, t) in names.iter().zip(operands) {
        let ty = Type::new(t.dtype(), t.shape());
        inputs.push(graph.add(Node::new(Kind::Input, name, ty), &[]).value());
    }
    let mut node = Node::new(kind, "y0", Type::default());
    for i in 1..outputs {
        node.outputs.push(pointweld::graph::Output { name: format!("y{i}"), ty: Type::default() });
    }
    let id = graph.add(node, &inputs);
    for port in 0..outputs {
        graph.mark_output(&format!("y{port}"), pointweld::graph::Value { node: id, port: port as u32 });
    }
    let inputs: Vec<(String, Tensor)> = names.into_iter().zip(operands.iter().cloned()).collect();
    let results = run_graph(&graph, &inputs, &Options::default()).map_err(|e| e.to_string())?;
    Ok(results.into_iter().map(|(_, t)| t).collect())
}

fn one(op: Structural, operands: &[Tensor]) -> Tensor {
    run(Kind::Structural(op), 1, operands).unwrap().remove(0)
}

fn f32s(sizes: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_slice(sizes, values).unwrap()
}

fn i64s(sizes: &[usize], values: &[i64]) -> Tensor {
    Tensor::from_slice(sizes, values).unwrap()
}

/// Small whole numbers: sums of their products are exact in f32, so results can be compared bit for bit.
fn whole(sizes: &[usize], seed: usize) -> Tensor {
    let n: usize = sizes.iter().product();
    let values: Vec<f32> = (0..n).map(|i| ((i * 7 + seed * 13 + i / 5) % 9) as f32 - 4.0).collect();
    f32s(sizes, &values)
}

/// A convolution over two spatial axes by its definition.
fn naive(c: &Conv, x: &Tensor, w: &Tensor, b: &[f64]) -> Vec<f64> {
    let (xs, ws) = (x.sizes(), w.sizes());
    let (x, w) = (x.to_f64(), w.to_f64());
    let out =
        |a: usize| (xs[2 + a] + c.pads[a].0 + c.pads[a].1 - (c.kernel[a] - 1) * c.dilations[a] - 1) / c.strides[a] + 1;
    let (oh, ow) = (out(0), out(1));
    let (cg, mg) = (xs[1] / c.groups, ws[0] / c.groups);
    let mut y = Vec::new();
    for (n, m) in (0..xs[0]).flat_map(|n| (0..ws[0]).map(move |m| (n, m))) {
        for (i, j) in (0..oh).flat_map(|i| (0..ow).map(move |j| (i, j))) {
            let mut sum = b[m];
            for k in 0..cg {
                for (p, q) in (0..c.kernel[0]).flat_map(|p| (0..c.kernel[1]).map(move |q| (p, q))) {
                    let h = (i * c.strides[0] + p * c.dilations[0]).wrapping_sub(c.pads[0].0);
                    let v = (j * c.strides[1] + q * c.dilations[1]).wrapping_sub(c.pads[1].0);
                    if h < xs[2] && v < xs[3] {
                        let channel = m / mg * cg + k;
                        sum += x[((n * xs[1] + channel) * xs[2] + h) * xs[3] + v]
                            * w[((m * cg + k) * c.kernel[0] + p) * c.kernel[1] + q];
                    }
                }
            }
            y.push(sum);
        }
    }
    y
}

prop_compose! {
    fn convolutions()(
        kernel in prop::array::uniform2(1usize..4), strides in prop::array::uniform2(1usize..4),
        dilations in prop::array::uniform2(1usize..3), pads in prop::array::uniform2((0usize..3, 0usize..3)),
        groups in 1usize..4, bias in any::<bool>(),
    ) -> Conv {
        Conv { kernel: kernel.to_vec(), strides: strides.to_vec(), dilations: dilations.to_vec(), pads: pads.to_vec(), groups, bias }
    }
}

proptest! {
    #[test]
    fn convolutions_are_those_of_the_definition(
        conv in convolutions(), batch in 1usize..3, cg in 1usize..4, mg in 1usize..4, h in 6usize..12, w in 6usize..12,
    ) {
        let x = whole(&[batch, cg * conv.groups, h, w], 1);
        let weights = whole(&[mg * conv.groups, cg, conv.kernel[0], conv.kernel[1]], 2);
        let b = whole(&[mg * conv.groups], 3);
        let zero = vec![0.0; mg * conv.groups];
        let expected = naive(&conv, &x, &weights, &if conv.bias { b.to_f64() } else { zero });
        let mut operands = vec![x, weights];
        operands.extend(conv.bias.then_some(b));
        let y = run(Kind::Anchor(Anchor::Conv(conv.clone())), 1, &operands).unwrap().remove(0);
        prop_assert_eq!(y.to_f64(), expected.clone());
        // The same in f64 and, exact for these sums, in integers.
        let wide: Vec<Tensor> = operands.iter().map(|t| Tensor::from_f64(DType::F64, t.sizes(), &t.to_f64()).unwrap()).collect();
        prop_assert_eq!(run(Kind::Anchor(Anchor::Conv(conv.clone())), 1, &wide).unwrap()[0].to_f64(), expected.clone());
        if !conv.bias {
            let codes = |t: &Tensor, zero: f64| {
                let values: Vec<f64> = t.to_f64().iter().map(|v| v + zero).collect();
                Tensor::from_f64(DType::U8, t.sizes(), &values).unwrap()
            };
            let operands = [codes(&operands[0], 9.0), codes(&operands[1], 4.0), u8s(&[9]), u8s(&[4])];
            let y = one(Structural::ConvInteger(conv), &operands);
            prop_assert_eq!(y.dtype(), DType::I32);
            prop_assert_eq!(y.to_f64(), expected);
        }
    }

    /// ⟨conv(x), y⟩ = ⟨x, convᵀ(y)⟩: the transposed convolution is what its name says.
    #[test]
    fn transposed_convolutions_are_the_adjoint(
        conv in convolutions(), cg in 1usize..3, mg in 1usize..3, h in 7usize..12, w in 7usize..12,
    ) {
        let conv = Conv { bias: false, ..conv };
        let x = whole(&[2, cg * conv.groups, h, w], 1);
        let weights = whole(&[mg * conv.groups, cg, conv.kernel[0], conv.kernel[1]], 2);
        let forward = run(Kind::Anchor(Anchor::Conv(conv.clone())), 1, &[x.clone(), weights.clone()]).unwrap().remove(0);
        let y = whole(forward.sizes(), 5);
        let left_over = |axis: usize| {
            let reach = (conv.kernel[axis] - 1) * conv.dilations[axis] + 1;
            (x.sizes()[2 + axis] + conv.pads[axis].0 + conv.pads[axis].1 - reach) % conv.strides[axis]
        };
        let transposed = Anchor::ConvTranspose { conv: conv.clone(), output_padding: vec![left_over(0), left_over(1)] };
        let back = run(Kind::Anchor(transposed), 1, &[y.clone(), weights]).unwrap().remove(0);
        prop_assert_eq!(back.sizes(), x.sizes());
        let dot = |a: &Tensor, b: &Tensor| a.to_f64().iter().zip(b.to_f64()).map(|(a, b)| a * b).sum::<f64>();
        prop_assert_eq!(dot(&forward, &y), dot(&x, &back));
    }
}

fn u8s(values: &[u8]) -> Tensor {
    Tensor::from_slice(&[values.len()], values).unwrap()
}

fn gemm(transpose_a: bool, transpose_b: bool, bias: bool) -> Kind {
    Kind::Anchor(Anchor::Gemm { transpose_a, transpose_b, bias })
}

#[test]
fn products_broadcast_their_outer_axes() {
    let a = f32s(&[2, 1, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
    let b = f32s(&[2, 2, 1], &[1.0, 1.0, 10.0, 100.0]);
    let y = run(gemm(false, false, false), 1, &[a.clone(), b]).unwrap().remove(0);
    assert_eq!(y.sizes(), [2, 2, 1, 1]);
    assert_eq!(y.to_f64(), [3.0, 210.0, 7.0, 430.0]);
    let c = f32s(&[1], &[1000.0]);
    let rows = f32s(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    let y = run(gemm(false, true, true), 1, &[a, rows, c]).unwrap().remove(0);
    assert_eq!(y.sizes(), [2, 1, 1, 3]);
    assert_eq!(y.to_f64(), [1001.0, 1002.0, 1003.0, 1003.0, 1004.0, 1007.0]);
    let vectors = run(gemm(false, false, false), 1, &[f32s(&[2], &[1.0, 2.0]), f32s(&[2], &[3.0, 4.0])]).unwrap();
    assert_eq!((vectors[0].sizes(), vectors[0].to_f64()), (&[][..], vec![11.0]));
    let wrapped = Tensor::from_slice(&[1, 1], &[i32::MAX]).unwrap();
    let two = Tensor::from_slice(&[1, 1], &[2i32]).unwrap();
    assert_eq!(run(gemm(false, false, false), 1, &[wrapped, two]).unwrap()[0].to_f64(), [-2.0]);
    let failed = run(gemm(false, false, false), 1, &[whole(&[2, 3], 0), whole(&[2, 3], 0)]).unwrap_err();
    assert_eq!(failed, "y0 (gemm): the product of [2, 3] and [2, 3] is not defined");
}

#[test]
fn sixteen_bit_products_are_summed_in_f32() {
    let ones = Tensor::from_f64(DType::F16, &[1, 4096], &[1.0; 4096]).unwrap();
    let column = ones.reshaped(&[4096, 1]).unwrap();
    // A sum in f16 would stay at 2048.
    assert_eq!(run(gemm(false, false, false), 1, &[ones, column]).unwrap()[0].to_f64(), [4096.0]);
}

fn pool(kernel: &[usize], strides: &[usize], pads: &[(usize, usize)], ceil_mode: bool) -> Pool {
    let lists = (kernel.to_vec(), strides.to_vec(), vec![1; kernel.len()], pads.to_vec());
    Pool { kernel: lists.0, strides: lists.1, dilations: lists.2, pads: lists.3, ceil_mode, channels_last: false }
}

#[test]
fn pools_ignore_or_count_their_padding() {
    let x = f32s(&[1, 1, 5], &[1.0, 2.0, 3.0, 4.0, -5.0]);
    let average = |count_include_pad, ceil_mode| {
        let pool = pool(&[3], &[2], &[(1, 0)], ceil_mode);
        one(Structural::AveragePool { pool, count_include_pad }, std::slice::from_ref(&x)).to_f64()
    };
    assert_eq!(average(false, false), [1.5, 3.0]);
    assert_eq!(average(true, false), [1.0, 3.0]);
    assert_eq!(average(true, true), [1.0, 3.0, -0.5]);
    let max = run(Kind::Structural(Structural::MaxPool(pool(&[2], &[2], &[(0, 1)], false))), 2, &[x]).unwrap();
    assert_eq!(max[0].to_f64(), [2.0, 4.0, -5.0]);
    assert_eq!(max[1].to_vec::<i64>().unwrap(), [1, 3, 4]);
}

#[test]
fn reductions_of_every_kind() {
    let x = f32s(&[2, 3], &[1.0, -2.0, 3.0, 0.5, 0.25, 4.0]);
    let reduce = |op, axes: &[usize], keep_dims| {
        let y = one(Structural::Reduce { op, axes: axes.to_vec(), keep_dims }, std::slice::from_ref(&x));
        (y.sizes().to_vec(), y.to_f64())
    };
    assert_eq!(reduce(Reduction::Sum, &[1], true), (vec![2, 1], vec![2.0, 4.75]));
    assert_eq!(reduce(Reduction::Max, &[0], false), (vec![3], vec![1.0, 0.25, 4.0]));
    assert_eq!(reduce(Reduction::Min, &[0, 1], false), (vec![], vec![-2.0]));
    assert_eq!(reduce(Reduction::L1, &[1], false).1, [6.0, 4.75]);
    assert_eq!(reduce(Reduction::Prod, &[1], false).1, [-6.0, 0.5]);
    assert_eq!(reduce(Reduction::SumSquare, &[1], false).1, [14.0, 16.3125]);
    let close =
        |(_, found): (Vec<usize>, Vec<f64>), expected: f64| assert!((found[0] - expected).abs() < 1e-6, "{found:?}");
    close(reduce(Reduction::LogSumExp, &[1], false), (1f64.exp() + (-2f64).exp() + 3f64.exp()).ln());
    close(reduce(Reduction::Mean, &[0, 1], false), 6.75 / 6.0);
    close(reduce(Reduction::L2, &[1], false), 14f64.sqrt());
    close(reduce(Reduction::LogSum, &[1], false), 2f64.ln());
    // f64 sums exactly what f32 would lose.
    let long = f32s(&[3], &[1e8, 1.0, -1e8]);
    assert_eq!(
        one(Structural::Reduce { op: Reduction::Sum, axes: vec![0], keep_dims: false }, &[long]).to_f64(),
        [1.0]
    );
    let empty = i64s(&[0], &[]);
    let of_none =
        |op| one(Structural::Reduce { op, axes: vec![0], keep_dims: false }, std::slice::from_ref(&empty)).to_f64();
    assert_eq!((of_none(Reduction::Sum), of_none(Reduction::Prod)), (vec![0.0], vec![1.0]));
}

#[test]
fn softmax_is_stable_and_sums_to_one() {
    let x = f32s(&[2, 2], &[1000.0, 1001.0, f32::NEG_INFINITY, 0.0]);
    let y = one(Structural::Softmax { axis: 1, log: false }, &[x]).to_f64();
    assert!((y[0] - 1.0 / (1.0 + 1f64.exp())).abs() < 1e-7 && (y[0] + y[1] - 1.0).abs() < 1e-7, "{y:?}");
    assert_eq!(y[2..], [0.0, 1.0]);
}

#[test]
fn wrong_operands_are_named() {
    let x = || whole(&[2, 3], 0);
    let failed = |op, operands: &[Tensor]| run(Kind::Structural(op), 1, operands).unwrap_err();
    let message = failed(Structural::Gather { axis: 1 }, &[x(), i64s(&[1], &[3])]);
    assert_eq!(message, "y0 (Gather): operand indices must be -3 to 3 - 1, and is 3");
    assert_eq!(failed(Structural::Gather { axis: 1 }, &[x()]), "y0 (Gather): takes 2 operands, found 1");
    assert_eq!(
        failed(Structural::Softmax { axis: 5, log: false }, &[x()]),
        "y0 (Softmax): axis 5 of a tensor of 2 axes"
    );
    let huge = failed(Structural::Tile, &[x(), i64s(&[2], &[i64::MAX, 1])]);
    assert!(huge.contains("more than the 4294967296 bytes"), "{huge}");
    let view = Structural::DynamicView { op: DynamicView::Reshape };
    let message = failed(view, &[x(), i64s(&[2], &[4, -1])]);
    assert!(message.contains("not the same number of elements"), "{message}");
}
