//! From an image file to a row of an input: decode, resize, normalise.

use super::DataError;
use super::input::{ImageShape, Layout};
use clap::ValueEnum;
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage};
use std::io::Cursor;
use std::path::Path;

/// How an image gets the model's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Resize {
    /// Each axis on its own, whatever that does to the proportions
    Stretch,
    /// Proportions kept, centred, padded on both sides
    Letterbox,
    /// Proportions kept, at the top left, padded right and below
    Corner,
    /// Proportions kept, the middle cut out
    Crop,
    /// Not at all: every image keeps its size
    None,
}

/// The order of the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Channels {
    Rgb,
    Bgr,
}

/// What is done to an image's pixels. A value of the tensor is `(pixel · scale − mean) / std`, with pixels from 0 to 255 and mean and
/// std by channel, in the order of `channels`.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocess {
    pub resize: Resize,
    /// Rows and columns; `None` takes the model's.
    pub size: Option<(usize, usize)>,
    /// The pixels around a letterboxed image, 0 to 255.
    pub pad: u8,
    /// Of [`Resize::Crop`]: the share of the scaled image's shorter side that is kept.
    pub crop: f64,
    pub layout: Option<Layout>,
    pub channels: Channels,
    /// `None`: 1/255 for an input of floats, 1 for one of integers.
    pub scale: Option<f64>,
    /// One number for all channels or one each.
    pub mean: Vec<f64>,
    pub std: Vec<f64>,
}

impl Default for Preprocess {
    /// Stretched to the model's size, RGB, 0 to 1.
    fn default() -> Preprocess {
        Preprocess {
            resize: Resize::Stretch,
            size: None,
            pad: 114,
            crop: 0.875,
            layout: None,
            channels: Channels::Rgb,
            scale: None,
            mean: vec![0.0],
            std: vec![1.0],
        }
    }
}

impl Preprocess {
    /// As YOLO models are trained: letterboxed with grey 114, RGB, 0 to 1.
    pub fn yolo() -> Preprocess {
        Preprocess { resize: Resize::Letterbox, ..Preprocess::default() }
    }

    /// As torchvision evaluates on ImageNet: the middle of the image scaled to 8/7, normalised by the data set's mean and deviation.
    pub fn imagenet() -> Preprocess {
        let (mean, std) = (vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]);
        Preprocess { resize: Resize::Crop, mean, std, ..Preprocess::default() }
    }

    pub(super) fn check(&self) -> Result<(), DataError> {
        let wrong = |text: String| Err(DataError::Options(text));
        if let Some(bad) = self.std.iter().find(|s| !s.is_finite() || **s <= 0.0) {
            return wrong(format!("--std {bad}: a deviation is above 0"));
        }
        if !(self.crop > 0.0 && self.crop <= 1.0) {
            return wrong(format!("--crop {}: a share is above 0 and at most 1", self.crop));
        }
        if self.mean.iter().chain(&self.scale).any(|x| !x.is_finite()) {
            return wrong("--mean and --scale take finite numbers".into());
        }
        if self.size.is_some_and(|(h, w)| !(1..=1 << 14).contains(&h) || !(1..=1 << 14).contains(&w)) {
            return wrong("--size: rows and columns are from 1 to 16384".into());
        }
        Ok(())
    }

    /// Rows and columns that images get; `None` if each keeps its own.
    pub(super) fn target(&self, shape: &ImageShape) -> Result<Option<(usize, usize)>, DataError> {
        if let Some((rows, columns)) = self.size {
            let fits = |model: Option<usize>, n: usize| model.is_none_or(|m| m == n);
            if !fits(shape.rows, rows) || !fits(shape.columns, columns) {
                let side = |n: Option<usize>| n.map_or("?".to_string(), |n| n.to_string());
                return Err(DataError::Options(format!(
                    "--size {rows}x{columns}: the model takes {}x{}",
                    side(shape.rows),
                    side(shape.columns)
                )));
            }
            return Ok(Some((rows, columns)));
        }
        match (shape.rows, shape.columns, self.resize) {
            (_, _, Resize::None) => Ok(None),
            (Some(rows), Some(columns), _) => Ok(Some((rows, columns))),
            _ => Err(DataError::Options(
                "the model leaves the size of its images open: give --size ROWSxCOLUMNS, or --resize none".into(),
            )),
        }
    }
}

