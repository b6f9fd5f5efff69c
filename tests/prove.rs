//! Proves kernels through the library, as `pointweld verify` does, on every machine that is here, and that a kernel which is wrong is
//! found out.

#[path = "common/gpu.rs"]
mod gpu;
#[path = "common/machines.rs"]
mod machines;

use pointweld::compiler::Compiler;
use pointweld::dim::Dim;
use pointweld::dtype::DType;
use pointweld::expr;
use pointweld::graph::{Builder, Graph, Kind, Node, Type};
use pointweld::op::{self, Op};
use pointweld::prove::{Options, Proof, prove};
use pointweld::shape::Shape;
use pointweld::target::Arch;

/// Proves every kernel of a formula on each machine; `edit` changes the CUDA text before it is compiled.
fn proofs(formula: &str, arch: Arch, edit: impl Fn(&str) -> String) -> Vec<(String, Proof)> {
    proofs_of(&expr::parse(formula).unwrap(), arch, edit)
}

fn proofs_of(graph: &Graph, arch: Arch, edit: impl Fn(&str) -> String) -> Vec<(String, Proof)> {
    let planned = Compiler::new().arch(arch).plan(graph).unwrap();
    let tables = planned.tables();
    let mut proofs = Vec::new();
    for ((kernel, source), table) in planned.plan.kernels().zip(&planned.sources).zip(&tables) {
        let mut source = source.clone();
        source.text = edit(&source.text);
        machines::on_each(&source, arch, Some(5), |name, machine| {
            let options = Options { samples: 3000, seed: 5 };
            proofs.push((name.to_string(), prove(kernel, &source, table.as_deref(), machine, &options)));
        });
    }
    proofs
}

#[test]
fn formulas_hold() {
    let formulas = [
        "y = silu(x:f16[n,64,10,10] + b:f16[64,1,1])",
        "y = gelu(x:bf16[n,7]) * z:bf16[1,7]",
        "y:i8 = quantize(silu(dequantize(x:i8[n], 0.05)), 0.04)",
        "y:u8 = quantize(relu(dequantize(x:i8, 0.05) + dequantize(z:u8, 0.03, 128)), 0.02, 3)",
        "y = a:f32[n,1] * b:f32[33]",
        "y = a:f16[20,30] + transpose(b:f16[30,20])",
        "y = where(x:f32 > 0, x, exp(x) - 1)",
        // Small negative accumulators lost 8 bits when the halves of the integer were split toward minus infinity.
        "y = dequantize(x:i32[n], s:f32[n])",
        "y:i8 = quantize(silu(cast.f32(x:i32[n,16]) * s:f32[16] + b:f32[16]), 0.045)",
    ];
    for formula in formulas {
        for arch in [Arch::SM_75, Arch::SM_90] {
            for (machine, proof) in proofs(formula, arch, str::to_string) {
                assert!(proof.holds(), "{formula} for {arch} on {machine}: {proof:#?}");
                assert!(proof.cases > 0 && proof.elements > 100, "{formula}: {proof:#?}");
            }
        }
    }
}

#[test]
fn a_kernel_that_computes_something_else_is_found_out() {
    let swapped = |text: &str| text.replace("x0_e - x1_e", "x0_e + x1_e");
    for (machine, proof) in proofs("y = a:f32 - b:f32", Arch::SM_90, swapped) {
        let failure = proof.failure.as_ref().expect("the difference is a sum");
        assert!(!proof.holds() && failure.contains("the exact result is"), "{machine}: {failure}");
    }
}

#[test]
fn a_kernel_that_stores_too_little_or_too_much_is_found_out() {
    // The vector of the tail is not stored; a vector is stored where a part of one is left.
    for (from, to, says) in [
        ("  store_some<16, 4>(y0 + first, y0_w, live);", "", "was not written"),
        ("  store_some<16, 4>(y0 + first, y0_w, live);", "  store<16, 4>(y0 + first, y0_w);", "`y0`|store 0"),
    ] {
        let edit = |text: &str| {
            assert!(text.contains(from), "{text}");
            text.replace(from, to)
        };
        for (machine, proof) in proofs("y = a:f32[n] - b:f32[n]", Arch::SM_90, edit) {
            let failure = proof.failure.as_ref().expect("the tail is wrong");
            assert!(says.split('|').any(|word| failure.contains(word)), "{machine}: {failure}");
        }
    }
}

#[test]
fn of_an_empty_tensor_there_is_nothing_to_prove() {
    for (machine, proof) in proofs("y = relu(x:f32[0,4])", Arch::SM_90, str::to_string) {
        assert!(proof.holds() && proof.elements == 0, "{machine}: {proof:#?}");
    }
}

/// Batches and rows are one axis of the domain, two images are not cut to one: no length of the outermost axis alone leaves the text the same.
#[test]
fn kernels_that_are_larger_than_the_samples_are_cut_along_several_axes() {
    let formulas = [
        "y = silu(matmul(a:f16[12,700,64], b:f16[12,64,130]))",
        "y = silu(matmul(a:f16[2,3,700,64], b:f16[2,3,64,130]))",
        "y = silu(conv(x:f16[2,61,63,16], w:f16[24,3,3,16], 1, 1) + c:f16[24])",
        "y = silu(conv(x:f16[2,61,63,32], w:f16[48,1,1,32]) + c:f16[48])",
        "y = silu(conv(x:f16[2,61,63,32], w:f16[48,1,1,32], 2) + c:f16[48])",
        "y = transpose(x:f16[2,150,170])",
        "y:i8 = quantize(silu(dequantize(matmul(a:i8[3,300,64], b:i8[3,64,48]), 0.001)), 0.045)",
    ];
    for formula in formulas {
        for (machine, proof) in [Arch::SM_80, Arch::SM_90].map(|arch| proofs(formula, arch, str::to_string)).concat() {
            assert!(proof.holds(), "{formula} on {machine}: {proof:#?}");
            assert!((100..400_000).contains(&proof.elements), "{formula}: {proof:#?}");
        }
    }
}

