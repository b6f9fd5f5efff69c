//! What the inputs of a model take.

use super::DataError;
use crate::dtype::DType;
use crate::graph::Graph;
use crate::name::Shown;
use clap::ValueEnum;

/// The order of an image's axes in a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// Channels before rows and columns, as PyTorch has them
    Nchw,
    /// Channels last, as TensorFlow has them
    Nhwc,
}

/// One input of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    pub name: String,
    pub dtype: DType,
    /// The size of each axis; `None` where the model leaves it open.
    pub sizes: Vec<Option<usize>>,
}

/// What an image must become to be a row of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ImageShape {
    pub layout: Layout,
    /// 1, grey, or 3.
    pub channels: usize,
    /// Rows and columns, where they are fixed.
    pub rows: Option<usize>,
    pub columns: Option<usize>,
}

impl Input {
    /// The inputs of a graph, in its order.
    ///
    /// # Errors
    /// If the type or rank of one is not known.
    pub fn of_graph(graph: &Graph) -> Result<Vec<Input>, DataError> {
        let inputs = graph.inputs().iter().map(|id| {
            let name = graph.value_name(id.value()).to_string();
            let ty = graph.ty(id.value());
            let unknown = || {
                let text = format!("the type of the model's input {} is not known ({ty})", Shown(&name));
                DataError::Options(text)
            };
            let (dtype, shape) = ty.full().ok_or_else(unknown)?;
            let sizes = shape.iter().map(|dim| dim.known().and_then(|n| usize::try_from(n).ok())).collect();
            Ok(Input { name, dtype, sizes })
        });
        inputs.collect()
    }

    /// The input's shape as a message shows it: `f32[?, 3, 320, 320]`.
    pub(super) fn shown(&self) -> String {
        let sizes: Vec<String> =
            self.sizes.iter().map(|size| size.map_or("?".to_string(), |n| n.to_string())).collect();
        format!("{}[{}]", self.dtype, sizes.join(", "))
    }

    /// Whether a tensor of these sizes can be given for the input.
    pub(super) fn takes(&self, sizes: &[usize]) -> bool {
        self.sizes.len() == sizes.len() && self.sizes.iter().zip(sizes).all(|(want, n)| want.is_none_or(|w| w == *n))
    }

    /// How images are laid out in the input: by its number of channels, 1 or 3, unless `layout` says it.
    pub(super) fn image(&self, layout: Option<Layout>) -> Result<ImageShape, DataError> {
        let [_, a, b, c] = self.sizes[..] else {
            let text = format!(
                "the input {} is {}, which images do not fit: give .npy or .npz files",
                Shown(&self.name),
                self.shown()
            );
            return Err(DataError::Options(text));
        };
        let channels = |n: Option<usize>| n.filter(|n| matches!(n, 1 | 3));
        let layout = match (layout, channels(a), channels(c)) {
            (Some(layout), ..) => layout,
            (None, Some(_), None) => Layout::Nchw,
            (None, None, Some(_)) => Layout::Nhwc,
            _ => {
                let (name, shown) = (Shown(&self.name), self.shown());
                return Err(DataError::Options(format!(
                    "the input {name} is {shown}, which does not tell where its channels are: give --layout nchw or nhwc"
                )));
            }
        };
        let (depth, rows, columns) = if layout == Layout::Nchw { (a, b, c) } else { (c, a, b) };
        match depth.unwrap_or(3) {
            channels @ (1 | 3) => Ok(ImageShape { layout, channels, rows, columns }),
            n => Err(DataError::Options(format!(
                "the input {} has {n} channels; images give 1 or 3: give .npy or .npz files",
                Shown(&self.name)
            ))),
        }
    }
}

/// How many rows a feed has along the first axis of every input: `Some(None)` any number, `None` if the inputs have no common first
/// axis, so that a file is a whole feed.
pub(super) fn rows(inputs: &[Input]) -> Option<Option<usize>> {
    let mut first = inputs.iter().map(|input| input.sizes.first().copied());
    let rows = first.next()??;
    first.all(|other| other == Some(rows)).then_some(rows)
}
