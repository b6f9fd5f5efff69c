//! Sensitivity of small models in which it is known what is sensitive.

use pointweld::anchor::{Anchor, Conv};
use pointweld::data::{Options, Samples};
use pointweld::dtype::DType;
use pointweld::graph::{Builder, Graph, Kind, Node, Type, Value};
use pointweld::npy;
use pointweld::quant::sensitivity::{
    Goal, Meter, Noise, Replacement, Search, SensitivityError, analyse, points, refine, search, tap_groups, what_if,
};
use pointweld::quant::{Calibrator, Choice, Observation, Placement, Scheme, audit, choose, place, simulate, watched};
use pointweld::reference::{self, run_graph};
use pointweld::report::pages;
use pointweld::shape;
use pointweld::tensor::Tensor;
use pointweld::view::View;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;

const CHANNELS: usize = 4;

/// A 1×1 convolution with weights that a hash makes, each channel of the result scaled by `spread`'s power of its number.
fn conv(b: &mut Builder, name: &str, x: Value, spread: f32) -> Value {
    let mut random = fastrand::Rng::with_seed(name.bytes().map(u64::from).sum());
    let weights: Vec<f32> =
        (0..CHANNELS * CHANNELS).map(|i| (random.f32() - 0.5) * spread.powi((i / CHANNELS) as i32)).collect();
    let w = b.constant(&format!("{name}.w"), Tensor::from_slice(&[CHANNELS, CHANNELS, 1, 1], &weights).unwrap());
    let conv = Conv {
        kernel: vec![1, 1],
        strides: vec![1, 1],
        dilations: vec![1, 1],
        pads: vec![(0, 0); 2],
        groups: 1,
        bias: false,
    };
    let ty = b.ty(x).clone();
    let node = Node::new(Kind::Anchor(Anchor::Conv(conv)), &format!("{name}.y"), ty).with_origin(name, "Conv");
    b.node(node, &[x, w]).value()
}

fn silu(b: &mut Builder, x: Value) -> Value {
    let s = b.sigmoid(x);
    b.mul(x, s)
}

/// Four convolutions with SiLU in a row. The channels of the second one's result differ by orders, so that one scale for all of them
/// serves none of the small ones: the third, which reads it, is the sensitive group.
fn chain() -> Graph {
    let mut b = Builder::new("chain");
    let mut x = b.input("x", DType::F32, shape!["n", CHANNELS, 6, 6]);
    for (name, spread) in [("c1", 1.0), ("c2", 12.0), ("c3", 1.0), ("c4", 1.0)] {
        let y = conv(&mut b, name, x, spread);
        x = silu(&mut b, y);
    }
    let y = conv(&mut b, "c5", x, 1.0);
    b.output("y", y);
    b.finish().unwrap()
}

struct Setting {
    graph: Graph,
    placement: Placement,
    seen: Observation,
    scheme: Scheme,
    samples: Samples,
    _folder: tempfile::TempDir,
}

impl Setting {
    fn new(graph: Graph, count: usize) -> Setting {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let mut random = fastrand::Rng::with_seed(7);
        let values: Vec<f32> = (0..count * CHANNELS * 36).map(|_| 4.0 * random.f32() - 2.0).collect();
        npy::write(&path, &Tensor::from_slice(&[count, CHANNELS, 6, 6], &values).unwrap()).unwrap();
        let samples = Samples::open(&[path], &graph, &Options::default()).unwrap();
        let placement = place(&graph, &BTreeMap::new());
        let mut seen = Observation::default();
        let watched = watched(&graph, &placement);
        for feed in samples.iter() {
            seen.see(&graph, &watched, &feed.unwrap(), &reference::Options::default()).unwrap();
        }
        let (scheme, _) = choose(&graph, &placement, &seen, &Choice::default()).unwrap();
        Setting { graph, placement, seen, scheme, samples, _folder: folder }
    }

    fn meter(&self) -> Meter<'_> {
        let points = points(&self.graph, &[]).unwrap();
        let options = reference::Options::default();
        Meter::new(&self.graph, &self.placement, &self.scheme, &self.samples, points, options).unwrap()
    }
}

/// What the model misses with these groups in float, without any reuse.
fn plainly(setting: &Setting, float: &[&str]) -> Noise {
    let keep = float.iter().map(|name| (name.to_string(), String::new())).collect();
    let quantized = simulate(&setting.graph, &place(&setting.graph, &keep), &setting.scheme).unwrap();
    let mut noise = Noise::default();
    for feed in setting.samples.iter() {
        let feed = feed.unwrap();
        let run = |graph: &Graph| run_graph(graph, &feed, &reference::Options::default()).unwrap().remove(0).1;
        noise.add(Noise::between(&run(&setting.graph), &run(&quantized)));
    }
    noise
}

