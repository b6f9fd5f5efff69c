//! Plans as text, compared with tests/golden/plans. `POINTWELD_BLESS=1` rewrites them.

use crate::graphs::{Net, bodies, only, plan, verdict};
use pointweld::dtype::DType::{self, F16, F32, I8};
use pointweld::graph::{Graph, Value};
use pointweld::op;
use pointweld::plan::{Plan, Verdict};
use pointweld::shape;

/// Plans a graph and compares the text.
fn golden(name: &str, graph: &Graph) -> Plan {
    let plan = plan(graph);
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/plans/{name}.txt"));
    let found = plan.to_string();
    if std::env::var_os("POINTWELD_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{} differs; POINTWELD_BLESS=1 rewrites it", path.display());
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan, "a plan reads back from JSON");
    plan
}

const IMAGE: [usize; 4] = [1, 64, 40, 40];

fn image(n: &mut Net, name: &str, dtype: DType) -> Value {
    n.input(name, dtype, shape!["batch", IMAGE[1], IMAGE[2], IMAGE[3]])
}

fn silu(n: &mut Net, x: Value) -> Value {
    let y = n.b.silu(x);
    n.typed(y, F32, shape!["batch", IMAGE[1], IMAGE[2], IMAGE[3]])
}

#[test]
fn silu_alone_is_flat() {
    let mut n = Net::new("silu");
    let x = image(&mut n, "x", F16);
    let y = n.b.silu(x);
    n.output("y", y);
    let p = golden("silu", &n.graph());
    assert_eq!(only(&p).domain.len(), 1);
}

#[test]
fn int8_silu_is_one_kernel_of_constants() {
    let mut n = Net::new("int8_silu");
    let x = image(&mut n, "x", I8);
    let real = n.b.dequantize(x, 0.05, 3);
    let y = n.b.silu(real);
    let codes = n.b.quantize(y, 0.04, -5, I8);
    n.output("y", codes);
    let p = golden("int8_silu", &n.graph());
    assert_eq!((only(&p).loads.len(), only(&p).name.as_str()), (1, "pw_dequantize_silu_quantize_0"));
}

#[test]
fn a_residual_sum_with_two_consumers_is_stored_once() {
    let mut n = Net::new("residual");
    let x = image(&mut n, "x", F32);
    let a = n.conv("conv_a", x, 64);
    let s = silu(&mut n, a);
    let b = n.conv("conv_b", s, 64);
    let t = silu(&mut n, b);
    let sum = n.b.add(s, t);
    let sum = n.typed(sum, F32, shape!["batch", 64, 40, 40]);
    let c = n.conv("conv_c", sum, 64);
    let u = silu(&mut n, c);
    let last = n.b.add(sum, u);
    n.output("y", last);
    let p = golden("residual", &n.graph());
    assert_eq!(bodies(&p), [vec!["silu"], vec!["silu", "add"], vec!["silu", "add"]]);
}

#[test]
fn a_c3_block_stores_into_its_concatenation() {
    let mut n = Net::new("c3");
    let x = image(&mut n, "x", F32);
    let a = n.conv("cv1", x, 64);
    let a = silu(&mut n, a);
    let m = n.conv("m", a, 64);
    let m = silu(&mut n, m);
    let sum = n.b.add(a, m);
    let sum = n.typed(sum, F32, shape!["batch", 64, 40, 40]);
    let b = n.conv("cv2", x, 64);
    let b = silu(&mut n, b);
    let both = n.concat("concat", &[sum, b], 1);
    let y = n.conv("cv3", both, 64);
    n.output("y", y);
    let p = golden("c3", &n.graph());
    assert_eq!(bodies(&p), [vec!["silu"], vec!["silu", "add"], vec!["silu"]]);
    assert!(matches!(verdict(&p, "add_7", "concat"), Verdict::Fused { .. }), "{p}");
}

