//! Which tensors get codes.

use super::detector::detector;
use pointweld::onnx::{Import, ModelFile};
use pointweld::quant::{matching, place};
use std::collections::BTreeMap;

#[test]
fn codes_lie_at_the_boundaries_of_groups_and_the_head_stays_float() {
    let graph = Import::new().model(&ModelFile::from_model("detector", detector(17))).unwrap().graph;
    let placement = place(&graph, &BTreeMap::new());
    let names: Vec<&str> = placement.sites.iter().map(|site| graph.value_name(site.value)).collect();
    // Never `stem.gate`, the sigmoid; nor `sum`, which only the concatenation reads; nor logits, boxes and scores.
    assert_eq!(names, ["images", "s", "t", "joined", "n"]);
    // The residual addition reads the same codes as the convolution.
    let readers: Vec<usize> = placement.sites.iter().map(|site| site.readers.len()).collect();
    assert_eq!(readers, [1, 2, 1, 1, 2]);
    let float: Vec<&str> = placement.float.keys().map(String::as_str).collect();
    assert_eq!(float, ["pixels", "scores"]);
    let groups: Vec<(&str, usize)> = placement.groups.iter().map(|g| (g.name.as_str(), g.nodes.len())).collect();
    let expected =
        [("stem", 3), ("a", 3), ("b", 4), ("neck", 3), ("boxes", 1), ("classes", 1), ("pixels", 1), ("scores", 1)];
    assert_eq!(groups.iter().copied().collect::<BTreeMap<_, _>>(), expected.into_iter().collect());
    let axes: Vec<usize> = placement.weights.iter().map(|weight| weight.axis).collect();
    assert_eq!(axes, [0; 6]);
    let sizes = [("batch", 1), ("height", 16), ("width", 16)].map(|(name, n)| (name.to_string(), n)).into();
    let macs = 256 * (3 * 9 * 8 + 2 * 8 * 9 * 8 + 16 * 8 + 8 * 4 + 8 * 2);
    assert_eq!(placement.macs(&graph, &sizes), (macs, macs));
}

#[test]
fn a_group_kept_in_float_reads_float_and_its_neighbours_codes() {
    let graph = Import::new().model(&ModelFile::from_model("detector", detector(17))).unwrap().graph;
    let keep = BTreeMap::from([("a".to_string(), "asked for".to_string())]);
    let placement = place(&graph, &keep);
    let site = |name: &str| placement.sites.iter().find(|site| graph.value_name(site.value) == name);
    // `s` is read as codes by the addition alone, and `t`, which `a` makes, by `b`.
    assert_eq!(site("s").map(|s| s.readers.len()), Some(1));
    assert_eq!(site("t").map(|s| s.readers.len()), Some(1));
    assert_eq!(placement.float["a"], "asked for");
    assert_eq!(placement.weights.len(), 5);
}

#[test]
fn groups_are_named_by_node_value_prefix_and_star() {
    let graph = Import::new().model(&ModelFile::from_model("detector", detector(17))).unwrap().graph;
    assert_eq!(matching(&graph, "stem"), ["stem"]);
    assert_eq!(matching(&graph, "stem.sigmoid"), ["stem"]);
    assert_eq!(matching(&graph, "sum"), ["b"]);
    assert_eq!(matching(&graph, "box*"), ["boxes", "pixels"]);
    assert!(matching(&graph, "ste").is_empty());
}
