//! A model in a few lines, and what to ask of its import.

use pointweld::dtype::DType;
use pointweld::graph::{Graph, Kind};
use pointweld::onnx::proto::*;
use pointweld::onnx::{Import, Imported, ModelFile, OnnxError};
use pointweld::patch::Patch;
use pointweld::verify::verify;

pub struct Model {
    pub proto: ModelProto,
}

/// A model of one operator set; nodes, inputs and constants follow.
pub fn model(opset: i64) -> Model {
    let opset_import = [("", opset), ("com.microsoft", 1)]
        .map(|(domain, version)| OperatorSetIdProto { domain: Some(domain.into()), version: Some(version) });
    let graph = GraphProto { name: Some("test".into()), ..Default::default() };
    Model {
        proto: ModelProto {
            ir_version: Some(10),
            opset_import: opset_import.into(),
            graph: Some(Box::new(graph)),
            ..Default::default()
        },
    }
}

/// A declared type. Sizes are numbers, names, or `?` for neither.
pub fn value(name: &str, dtype: DType, dims: &[&str]) -> ValueInfoProto {
    let dim = |text: &&str| Dimension {
        value: match (text.parse(), *text) {
            (Ok(n), _) => Some(DimensionValue::DimValue(n)),
            (_, "?") => None,
            (_, name) => Some(DimensionValue::DimParam(name.into())),
        },
        denotation: None,
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = TensorTypeProto { elem_type: Some(dtype.onnx()), shape: Some(shape) };
    let r#type = TypeProto { value: Some(TypeValue::TensorType(tensor)), denotation: None };
    ValueInfoProto { name: Some(name.into()), r#type: Some(r#type), ..Default::default() }
}

pub fn node(
    domain: &str,
    op_type: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: Vec<AttributeProto>,
) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
    NodeProto {
        name: Some(format!("{op_type}_{}", outputs.first().unwrap_or(&""))),
        op_type: Some(op_type.into()),
        domain: Some(domain.into()),
        input: names(inputs),
        output: names(outputs),
        attribute: attributes,
        ..Default::default()
    }
}

impl Model {
    pub fn graph(&mut self) -> &mut GraphProto {
        self.proto.graph.as_mut().expect("the graph made by model()")
    }

    pub fn input(mut self, name: &str, dtype: DType, dims: &[&str]) -> Model {
        self.graph().input.push(value(name, dtype, dims));
        self
    }

    pub fn ints(self, name: &str, values: &[i64]) -> Model {
        self.tensor(name, DType::I64, &[values.len() as i64], values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    pub fn floats(self, name: &str, sizes: &[i64], values: &[f32]) -> Model {
        self.tensor(name, DType::F32, sizes, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    pub fn tensor(mut self, name: &str, dtype: DType, sizes: &[i64], bytes: Vec<u8>) -> Model {
        self.graph().initializer.push(TensorProto {
            name: Some(name.into()),
            data_type: Some(dtype.onnx()),
            dims: sizes.into(),
            raw_data: Some(bytes.into()),
            ..Default::default()
        });
        self
    }

    pub fn node(self, op_type: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) -> Model {
        self.node_of("", op_type, inputs, outputs, attributes)
    }

    pub fn node_of(
        mut self,
        domain: &str,
        op_type: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Model {
        self.graph().node.push(node(domain, op_type, inputs, outputs, attributes));
        self
    }

    pub fn output(mut self, name: &str) -> Model {
        self.graph().output.push(ValueInfoProto { name: Some(name.into()), ..Default::default() });
        self
    }

    pub fn try_import(self) -> Result<Imported, OnnxError> {
        self.try_import_with(&Import::new())
    }

    pub fn try_import_with(self, import: &Import) -> Result<Imported, OnnxError> {
        import.model(&ModelFile::from_model("test.onnx", self.proto))
    }

    /// The import, without what no output needs.
    pub fn import(self) -> Imported {
        let mut imported = self.try_import().unwrap_or_else(|error| panic!("{error}"));
        verify(&imported.graph).unwrap_or_else(|error| panic!("{error}"));
        Patch::new(&mut imported.graph, "sweep", &[]).sweep();
        imported
    }

    /// The error's message.
    pub fn error(self) -> String {
        match self.try_import() {
            Err(error) => error.to_string(),
            Ok(imported) => panic!("imported: {:?}", kinds(&imported.graph)),
        }
    }
}

/// The type of an output, as `Float(n,3)`.
pub fn ty(imported: &Imported, output: &str) -> String {
    let found = imported.graph.outputs().iter().find(|(name, _)| name == output);
    let (_, value) = found.unwrap_or_else(|| panic!("no output {output}"));
    imported.graph.ty(*value).to_string()
}

/// What the graph's nodes do, in topological order, inputs and constants left out.
pub fn kinds(graph: &Graph) -> Vec<String> {
    let order = graph.topological().expect("no cycle");
    let kinds = order.into_iter().map(|id| &graph.node(id).kind);
    kinds.filter(|kind| !matches!(kind, Kind::Input | Kind::Constant(_))).map(|kind| kind.to_string()).collect()
}

/// The elements of a constant output as f64.
pub fn constant(imported: &Imported, output: &str) -> Vec<f64> {
    let found = imported.graph.outputs().iter().find(|(name, _)| name == output);
    let (_, value) = found.unwrap_or_else(|| panic!("no output {output}"));
    let tensor = imported.graph.constant(*value);
    tensor.unwrap_or_else(|| panic!("{output} is no constant: {:?}", kinds(&imported.graph))).to_f64()
}
