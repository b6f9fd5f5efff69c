//! A walk over a model's protobuf structure before it is decoded. It costs almost nothing, since it steps over the weights, and
//! gives what the decoder cannot: the byte and the place of the damage, and a bound on the memory that decoding will take (an
//! empty message is two bytes in the file but hundreds in memory).

use super::error::OnnxError;
use std::path::Path;

/// Messages and strings in one model. The largest models known hold a few hundred thousand; four million decode to about 1 GiB.
const MAX_ITEMS: u64 = 4_000_000;
/// Bytes of numbers of variable length, each of which may decode to eight times its size. Weights are not stored so.
const MAX_VARINT_BYTES: u64 = 256 << 20;
/// Messages inside one another. A subgraph costs three levels; this is below the decoder's own limit of 100.
const MAX_DEPTH: usize = 90;

/// The messages whose inside is walked. `Leaf` holds no other messages.
#[derive(Clone, Copy, PartialEq)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    ValueInfo,
    Type,
    TensorType,
    ListType,
    MapType,
    Shape,
    Function,
    Training,
    Annotation,
    DeviceConfiguration,
    Sharding,
    ShardedDim,
    Leaf,
    /// Not a message: packed numbers of variable length.
    Varints,
}

/// The name and the kind of what field `number` of `outer` holds; `None` for strings, bytes and numbers of fixed size.
fn child(outer: Message, number: u64) -> Option<(&'static str, Message)> {
    use Message::*;
    Some(match (outer, number) {
        (Model, 7) => ("graph", Graph),
        (Model, 8) => ("opset_import", Leaf),
        (Model, 14) | (Graph, 16) | (Function, 14) | (Node, 9) | (Tensor, 16) | (ValueInfo, 4) => {
            ("metadata_props", Leaf)
        }
        (Model, 20) => ("training_info", Training),
        (Model, 25) => ("functions", Function),
        (Model, 26) => ("configuration", Leaf),
        (Training, 1) => ("initialization", Graph),
        (Training, 2) => ("algorithm", Graph),
        (Training, 3 | 4) => ("binding", Leaf),
        (Graph, 1) => ("node", Node),
        (Graph, 5) => ("initializer", Tensor),
        (Graph, 11) => ("input", ValueInfo),
        (Graph, 12) => ("output", ValueInfo),
        (Graph, 13) => ("value_info", ValueInfo),
        (Graph, 14) => ("quantization_annotation", Annotation),
        (Graph, 15) => ("sparse_initializer", Sparse),
        (Function, 7) => ("node", Node),
        (Function, 9) => ("opset_import", Leaf),
        (Function, 11) => ("attribute_proto", Attribute),
        (Function, 12) => ("value_info", ValueInfo),
        (Node, 5) => ("attribute", Attribute),
        (Node, 10) => ("device_configurations", DeviceConfiguration),
        (Attribute, 5) => ("t", Tensor),
        (Attribute, 6) => ("g", Graph),
        (Attribute, 8) => ("ints", Varints),
        (Attribute, 10) => ("tensors", Tensor),
        (Attribute, 11) => ("graphs", Graph),
        (Attribute, 14) => ("tp", Type),
        (Attribute, 15) => ("type_protos", Type),
        (Attribute, 22) => ("sparse_tensor", Sparse),
        (Attribute, 23) => ("sparse_tensors", Sparse),
        (Tensor, 1) | (Sparse, 3) => ("dims", Varints),
        (Tensor, 3) => ("segment", Leaf),
        (Tensor, 5) => ("int32_data", Varints),
        (Tensor, 7) => ("int64_data", Varints),
        (Tensor, 11) => ("uint64_data", Varints),
        (Tensor, 13) => ("external_data", Leaf),
        (Sparse, 1) => ("values", Tensor),
        (Sparse, 2) => ("indices", Tensor),
        (ValueInfo, 2) => ("type", Type),
        (Type, 1 | 8) => ("tensor_type", TensorType),
        (Type, 4) => ("sequence_type", ListType),
        (Type, 5) => ("map_type", MapType),
        (Type, 7) => ("opaque_type", Leaf),
        (Type, 9) => ("optional_type", ListType),
        (TensorType, 2) => ("shape", Shape),
        (ListType, 1) => ("elem_type", Type),
        (MapType, 2) => ("value_type", Type),
        (Shape, 1) => ("dim", Leaf),
        (Annotation, 2) => ("quant_parameter_tensor_names", Leaf),
        (DeviceConfiguration, 2) => ("sharding_spec", Sharding),
        (Sharding, 2) => ("device", Varints),
        (Sharding, 3) => ("index_to_device_group_map", Leaf),
        (Sharding, 4) => ("sharded_dim", ShardedDim),
        (ShardedDim, 2) => ("simple_sharding", Leaf),
        _ => return None,
    })
}

struct Walk<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
    items: u64,
    varint_bytes: u64,
    /// Names of the messages we are in, with the index of each among its siblings of that name.
    place: Vec<(&'static str, usize)>,
}

/// Checks that `bytes` has the structure of a model and that decoding it stays within bounds.
///
/// # Errors
/// [`OnnxError::Malformed`] with the byte and the place, or [`OnnxError::Limit`].
pub fn check(path: &Path, bytes: &[u8]) -> Result<(), OnnxError> {
    let mut walk = Walk { path, bytes, at: 0, items: 0, varint_bytes: 0, place: Vec::new() };
    walk.message(Message::Model, bytes.len())
}