fn quiet(_: usize, _: usize) {}

#[test]
fn measurements_that_reuse_runs_are_those_of_whole_runs() {
    let setting = Setting::new(chain(), 3);
    let meter = setting.meter();
    assert_eq!(meter.quantized(), ["c1", "c2", "c3", "c4", "c5"]);
    let cases: [&[&str]; 5] = [&[], &["c3"], &["c1", "c2", "c4", "c5"], &["c1", "c2"], &["c1", "c2", "c3", "c4", "c5"]];
    let sets: Vec<BTreeSet<&str>> = cases.iter().map(|names| names.iter().copied().collect()).collect();
    let base = meter.variant(&sets[0]).unwrap();
    let variants: Vec<_> = sets[1..].iter().map(|set| meter.variant(set).unwrap()).collect();
    let seen = Mutex::new(Vec::new());
    let found = meter.measure(&[&base], &variants, &|done, total| seen.lock().unwrap().push((done, total))).unwrap();
    for (names, row) in cases.iter().zip(&found) {
        assert_eq!(row[0], plainly(&setting, names), "{names:?}");
    }
    assert_eq!(found[4][0].db(), f64::INFINITY);
    // The float model, the base and four variants on three samples, one after the other.
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    assert_eq!(seen, (1..=18).map(|i| (i, 18)).collect::<Vec<_>>());
}

#[test]
fn the_sensitive_group_is_found_and_left_in_float() {
    let setting = Setting::new(chain(), 4);
    let meter = setting.meter();
    let found = analyse(&meter, &quiet).unwrap();
    assert_eq!(found.groups[0].name, "c3", "{found:#?}");
    assert_eq!(found.groups[0].ops, "conv sigmoid mul");
    assert!((found.groups.iter().map(|g| g.noise).sum::<f64>() - 1.0).abs() < 1e-9);
    assert!((found.groups.iter().map(|g| g.macs).sum::<f64>() - 1.0).abs() < 1e-9 && found.quantized_macs == 1.0);
    let full = found.points[0].db;
    let better = found.groups[0].alone_float[0];
    assert!(better > full + 1.0 && found.groups[0].alone_quantized[0] > full);

    // Just below what one group in float gives, one is enough, and it is this one.
    let wanted = |goal| Search { goal, float_macs: None };
    let one = search(&meter, &found, &wanted(Goal::Targets(vec![Some(better - 0.01)])), &quiet).unwrap();
    assert_eq!((one.float.as_slice(), one.met), (&["c3".to_string()][..], true));
    assert_eq!(one.db[0], plainly(&setting, &["c3"]).db());
    // Beyond reach of any four, all five.
    let all = search(&meter, &found, &wanted(Goal::Targets(vec![Some(300.0)])), &quiet).unwrap();
    assert_eq!((all.float.len(), all.met, all.quantized_macs.abs() < 1e-9), (5, true, true));
    let two = search(&meter, &found, &wanted(Goal::Count(2)), &quiet).unwrap();
    let names: Vec<&str> = two.float.iter().map(String::as_str).collect();
    assert_eq!((two.met, two.db[0]), (true, plainly(&setting, &names).db()));
    // No pair is better than the one chosen by more than the noise of a greedy choice.
    assert!(names.contains(&"c3"));
    // Every convolution has a fifth of the multiply-adds: with at most a quarter of them in float only one group can be.
    let limited = Search { goal: Goal::Targets(vec![Some(300.0)]), float_macs: Some(0.25) };
    let limited = search(&meter, &found, &limited, &quiet).unwrap();
    assert_eq!((limited.float.len(), limited.met), (1, false));
}

#[test]
fn what_another_makes_superfluous_goes_back_to_codes() {
    let setting = Setting::new(chain(), 3);
    let meter = setting.meter();
    let found = analyse(&meter, &quiet).unwrap();
    for target in [found.points[0].db + 3.0, 30.0, 45.0] {
        let wanted = Search { goal: Goal::Targets(vec![Some(target)]), float_macs: None };
        let chosen = search(&meter, &found, &wanted, &quiet).unwrap();
        assert!(chosen.met && chosen.db[0] >= target);
        for dropped in &chosen.float {
            let rest: Vec<&str> = chosen.float.iter().filter(|n| *n != dropped).map(String::as_str).collect();
            assert!(plainly(&setting, &rest).db() < target, "{dropped} is superfluous at {target} dB");
        }
    }
}

