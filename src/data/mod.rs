//! The data that a model is calibrated and measured on: folders of images, `.npy` and `.npz` files, brought into the form that the
//! model's inputs take, one feed at a time.
//!
//! A *sample* is one image, or one row of an array along its first axis; a *feed* is what the model takes at once: as many samples as
//! its first axis has, or [`Options::batch`] of them. Samples come in the order of their paths, the same on every machine. Only the feed
//! that is asked for is in memory: an image is decoded when its turn comes, and rows are read from the middle of a file. (An array that
//! is compressed, or column after column, is read whole.)

mod error;
mod input;
mod picture;
mod source;
mod split;

pub use error::DataError;
pub use input::{Input, Layout};
pub use picture::{Channels, Preprocess, Resize};
pub use split::SplitBy;

use crate::dtype::DType;
use crate::graph::Graph;
use crate::name::Shown;
use crate::scalar::{Number, Scalar};
use crate::tensor::Tensor;
use source::{Source, SourceKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The inputs of a model for one run, by name, in the model's order.
pub type Feed = Vec<(String, Tensor)>;

/// Samples that are taken at most: rows of no bytes cost a file nothing.
const MOST: usize = 1 << 24;

/// How data are read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// What is done to images. Arrays are given to the model as they are, converted to its type.
    pub preprocess: Preprocess,
    /// Samples in a feed, where the model leaves it open; 1 by default.
    pub batch: Option<usize>,
    /// Every array file is one feed, not rows of samples.
    pub whole_files: bool,
    /// Read only so many samples, spread evenly over all.
    pub limit: Option<usize>,
}

/// The samples for a model, or a part of them. Cloning shares what is open.
#[derive(Debug, Clone)]
pub struct Samples {
    all: Arc<All>,
    /// Which ones of all, in order.
    chosen: Vec<usize>,
    /// Samples in a feed.
    batch: usize,
    /// Whether a feed may have fewer.
    partial: bool,
}

/// Everything that was found.
#[derive(Debug)]
struct All {
    inputs: Vec<Input>,
    sources: Vec<Source>,
    /// The source and the row in it of each sample.
    samples: Vec<(u32, usize)>,
    preprocess: Preprocess,
    /// Whether the samples of a feed are joined along the first axis.
    rows: bool,
}

impl Samples {
    /// Finds the samples at these places, folders or files, for the inputs of a graph.
    ///
    /// # Errors
    /// If a place is missing or holds no data, an array does not fit the model's inputs (only headers are read here), or the options do
    /// not fit the model.
    pub fn open(places: &[PathBuf], graph: &Graph, options: &Options) -> Result<Samples, DataError> {
        options.preprocess.check()?;
        let inputs = Input::of_graph(graph)?;
        if inputs.is_empty() {
            return Err(DataError::Options("the model has no inputs to give data to".into()));
        }
        let rows = input::rows(&inputs).filter(|_| !options.whole_files);
        let (batch, partial) = match (rows, options.batch) {
            (_, Some(0)) => return Err(DataError::Options("--batch 0: a feed has at least one sample".into())),
            (Some(Some(fixed)), None) => (fixed, fixed == 1),
            (Some(Some(fixed)), Some(n)) if n == fixed => (fixed, fixed == 1),
            (Some(Some(fixed)), Some(n)) => {
                return Err(DataError::Options(format!("--batch {n}: the model takes {fixed} at a time")));
            }
            (Some(None), n) => (n.unwrap_or(1), true),
            (None, None | Some(1)) => (1, true),
            (None, Some(n)) => {
                return Err(DataError::Options(format!(
                    "--batch {n}: the model's inputs share no first axis, so a file is a whole feed"
                )));
            }
        };
        if batch == 0 {
            return Err(DataError::Options("the model's first axis has size 0: it takes no data".into()));
        }
        let mut sources = Vec::new();
        let mut samples = Vec::new();
        for (path, name) in source::find(places)? {
            let source = source::open(path, name, &inputs, rows.is_some())?;
            let found = samples.len().saturating_add(source.samples);
            if found > MOST {
                return Err(DataError::TooMany { path: source.path, found });
            }
            samples.extend((0..source.samples).map(|row| (sources.len() as u32, row)));
            sources.push(source);
        }
        if let Some(image) = sources.iter().find(|s| matches!(s.kind, SourceKind::Image)) {
            let [input] = &inputs[..] else {
                let names: Vec<String> = inputs.iter().map(|i| Shown(&i.name).to_string()).collect();
                return Err(DataError::Options(format!(
                    "{}: the model has {} inputs ({}), and an image is one: give .npz files with an array for each",
                    image.path.display(),
                    names.len(),
                    names.join(", ")
                )));
            };
            options.preprocess.target(&input.image(options.preprocess.layout)?)?;
        }
        let chosen = match options.limit.filter(|n| *n < samples.len()) {
            Some(0) => return Err(DataError::Options("--limit 0: no sample is left".into())),
            Some(limit) => (0..limit).map(|i| i * samples.len() / limit).collect(),
            None => (0..samples.len()).collect(),
        };
        let all = All { inputs, sources, samples, preprocess: options.preprocess.clone(), rows: rows.is_some() };
        let found = Samples { all: Arc::new(all), chosen, batch, partial };
        if found.feeds() == 0 {
            let text = format!("the model takes {batch} samples at a time, and there are {}", found.len());
            return Err(DataError::Options(text));
        }
        Ok(found)
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.chosen.len()
    }