impl Walk<'_> {
    fn message(&mut self, kind: Message, end: usize) -> Result<(), OnnxError> {
        if self.place.len() >= MAX_DEPTH {
            let found = self.place.len() as u64 + 1;
            return Err(self.limit("messages nested in one another", found, MAX_DEPTH as u64));
        }
        // Indices of siblings, by field number: the fields of interest are below 32.
        let mut seen = [0usize; 32];
        while self.at < end {
            let start = self.at;
            let key = self.varint(end)?;
            let (number, wire) = (key >> 3, key & 7);
            if number == 0 {
                return Err(self.damaged(start, "field number 0 does not exist".into()));
            }
            match wire {
                0 => drop(self.varint(end)?),
                1 => self.skip(8, end)?,
                5 => self.skip(4, end)?,
                2 => {
                    let length = self.varint(end)?;
                    let left = (end - self.at) as u64;
                    if length > left {
                        return Err(self.cut_off(start, number, length, left));
                    }
                    let inner_end = self.at + length as usize;
                    self.items += 1;
                    if self.items > MAX_ITEMS {
                        return Err(self.limit("messages and strings in the file", self.items, MAX_ITEMS));
                    }
                    self.field(kind, number, inner_end, &mut seen)?;
                }
                _ => {
                    return Err(self.damaged(start, format!("wire type {wire} does not exist in ONNX files")));
                }
            }
        }
        Ok(())
    }

    /// Walks one length-delimited field, which ends at `end`.
    fn field(&mut self, kind: Message, number: u64, end: usize, seen: &mut [usize; 32]) -> Result<(), OnnxError> {
        match child(kind, number) {
            Some((_, Message::Varints)) => {
                self.varint_bytes += (end - self.at) as u64;
                if self.varint_bytes > MAX_VARINT_BYTES {
                    let what = "bytes of numbers that are not in raw_data";
                    return Err(self.limit(what, self.varint_bytes, MAX_VARINT_BYTES));
                }
            }
            Some((name, inner)) if inner != Message::Leaf => {
                let index = &mut seen[(number as usize) & 31];
                self.place.push((name, *index));
                *index += 1;
                self.message(inner, end)?;
                self.place.pop();
            }
            _ => {}
        }
        self.at = end;
        Ok(())
    }

    fn varint(&mut self, end: usize) -> Result<u64, OnnxError> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let Some(&byte) = self.bytes[..end].get(self.at) else {
                return Err(self.damaged(start, "the data ends inside a number".into()));
            };
            self.at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.damaged(start, "a number of more than ten bytes".into()))
    }

    fn skip(&mut self, count: usize, end: usize) -> Result<(), OnnxError> {
        if end - self.at < count {
            return Err(self.damaged(self.at, "the data ends inside a number".into()));
        }
        self.at += count;
        Ok(())
    }

    fn cut_off(&self, start: usize, number: u64, length: u64, left: u64) -> OnnxError {
        let hint = if self.place.is_empty() { "; the file is cut short (an interrupted download?)" } else { "" };
        self.damaged(start, format!("field {number} should have {length} bytes but only {left} are left{hint}"))
    }

    fn damaged(&self, offset: usize, what: String) -> OnnxError {
        OnnxError::Malformed { path: self.path.into(), offset: offset as u64, place: self.shown_place(), what }
    }

    fn limit(&self, what: &str, found: u64, limit: u64) -> OnnxError {
        let what = format!("{what} (at {})", self.shown_place());
        OnnxError::Limit { path: self.path.into(), what, found, limit }
    }

    fn shown_place(&self) -> String {
        if self.place.is_empty() {
            return "the model".into();
        }
        // A hostile file may nest deeply: the outermost levels say enough.
        let shown: Vec<_> = self.place.iter().take(8).map(|(name, index)| format!("{name}[{index}]")).collect();
        shown.join(".") + if self.place.len() > 8 { "…" } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::*;
    use prost::Message as _;

    fn check(bytes: &[u8]) -> Result<(), OnnxError> {
        super::check(Path::new("m.onnx"), bytes)
    }

    fn model(graph: GraphProto) -> Vec<u8> {
        ModelProto { graph: Some(Box::new(graph)), ..Default::default() }.encode_to_vec()
    }

    #[test]
    fn every_truncation_is_found_or_harmless() {
        let node = NodeProto { input: vec!["x".into()], op_type: Some("Relu".into()), ..Default::default() };
        let bytes = model(GraphProto { node: vec![node; 3], ..Default::default() });
        assert!(check(&bytes).is_ok());
        for cut in 1..bytes.len() {
            match check(&bytes[..cut]) {
                Err(OnnxError::Malformed { offset, .. }) => assert!(offset <= cut as u64),
                other => panic!("cut at {cut}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_place_of_the_damage_is_named() {
        let bad = NodeProto { attribute: vec![AttributeProto::default()], ..Default::default() };
        let mut bytes = model(GraphProto { node: vec![NodeProto::default(), bad], ..Default::default() });
        *bytes.last_mut().expect("not empty") = 5; // the attribute's length, now past the end of its node
        let Err(OnnxError::Malformed { place, offset, .. }) = check(&bytes) else { panic!("accepted") };
        assert_eq!((place.as_str(), offset), ("graph[0].node[1]", bytes.len() as u64 - 2));
    }

    #[test]
    fn too_many_messages_and_too_deep_are_refused_before_decoding() {
        let many = model(GraphProto { node: vec![NodeProto::default(); 4_000_001], ..Default::default() });
        assert!(matches!(check(&many), Err(OnnxError::Limit { .. })));
        let mut deep = GraphProto::default();
        for _ in 0..40 {
            let attribute = AttributeProto { g: Some(Box::new(deep)), ..Default::default() };
            let node = NodeProto { attribute: vec![attribute], ..Default::default() };
            deep = GraphProto { node: vec![node], ..Default::default() };
        }
        assert!(matches!(check(&model(deep)), Err(OnnxError::Limit { .. })));
    }
}