#[test]
fn a_bias_over_channels_leaves_three_axes() {
    let mut n = Net::new("bias");
    let x = image(&mut n, "x", F16);
    let bias = n.input("bias", F16, shape![64, 1, 1]);
    let y = n.b.add(x, bias);
    let y = n.b.silu(y);
    n.output("y", y);
    let p = golden("nchw_bias", &n.graph());
    assert_eq!(only(&p).domain, shape!["batch", 64, 1600].0);
}

#[test]
fn an_outer_product_reads_two_vectors() {
    let mut n = Net::new("outer");
    let (a, b) = (n.input("a", F16, shape![16384, 1]), n.input("b", F16, shape![1, 8192]));
    let y = n.b.mul(a, b);
    n.output("y", y);
    assert_eq!(only(&golden("outer_product", &n.graph())).domain, shape![16384, 8192].0);
}

#[test]
fn a_transposed_operand_is_a_stride() {
    let mut n = Net::new("transposed");
    let (a, b) = (n.input("a", F16, shape![1024, 512]), n.input("b", F16, shape![512, 1024]));
    let t = n.transpose("t", b, &[1, 0]);
    let y = n.b.add(a, t);
    n.output("y", y);
    assert_eq!(only(&golden("transposed_add", &n.graph())).loads.len(), 2);
}

#[test]
fn slices_and_concatenations_are_offsets() {
    let mut n = Net::new("slices");
    let x = n.input("x", F32, shape!["batch", 16, 8, 8]);
    let (a, b) = (n.slice("a", x, 1, 0, 6), n.slice("b", x, 1, 6, 10));
    let p = n.b.relu(a);
    let p = n.typed(p, F32, shape!["batch", 6, 8, 8]);
    let q = n.b.sigmoid(b);
    let q = n.typed(q, F32, shape!["batch", 10, 8, 8]);
    let c = n.concat("c", &[q, p], 1);
    n.output("y", c);
    assert_eq!(bodies(&golden("slice_concat", &n.graph())).len(), 2);
}

#[test]
fn split_halves_are_computed_where_they_are_used() {
    // YOLO's C2f: both halves of a SiLU go into the concatenation, the second also into a convolution.
    let mut n = Net::new("c2f");
    let x = image(&mut n, "x", F32);
    let c = n.conv("cv1", x, 64);
    let s = silu(&mut n, c);
    let (a, b) = (n.slice("a", s, 1, 0, 32), n.slice("b", s, 1, 32, 32));
    let m = n.conv("m", b, 32);
    let m = n.b.silu(m);
    let m = n.b.add(b, m);
    let m = n.typed(m, F32, shape!["batch", 32, 40, 40]);
    let all = n.concat("concat", &[a, b, m], 1);
    let y = n.conv("cv2", all, 64);
    n.output("y", y);
    let p = golden("split_halves", &n.graph());
    assert_eq!(bodies(&p), [vec!["silu"], vec!["silu"], vec!["silu", "add"]]);
}

#[test]
fn a_pixel_shuffle_is_one_kernel() {
    let mut n = Net::new("pixel_shuffle");
    let x = n.input("x", F32, shape!["batch", 12, 20, 20]);
    let r = n.reshape("split", x, shape!["batch", 3, 2, 2, 20, 20]);
    let t = n.transpose("turn", r, &[0, 1, 4, 2, 5, 3]);
    let s = n.reshape("join", t, shape!["batch", 3, 40, 40]);
    let y = n.b.relu(s);
    n.output("y", y);
    let mut alone = Net::new("pixel_shuffle_alone");
    let x = alone.input("x", F32, shape!["batch", 12, 20, 20]);
    let r = alone.reshape("split", x, shape!["batch", 3, 2, 2, 20, 20]);
    let t = alone.transpose("turn", r, &[0, 1, 4, 2, 5, 3]);
    let s = alone.reshape("join", t, shape!["batch", 3, 40, 40]);
    alone.output("y", s);
    only(&golden("pixel_shuffle", &n.graph()));
    assert!(only(&golden("pixel_shuffle_alone", &alone.graph())).body.is_empty());
}