    pub fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// Number of feeds.
    pub fn feeds(&self) -> usize {
        if self.partial { self.len().div_ceil(self.batch) } else { self.len() / self.batch }
    }

    /// Samples in a feed; the last may have fewer.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Samples that are in no feed, because the model takes a fixed number at a time and they do not fill one.
    pub fn left_over(&self) -> usize {
        if self.partial { 0 } else { self.len() % self.batch }
    }

    /// The sample's name: its file's path below the folder that was named, and its row if it has several.
    pub fn name(&self, sample: usize) -> String {
        let (source, row) = self.all.samples[self.chosen[sample]];
        let source = &self.all.sources[source as usize];
        if source.samples == 1 { source.name.clone() } else { format!("{}#{row}", source.name) }
    }

    /// The samples that remain, and those that are held out: `share` of them, from 0 to 1.
    pub fn split(&self, by: SplitBy, share: f64, seed: u64) -> (Samples, Samples) {
        let out = |i: usize| split::held_out(by, share, seed, i, &self.name(i));
        let (held, kept): (Vec<usize>, Vec<usize>) = (0..self.len()).partition(|i| out(*i));
        (self.of(&kept), self.of(&held))
    }

    /// So many of the samples, spread evenly over them; all if there are no more.
    pub fn spread(&self, count: usize) -> Samples {
        let count = count.min(self.len());
        self.of(&(0..count).map(|i| i * self.len() / count).collect::<Vec<_>>())
    }

    /// Shard `index` of `count`: every sample is in one of them.
    pub fn shard(&self, index: usize, count: usize) -> Samples {
        let mine: Vec<usize> = (0..self.len()).filter(|i| i % count.max(1) == index).collect();
        self.of(&mine)
    }

    fn of(&self, samples: &[usize]) -> Samples {
        Samples { chosen: samples.iter().map(|i| self.chosen[*i]).collect(), ..self.clone() }
    }

    /// The feeds in order, each read when it is asked for.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<Feed, DataError>> + '_ {
        (0..self.feeds()).map(|i| self.feed(i))
    }

    /// Reads one feed.
    ///
    /// # Errors
    /// If a file can't be read or decoded, or holds what the input's type does not, or NaN or infinities; if the samples of a feed differ
    /// in size.
    ///
    /// # Panics
    /// If there are not so many feeds.
    pub fn feed(&self, index: usize) -> Result<Feed, DataError> {
        let first = index * self.batch;
        let chosen = &self.chosen[first..(first + self.batch).min(self.len())];
        let all = &*self.all;
        let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); all.inputs.len()];
        for sample in chosen {
            let (source, row) = all.samples[*sample];
            let source = &all.sources[source as usize];
            let tensors = match &source.kind {
                SourceKind::Image => vec![all.image(&source.path)?],
                SourceKind::Arrays(arrays) => {
                    let tensors = arrays.iter().zip(&all.inputs).map(|(array, input)| {
                        let tensor = if array.sizes.len() == input.sizes.len() && all.rows {
                            array.rows(row, 1)?
                        } else {
                            array.whole()?
                        };
                        converted(tensor, input, &source.path, all.rows)
                    });
                    tensors.collect::<Result<Vec<Tensor>, DataError>>()?
                }
            };
            parts.iter_mut().zip(tensors).for_each(|(parts, tensor)| parts.push(tensor));
        }
        let path = |i: usize| all.sources[all.samples[chosen[i]].0 as usize].path.as_path();
        let joined = all.inputs.iter().zip(parts).map(|(input, parts)| {
            let tensor = joined(&parts).map_err(|other| DataError::Batch {
                a: path(0).into(),
                b: path(other).into(),
                a_sizes: parts[0].sizes().to_vec(),
                b_sizes: parts[other].sizes().to_vec(),
            })?;
            if !input.takes(tensor.sizes()) {
                let (input, expected, found) = (input.name.clone(), input.shown(), tensor.sizes().to_vec());
                return Err(DataError::Shape { path: path(0).into(), input, found, expected });
            }
            Ok((input.name.clone(), tensor))
        });
        joined.collect()
    }
}