/// Of products that are tried at smaller sizes than their own, too.
#[test]
fn planted_faults_of_welded_kernels_are_found_out() {
    let batched = "y = silu(matmul(a:f16[12,700,72], b:f16[12,72,130]))";
    let depthwise = "y = silu(conv(x:f16[2,61,63,24], w:f16[24,3,3,1], 1, 1) + c:f16[24])";
    let faults = [
        (batched, "no barrier between steps", "wait_copies<1>();\n        __syncthreads();", "wait_copies<1>();"),
        (batched, "a step that is not waited for", "wait_copies<1>();", "wait_copies<2>();"),
        (batched, "terms beyond the last", "k < depth ?", "k <= depth ?"),
        (batched, "a result beyond the last", "local_row >= rows", "local_row > rows"),
        (batched, "another batch's results", "batch * rows + local_row", "batch * (rows - 1) + local_row"),
        (depthwise, "places before the image", "p0 >= 0 &&", "p0 >= -1 &&"),
        (depthwise, "places behind the image", "p1 < in1", "p1 <= in1"),
        (depthwise, "a row beyond the last", "row >= rows", "row > rows"),
        (depthwise, "another image's size", "(off)image0 * in0", "(off)image0 * in1"),
        (depthwise, "operands exchanged", "load<2, 2>(b +", "load<2, 2>(a +"),
    ];
    for (formula, what, from, to) in faults {
        let planned = Compiler::new().arch(Arch::SM_80).plan(&expr::parse(formula).unwrap()).unwrap();
        let (kernel, mut source) = (planned.plan.kernels().next().unwrap(), planned.sources[0].clone());
        assert!(source.text.contains(from), "{what}: {}", source.text);
        source.text = source.text.replace(from, to);
        // Not on a GPU, where a race may go well by chance.
        let interpreter = machines::interpreter(&source, Arch::SM_80, Some(5));
        let proof = prove(kernel, &source, None, &interpreter, &Options { samples: 3000, seed: 5 });
        assert!(!proof.holds(), "{what} is not found out: {proof:#?}");
    }
}

#[test]
fn broadcasts_that_depend_on_the_sizes_are_tried_at_sizes_that_broadcast() {
    let (n, m) = (Dim::symbol("n"), Dim::symbol("m"));
    for (a, b) in [(n.clone(), m.clone()), (n.clone(), Dim::fixed(4))] {
        let larger = if b == m { a.larger(&b).unwrap() } else { b.clone() };
        let mut builder = Builder::new("g");
        let x = builder.input("x", DType::F32, Shape(vec![a, Dim::fixed(8)]));
        let y = builder.input("y", DType::F32, Shape(vec![b, Dim::fixed(8)]));
        let ty = Type::new(DType::F32, Shape(vec![larger, Dim::fixed(8)]));
        let sum = Node::new(Kind::Pointwise(Op::new(&op::ADD)), "sum", ty).with_origin("sum", "Add");
        let z = builder.node(sum, &[x, y]).value();
        builder.output("z", z);
        for (machine, proof) in proofs_of(&builder.finish().unwrap(), Arch::SM_90, str::to_string) {
            assert!(proof.holds() && proof.cases >= 2, "{machine}: {proof:#?}");
        }
    }
}

/// A chain that is looked up in a table of 65,536 entries, by blocks that walk the domain.
fn looked_up(shape: &str) -> String {
    let chain = (0..10).fold("x".to_string(), |x, _| format!("(silu({x}) - 0.3)"));
    format!("y = {}", chain.replacen("(x)", &format!("(x:f16[{shape}])"), 1))
}

#[test]
fn blocks_that_walk_take_every_code_in_several_rounds() {
    let chain = looked_up("67108864");
    for shape in ["67108864", "8192,8190", "n,64"] {
        for (machine, proof) in proofs(&looked_up(shape), Arch::SM_90, str::to_string) {
            assert!(proof.holds() && proof.elements > 1 << 16, "{shape} on {machine}: {proof:#?}");
        }
    }
    // The rounds overlap; those after the first stay where they are; the table's last entries are not copied.
    for (from, to) in [
        ("place += (idx)gridDim.x * 16384u", "place += (idx)gridDim.x * 32768u"),
        ("load_once<16, 16>(x0 + first)", "load_once<16, 16>(x0 + (first - place + begin))"),
        ("i < 8192u; i += 1024u", "i < 8191u; i += 1024u"),
    ] {
        let edit = |text: &str| {
            assert!(text.contains(from), "{text}");
            text.replace(from, to)
        };
        for (machine, proof) in proofs(&chain, Arch::SM_90, edit) {
            assert!(!proof.holds(), "{to} on {machine}: {proof:#?}");
        }
    }
}