#[test]
fn ranges_chosen_by_measurement_are_never_worse_than_the_calibrators() {
    let setting = Setting::new(chain(), 3);
    let meter = setting.meter();
    let codes = Choice::default().activations;
    let refined = refine(&meter, &setting.seen, codes, &quiet).unwrap();
    for site in &setting.placement.sites {
        let name = setting.graph.value_name(site.value);
        // The site alone on codes, by each scheme.
        let alone = |scheme: &Scheme| {
            let placement = Placement { sites: vec![site.clone()], weights: Vec::new(), ..setting.placement.clone() };
            let quantized = simulate(&setting.graph, &placement, scheme).unwrap();
            let mut noise = Noise::default();
            for feed in setting.samples.iter() {
                let feed = feed.unwrap();
                let run = |graph: &Graph| run_graph(graph, &feed, &reference::Options::default()).unwrap().remove(0).1;
                noise.add(Noise::between(&run(&setting.graph), &run(&quantized)));
            }
            noise.db()
        };
        let found = alone(&refined);
        for calibrator in [Calibrator::MinMax, Calibrator::Percentile(99.99), Calibrator::Entropy, Calibrator::Mse] {
            let choice = Choice { calibrator, ..Choice::default() };
            let (scheme, _) = choose(&setting.graph, &setting.placement, &setting.seen, &choice).unwrap();
            assert!(found >= alone(&scheme) - 1e-9, "{name}: {found} dB, {calibrator:?} gives {}", alone(&scheme));
        }
        assert_eq!(refined.tensors[name].reason, setting.scheme.tensors[name].reason);
    }
}

#[test]
fn taps_see_each_op_and_change_nothing() {
    let setting = Setting::new(chain(), 2);
    let meter = setting.meter();
    let tapped = tap_groups(&meter, &BTreeSet::from(["c3".to_string()]), &quiet).unwrap();
    let ops: Vec<&str> = tapped[0].ops.iter().map(|tap| tap.op.as_str()).collect();
    assert_eq!(ops, ["conv", "sigmoid", "mul"]);
    for tap in &tapped[0].ops {
        // 24 bits of f32 are about 140 dB; codes of 8 bits at most about 50.
        assert!(tap.float > 120.0 && tap.float < 200.0, "{tap:?}");
        assert!(tap.alone < 60.0 && tap.all <= tap.alone + 3.0, "{tap:?}");
    }
}

#[test]
fn replacing_an_activation_costs_what_it_costs() {
    let setting = Setting::new(chain(), 2);
    let meter = setting.meter();
    let cost = |to: &str| {
        what_if(&meter, Replacement::new("silu", to).unwrap(), &setting.samples, &Choice::default(), &quiet).unwrap()
    };
    let swish = cost("hardswish");
    let relu = cost("relu");
    assert_eq!((swish.from, swish.to, swish.each.len()), ("silu", "hard_swish", 4));
    assert!(swish.float[0] > relu.float[0] && relu.float[0] < 30.0, "{swish:?} {relu:?}");
    assert!(swish.each.iter().all(|(_, db)| db[0] > swish.float[0] - 3.0));
    // Each one alone, the dearest first.
    assert!(relu.each.windows(2).all(|pair| pair[0].1[0] <= pair[1].1[0]));
    assert!(swish.quantized_replaced[0] < swish.quantized[0]);
    // The same op in its place changes nothing but the rounding of a sigmoid that was stored.
    let same = cost("silu");
    assert!(same.float[0] > 120.0 && (same.quantized[0] - same.quantized_replaced[0]).abs() < 0.5, "{same:?}");
    assert!(cost("leaky_relu").float[0].is_finite());
    let error = |from: &str, to: &str| match Replacement::new(from, to) {
        Ok(r) => what_if(&meter, r, &setting.samples, &Choice::default(), &quiet).unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error("gelu", "relu"), SensitivityError::Absent(_)));
    assert!(error("silu", "swoosh").to_string().contains("swoosh"));
}