impl All {
    /// An image as a row of the only input.
    fn image(&self, path: &Path) -> Result<Tensor, DataError> {
        let (input, how) = (&self.inputs[0], &self.preprocess);
        let shape = input.image(how.layout)?;
        let image = picture::resized(picture::decode(path)?, how.target(&shape)?, how);
        let (rows, columns) = (image.height() as usize, image.width() as usize);
        let scale = how.scale.unwrap_or(if input.dtype.is_float() { 1.0 / 255.0 } else { 1.0 });
        let values = picture::values(&image, &shape, how, scale);
        let sizes = match shape.layout {
            Layout::Nchw => [1, shape.channels, rows, columns],
            Layout::Nhwc => [1, rows, columns, shape.channels],
        };
        let made = match input.dtype {
            DType::F32 => Tensor::from_vec(&sizes, values),
            // A byte or an integer takes the nearest number.
            dtype => {
                let round = |x: f32| if dtype.is_float() { f64::from(x) } else { f64::from(x).round_ties_even() };
                Tensor::from_numbers(dtype, &sizes, values.into_iter().map(|x| Number::Float(round(x))))
            }
        };
        made.map_err(|error| DataError::Options(error.to_string()))
    }
}

/// An array's tensor as the input takes it: with the first axis that a single row lacks, and of the input's type. A float takes the
/// nearest value; an integer must be the same.
fn converted(tensor: Tensor, input: &Input, path: &Path, rows: bool) -> Result<Tensor, DataError> {
    let wrong = |error: crate::tensor::TensorError| DataError::Options(error.to_string());
    let tensor = if rows && tensor.sizes().len() < input.sizes.len() {
        let sizes: Vec<usize> = std::iter::once(1).chain(tensor.sizes().iter().copied()).collect();
        tensor.reshaped(&sizes).map_err(wrong)?
    } else {
        tensor
    };
    if tensor.dtype().is_float() {
        let (mut nan, mut infinite) = (0, 0);
        for x in tensor.to_f64().into_iter().filter(|x| !x.is_finite()) {
            *(if x.is_nan() { &mut nan } else { &mut infinite }) += 1;
        }
        if nan + infinite > 0 {
            return Err(DataError::NotFinite { path: path.into(), input: input.name.clone(), nan, infinite });
        }
    }
    let dtype = input.dtype;
    if tensor.dtype() == dtype {
        return Ok(tensor);
    }
    let numbers: Vec<Number> = tensor.numbers().collect();
    let kept = |number: &Number| dtype.is_float() || Scalar::new(dtype, *number).number().as_f64() == number.as_f64();
    if let Some(at) = numbers.iter().position(|number| !kept(number)) {
        let (input, value) = (input.name.clone(), numbers[at].as_f64());
        return Err(DataError::Value { path: path.into(), input, at, value, dtype });
    }
    Tensor::from_numbers(dtype, tensor.sizes(), numbers).map_err(wrong)
}

/// Tensors of one type joined along their first axis; or which of them differs from the first.
fn joined(parts: &[Tensor]) -> Result<Tensor, usize> {
    let first = &parts[0];
    if parts.len() == 1 {
        return Ok(first.clone());
    }
    if let Some(other) = parts.iter().position(|part| part.sizes() != first.sizes()) {
        return Err(other);
    }
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes().iter().copied()).collect();
    let mut sizes = first.sizes().to_vec();
    sizes.iter_mut().take(1).for_each(|n| *n *= parts.len());
    Tensor::new(first.dtype(), sizes, bytes.into()).map_err(|_| 0)
}