/// Decodes an image by its content, whatever its name says, the way up that its EXIF data tell.
pub(super) fn decode(path: &Path) -> Result<RgbImage, DataError> {
    let io = |source| DataError::Io { path: path.into(), source };
    let failed = |source| DataError::Image { path: path.into(), source };
    let bytes = std::fs::read(path).map_err(io)?;
    let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(io)?;
    let cut = reader.format() == Some(ImageFormat::Jpeg) && !jpeg_ends(&bytes);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let orientation = decoder.orientation().map_err(failed)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    image.apply_orientation(orientation);
    if cut {
        return Err(DataError::CutOff { path: path.into() });
    }
    Ok(image.into_rgb8())
}

/// Whether an end of image (FF D9) follows the last start of a scan (FF DA): neither occurs within a scan's data, and a thumbnail's lie
/// before the picture's own.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) > last(0xda)
}

/// The image with the model's size. Scaling is bilinear, over all pixels that fall into one where it shrinks.
pub(super) fn resized(image: RgbImage, to: Option<(usize, usize)>, how: &Preprocess) -> RgbImage {
    let Some((rows, columns)) = to else { return image };
    let (w, h) = image.dimensions();
    let (rows, columns) = (rows as u32, columns as u32);
    let scale_to = |image: &RgbImage, w: u32, h: u32| imageops::resize(image, w.max(1), h.max(1), FilterType::Triangle);
    let (sx, sy) = (f64::from(columns) / f64::from(w), f64::from(rows) / f64::from(h));
    let at = |factor: f64| ((f64::from(w) * factor).round() as u32, (f64::from(h) * factor).round() as u32);
    match how.resize {
        Resize::None => image,
        Resize::Stretch => scale_to(&image, columns, rows),
        Resize::Letterbox | Resize::Corner => {
            let (w, h) = at(sx.min(sy));
            let small = scale_to(&image, w.min(columns), h.min(rows));
            let mut canvas = RgbImage::from_pixel(columns, rows, Rgb([how.pad; 3]));
            let centred = how.resize == Resize::Letterbox;
            let offset = |whole: u32, part: u32| if centred { i64::from((whole - part) / 2) } else { 0 };
            imageops::replace(&mut canvas, &small, offset(columns, small.width()), offset(rows, small.height()));
            canvas
        }
        Resize::Crop => {
            let (w, h) = at(sx.max(sy) / how.crop);
            let large = scale_to(&image, w.max(columns), h.max(rows));
            let (x, y) = ((large.width() - columns) / 2, (large.height() - rows) / 2);
            imageops::crop_imm(&large, x, y, columns, rows).to_image()
        }
    }
}

/// The values of an image in the tensor's order.
pub(super) fn values(image: &RgbImage, shape: &ImageShape, how: &Preprocess, scale: f64) -> Vec<f32> {
    let pixels = image.as_raw();
    let count = pixels.len() / 3;
    let of = |numbers: &[f64], c: usize| numbers.get(c).or(numbers.last()).copied();
    let normal = |c: usize, pixel: f64| {
        ((pixel * scale - of(&how.mean, c).unwrap_or(0.0)) / of(&how.std, c).unwrap_or(1.0)) as f32
    };
    // What a pixel's byte becomes, by channel.
    let table: Vec<Vec<f32>> =
        (0..shape.channels).map(|c| (0..256).map(|p| normal(c, f64::from(p))).collect()).collect();
    let mut to = vec![0f32; count * shape.channels];
    for (i, rgb) in pixels.chunks_exact(3).enumerate() {
        if shape.channels == 1 {
            // ITU-R BT.601, as OpenCV and PIL have it.
            let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(f64::from);
            to[i] = normal(0, (0.299 * r + 0.587 * g + 0.114 * b).round());
            continue;
        }
        for (c, of_pixel) in table.iter().enumerate() {
            let from = if how.channels == Channels::Rgb { c } else { 2 - c };
            let at = if shape.layout == Layout::Nchw { c * count + i } else { i * 3 + c };
            to[at] = of_pixel[usize::from(rgb[from])];
        }
    }
    to
}