#[test]
fn a_nearest_upsample_stores_into_the_concatenation() {
    let mut n = Net::new("upsample");
    let x = n.input("x", F32, shape!["batch", 8, 20, 20]);
    let skip = n.input("skip", F32, shape!["batch", 8, 40, 40]);
    let s = n.b.silu(x);
    let s = n.typed(s, F32, shape!["batch", 8, 20, 20]);
    let up = n.repeat("up", s, &[1, 1, 2, 2]);
    let both = n.concat("both", &[up, skip], 1);
    let y = n.conv("conv", both, 8);
    n.output("y", y);
    golden("upsample_concat", &n.graph());
}

#[test]
fn swiglu_reads_both_halves_of_one_tensor() {
    let mut n = Net::new("swiglu");
    let x = n.input("x", F16, shape!["tokens", 28672]);
    let (gate, up) = (n.slice("gate", x, 1, 0, 14336), n.slice("up", x, 1, 14336, 14336));
    let g = n.b.silu(gate);
    let y = n.b.mul(g, up);
    n.output("y", y);
    assert_eq!(only(&golden("swiglu", &n.graph())).loads.len(), 2);
}

#[test]
fn several_outputs_share_one_reading() {
    let mut n = Net::new("outputs");
    let x = image(&mut n, "x", F32);
    let a = n.b.relu(x);
    let b = n.b.sigmoid(a);
    let c = n.b.unary(&op::NEG, x);
    n.output("a", a);
    n.output("b", b);
    n.output("c", c);
    let p = golden("multi_output", &n.graph());
    assert_eq!((only(&p).loads.len(), only(&p).stores.len()), (1, 3));
}

#[test]
fn a_diamond_is_one_kernel_and_a_square_one_load() {
    let mut n = Net::new("diamond");
    let x = image(&mut n, "x", F32);
    let a = n.b.relu(x);
    let (b, c) = (n.b.sigmoid(a), n.b.unary(&op::TANH, a));
    let d = n.b.add(b, c);
    let e = n.b.mul(d, d);
    n.output("y", e);
    let p = golden("diamond", &n.graph());
    assert_eq!((only(&p).loads.len(), only(&p).body.len()), (1, 5));
}

#[test]
fn a_cycle_through_a_convolution_is_not_closed() {
    let mut n = Net::new("cycle");
    let x = image(&mut n, "x", F32);
    let a = n.b.relu(x);
    let a = n.typed(a, F32, shape!["batch", 64, 40, 40]);
    let c = n.conv("conv", a, 64);
    let y = n.b.add(a, c);
    n.output("y", y);
    assert_eq!(bodies(&golden("cycle", &n.graph())), [vec!["relu"], vec!["add"]]);
}

#[test]
fn attention_heads_are_transposed_by_the_store() {
    let mut n = Net::new("heads");
    let x = n.input("x", F32, shape!["batch", 197, 768]);
    let bias = n.input("bias", F32, shape![768]);
    let y = n.b.add(x, bias);
    let y = n.typed(y, F32, shape!["batch", 197, 768]);
    let r = n.reshape("heads", y, shape!["batch", 197, 12, 64]);
    let t = n.transpose("turn", r, &[0, 2, 1, 3]);
    n.output("y", t);
    only(&golden("attention_heads", &n.graph()));
}

#[test]
fn the_built_in_int8_block_moves_codes() {
    let mut graph = pointweld::demo::c3_block().unwrap();
    pointweld::passes::run(&mut graph, &Default::default(), |_, _, _| {}).unwrap();
    let p = golden("c3_int8", &graph);
    // The branches of the concatenation quantize their own parts of it.
    assert!(p.kernels().all(|k| !k.body.is_empty()), "{p}");
    assert!(p.kernels().any(|k| k.name.contains("add") && k.name.contains("quantize")), "{p}");
}
