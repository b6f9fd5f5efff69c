//! The options with which a user names data and says how images are brought into the model's form.

use super::output::{self, Failure};
use crate::data::{Channels, Layout, Options, Preprocess, Resize, Samples, SplitBy};
use crate::graph::Graph;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct DataArgs {
    /// A folder of images (PNG, JPEG, WebP, BMP), .npy and .npz files, or one such file; may be repeated
    #[arg(long, value_name = "PATH")]
    pub data: Vec<PathBuf>,
    /// How images are prepared, unless the options below say otherwise
    #[arg(long, value_enum, default_value_t = Recipe::Plain)]
    pub preprocess: Recipe,
    /// How an image gets the model's size
    #[arg(long, value_enum)]
    pub resize: Option<Resize>,
    /// Rows and columns of the model's images, where it leaves them open
    #[arg(long, value_name = "ROWSxCOLUMNS", value_parser = size)]
    pub size: Option<(usize, usize)>,
    /// The grey around a letterboxed image, 0 to 255
    #[arg(long, value_name = "GREY")]
    pub pad: Option<u8>,
    /// With --resize crop, the share of the scaled image's shorter side that is kept
    #[arg(long, value_name = "SHARE")]
    pub crop: Option<f64>,
    /// Where the channels are, if the model's input does not tell
    #[arg(long, value_enum)]
    pub layout: Option<Layout>,
    /// The order of the channels
    #[arg(long, value_enum)]
    pub channels: Option<Channels>,
    /// What pixels of 0 to 255 are multiplied with, such as 1/255 (the default for float inputs) or 1
    #[arg(long, value_parser = fraction)]
    pub scale: Option<f64>,
    /// What is then taken away, one number or one a channel
    #[arg(long, value_delimiter = ',', value_name = "MEAN")]
    pub mean: Option<Vec<f64>>,
    /// What is then divided by, one number or one a channel
    #[arg(long, value_delimiter = ',', value_name = "STD")]
    pub std: Option<Vec<f64>>,
    /// Samples in a run of the model, where it leaves the number open
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Take every .npy and .npz file for the inputs of one run, not for rows of samples
    #[arg(long)]
    pub whole_files: bool,
    /// Use only N samples, spread evenly over the data
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// The share of the samples, from 0 to below 1, that is kept from calibration and measured on
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub held_out: f64,
    /// How held-out samples are chosen
    #[arg(long, value_enum, default_value_t = SplitBy::Hash)]
    pub split: SplitBy,
    /// Another number gives another split by hash
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub split_seed: u64,
}

/// What is commonly done to the images of a kind of model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Recipe {
    /// Stretched, RGB, 0 to 1
    Plain,
    /// Letterboxed with grey 114, RGB, 0 to 1
    Yolo,
    /// The middle of the image, RGB, normalised by ImageNet's mean and deviation
    Imagenet,
}

impl DataArgs {
    fn options(&self) -> Options {
        let base = match self.preprocess {
            Recipe::Plain => Preprocess::default(),
            Recipe::Yolo => Preprocess::yolo(),
            Recipe::Imagenet => Preprocess::imagenet(),
        };
        let preprocess = Preprocess {
            resize: self.resize.unwrap_or(base.resize),
            size: self.size,
            pad: self.pad.unwrap_or(base.pad),
            crop: self.crop.unwrap_or(base.crop),
            layout: self.layout,
            channels: self.channels.unwrap_or(base.channels),
            scale: self.scale.or(base.scale),
            mean: self.mean.clone().unwrap_or(base.mean),
            std: self.std.clone().unwrap_or(base.std),
        };
        Options { preprocess, batch: self.batch, whole_files: self.whole_files, limit: self.limit }
    }

    /// The samples to calibrate on and those to measure on. Without `--held-out` they are the same.
    pub fn open(&self, graph: &Graph) -> Result<(Samples, Samples), Failure> {
        if self.data.is_empty() {
            return Err(Failure::Usage("--data PATH: the folder of images, .npy or .npz files is missing".into()));
        }
        let all = Samples::open(&self.data, graph, &self.options()).map_err(Failure::input)?;
        if self.held_out == 0.0 {
            if all.len() == 1 {
                output::warn("there is one sample: ranges will fit it and little else");
            }
            return Ok((all.clone(), all));
        }
        let (kept, held) = all.split(self.split, self.held_out, self.split_seed);
        for (part, what) in [(&kept, "calibrate on"), (&held, "measure on")] {
            if part.feeds() == 0 {
                let (n, share) = (all.len(), self.held_out);
                return Err(Failure::Input(format!("--held-out {share} of {n} samples leaves none to {what}")));
            }
            if part.left_over() > 0 {
                output::warn(format!("{} samples to {what} do not fill a batch and are left out", part.left_over()));
            }
        }
        Ok((kept, held))
    }
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let wrong = || format!("{text:?} is not ROWSxCOLUMNS, such as 640x640");
    let (rows, columns) = text.split_once(['x', 'X']).unwrap_or((text, text));
    Ok((rows.parse().map_err(|_| wrong())?, columns.parse().map_err(|_| wrong())?))
}

fn fraction(text: &str) -> Result<f64, String> {
    let number = |t: &str| t.trim().parse::<f64>().ok().filter(|x| x.is_finite());
    let value = match text.split_once('/') {
        Some((a, b)) => number(a).zip(number(b)).map(|(a, b)| a / b),
        None => number(text),
    };
    value.filter(|x| x.is_finite()).ok_or_else(|| format!("{text:?} is not a number such as 1/255 or 0.0039"))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|x| (0.0..1.0).contains(x));
    share.ok_or_else(|| format!("{text:?} is not a share from 0 to below 1"))
}