/// Two convolutions whose results, one a hundred times the other, are concatenated and read by a third.
fn apart() -> Graph {
    let mut b = Builder::new("<script>alert(1)</script>");
    let x = b.input("x", DType::F32, shape!["n", CHANNELS, 6, 6]);
    let large = conv(&mut b, "large\"><img src=x>", x, 1.0);
    let large = b.mul(large, 100.0);
    let small = conv(&mut b, "small", x, 1.0);
    let small = silu(&mut b, small);
    let ty = Type::new(DType::F32, shape!["n", 2 * CHANNELS, 6, 6]);
    let both = b.node(Node::new(Kind::View(View::Concat { axis: 1 }), "both", ty), &[large, small]).value();
    let weights: Vec<f32> = (0..2 * CHANNELS * CHANNELS).map(|i| 0.1 * ((i % 7) as f32 - 3.0)).collect();
    let w = b.constant("w", Tensor::from_slice(&[CHANNELS, 2 * CHANNELS, 1, 1], &weights).unwrap());
    let conv = Conv {
        kernel: vec![1, 1],
        strides: vec![1, 1],
        dilations: vec![1, 1],
        pads: vec![(0, 0); 2],
        groups: 1,
        bias: false,
    };
    let ty = Type::new(DType::F32, shape!["n", CHANNELS, 6, 6]);
    let y = b.node(Node::new(Kind::Anchor(Anchor::Conv(conv)), "y", ty), &[both, w]).value();
    b.output("y", y);
    b.finish().unwrap()
}

#[test]
fn the_audit_names_a_concatenation_whose_operands_are_apart() {
    let setting = Setting::new(apart(), 3);
    let found = audit(&setting.graph, &setting.placement, &setting.seen, &setting.scheme);
    let advice = found.warnings.iter().find(|w| w.what.contains("the concatenation both")).expect("advice");
    assert!(advice.cost_db.is_some_and(|db| db > 10.0), "{advice:?}");
    let both = found.activations.iter().find(|a| a.name == "both").expect("the concatenation");
    assert!(both.db > 20.0 && both.calibrators.len() == 7 && both.clipped < 0.01, "{:?}", both.db);
    assert!(found.weights.iter().all(|w| w.db > 30.0 && w.channels == CHANNELS));
}

#[test]
fn one_sample_and_constant_tensors_are_pointed_out() {
    let mut b = Builder::new("flat");
    let x = b.input("x", DType::F32, shape!["n", CHANNELS, 6, 6]);
    let c = conv(&mut b, "c1", x, 1.0);
    let low = b.min(c, -1000.0);
    let flat = b.max(low, -1000.0);
    let y = conv(&mut b, "c2", flat, 1.0);
    b.output("y", y);
    let setting = Setting::new(b.finish().unwrap(), 1);
    let found = audit(&setting.graph, &setting.placement, &setting.seen, &setting.scheme);
    assert!(found.warnings[0].what.contains("one sample"), "{:?}", found.warnings);
    assert!(found.warnings.iter().any(|w| w.what.contains("every value is -1000")), "{:?}", found.warnings);
}

#[test]
fn pages_hold_everything_and_escape_every_name() {
    let setting = Setting::new(apart(), 2);
    let meter = setting.meter();
    let found = analyse(&meter, &quiet).unwrap();
    let wanted = Search { goal: Goal::Count(1), float_macs: None };
    let chosen = search(&meter, &found, &wanted, &quiet).unwrap();
    let names = meter.quantized().into_iter().map(String::from).collect();
    let taps = tap_groups(&meter, &names, &quiet).unwrap();
    let silu = Replacement::new("silu", "relu").unwrap();
    let replaced = what_if(&meter, silu, &setting.samples, &Choice::default(), &quiet).unwrap();
    let audit = audit(&setting.graph, &setting.placement, &setting.seen, &setting.scheme);
    let first = pages::sensitivity(&found, Some(&chosen), &taps, &[replaced]).unwrap();
    let second = pages::quantization(&audit).unwrap();
    if let Some(folder) = std::env::var_os("POINTWELD_PAGES").map(PathBuf::from) {
        std::fs::write(folder.join("sensitivity.html"), &first).unwrap();
        std::fs::write(folder.join("quantization.html"), &second).unwrap();
    }
    for page in [&first, &second] {
        assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
        assert!(page.contains("&lt;script&gt;") && page.contains("&quot;&gt;&lt;img"), "names are there, escaped");
        for forbidden in ["<script", "<img", "http:", "https:", "url(", "@import", "<link", "{{", "{%"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(page.contains("prefers-color-scheme: dark"));
    }
    assert!(first.contains("silu replaced by relu") && first.contains("Inside groups") && first.contains("<circle"));
    assert!(second.contains("percentile 99.99") && second.contains("class=\"hist\""));
}
