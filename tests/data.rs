//! Data for calibration: files in, feeds out.

use image::{Rgb, RgbImage};
use pointweld::data::{Channels, DataError, Layout, Options, Preprocess, Resize, Samples, SplitBy};
use pointweld::dtype::DType;
use pointweld::graph::{Builder, Graph};
use pointweld::npy;
use pointweld::shape;
use pointweld::shape::Shape;
use pointweld::tensor::Tensor;
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

fn model(inputs: &[(&str, DType, Shape)]) -> Graph {
    let mut b = Builder::new("g");
    for (name, dtype, shape) in inputs {
        let x = b.input(name, *dtype, shape.clone());
        b.output(&format!("{name}_out"), x);
    }
    b.finish().unwrap()
}

fn one(dtype: DType, shape: Shape) -> Graph {
    model(&[("x", dtype, shape)])
}

fn open(folder: &Path, graph: &Graph, options: &Options) -> Result<Samples, DataError> {
    Samples::open(&[PathBuf::from(folder)], graph, options)
}

/// An image of one colour but for a red pixel at the top left.
fn save(path: &Path, width: u32, height: u32, colour: [u8; 3]) {
    let mut image = RgbImage::from_pixel(width, height, Rgb(colour));
    image.put_pixel(0, 0, Rgb([255, 0, 0]));
    image.save(path).unwrap();
}

fn with(preprocess: Preprocess) -> Options {
    Options { preprocess, ..Options::default() }
}

#[test]
fn an_images_pixels_arrive_where_the_layout_says_normalised_by_channel() {
    let folder = tempfile::tempdir().unwrap();
    save(&folder.path().join("a.png"), 2, 2, [51, 102, 204]);
    let how = Preprocess { mean: vec![0.1, 0.2, 0.3], std: vec![0.5, 1.0, 2.0], ..Preprocess::default() };
    let pixel = |c: usize, p: f64| ((p / 255.0 - [0.1, 0.2, 0.3][c]) / [0.5, 1.0, 2.0][c]) as f32;
    let planes = [[255.0, 51.0], [0.0, 102.0], [0.0, 204.0]];
    let nchw: Vec<f32> = (0..3).flat_map(|c| [0, 1, 1, 1].map(|i| pixel(c, planes[c][i]))).collect();
    let feed = |dtype, shape, how| open(folder.path(), &one(dtype, shape), &with(how)).unwrap().feed(0).unwrap();
    let x = feed(DType::F32, shape![1, 3, 2, 2], how.clone());
    assert_eq!((x[0].0.as_str(), x[0].1.to_vec::<f32>().unwrap()), ("x", nchw.clone()));
    let nhwc: Vec<f32> = (0..4).flat_map(|i| [0, 1, 2].map(|c| nchw[c * 4 + i])).collect();
    assert_eq!(feed(DType::F32, shape!["b", 2, 2, 3], how.clone())[0].1.to_vec::<f32>().unwrap(), nhwc);
    // BGR: the first channel is blue, with the first mean.
    let bgr = Preprocess { channels: Channels::Bgr, ..how };
    assert_eq!(feed(DType::F32, shape![1, 3, 2, 2], bgr)[0].1.to_vec::<f32>().unwrap()[1], pixel(0, 204.0));
    // Bytes stay bytes.
    let x = feed(DType::U8, shape!["b", 2, 2, 3], Preprocess::default());
    assert_eq!(x[0].1.to_vec::<u8>().unwrap()[..6], [255, 0, 0, 51, 102, 204]);
    // Grey by BT.601.
    let x = feed(DType::U8, shape!["b", 1, 2, 2], Preprocess::default());
    assert_eq!(x[0].1.to_vec::<u8>().unwrap()[1], (0.299f64 * 51.0 + 0.587 * 102.0 + 0.114 * 204.0).round() as u8);
}

#[test]
fn resizing_keeps_or_gives_up_the_proportions_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    RgbImage::from_fn(40, 20, |x, _| Rgb([if x < 20 { 0 } else { 200 }; 3])).save(folder.path().join("a.png")).unwrap();
    let rows = |resize| {
        let how = Preprocess { resize, size: Some((8, 8)), pad: 50, crop: 1.0, ..Preprocess::default() };
        let samples = open(folder.path(), &one(DType::U8, shape![1, 1, "h", "w"]), &with(how)).unwrap();
        let x = samples.feed(0).unwrap().remove(0).1;
        assert_eq!(x.sizes(), [1, 1, 8, 8]);
        let x = x.to_vec::<u8>().unwrap();
        (0..8).map(|r| [x[8 * r], x[8 * r + 7]]).collect::<Vec<_>>()
    };
    assert_eq!(rows(Resize::Stretch), [[0, 200]; 8]);
    let (pad, band) = ([50, 50], [0, 200]);
    assert_eq!(rows(Resize::Letterbox), [pad, pad, band, band, band, band, pad, pad]);
    assert_eq!(rows(Resize::Corner), [band, band, band, band, pad, pad, pad, pad]);
    // The middle 20×20, whose halves are dark and light.
    assert_eq!(rows(Resize::Crop), [[0, 200]; 8]);
    let keep = with(Preprocess { resize: Resize::None, ..Preprocess::default() });
    let samples = open(folder.path(), &one(DType::F32, shape![1, 3, "h", "w"]), &keep).unwrap();
    assert_eq!(samples.feed(0).unwrap()[0].1.sizes(), [1, 3, 20, 40]);
}

#[test]
fn images_are_taken_in_the_order_of_their_paths_and_batched() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("b")).unwrap();
    for (i, name) in ["c.png", "b/2.bmp", "a.JPG", "b/1.webp", "z.png"].iter().enumerate() {
        save(&folder.path().join(name), 4, 4, [10 * i as u8; 3]);
    }
    fs::write(folder.path().join("labels.txt"), "no image").unwrap();
    let graph = one(DType::F32, shape![2, 3, 4, 4]);
    let samples = open(folder.path(), &graph, &Options::default()).unwrap();
    let names: Vec<String> = (0..samples.len()).map(|i| samples.name(i)).collect();
    assert_eq!(names, ["a.JPG", "b/1.webp", "b/2.bmp", "c.png", "z.png"]);
    // Two at a time: the fifth is left over.
    assert_eq!((samples.feeds(), samples.left_over(), samples.iter().len()), (2, 1, 2));
    assert!(samples.iter().all(|feed| feed.unwrap()[0].1.sizes() == [2, 3, 4, 4]));
    let open_batch = one(DType::F32, shape!["b", 3, 4, 4]);
    let options = Options { batch: Some(3), ..Options::default() };
    let samples = open(folder.path(), &open_batch, &options).unwrap();
    let sizes: Vec<usize> = samples.iter().map(|feed| feed.unwrap()[0].1.sizes()[0]).collect();
    assert_eq!((sizes, samples.left_over()), (vec![3, 2], 0));
    let options = Options { limit: Some(2), ..Options::default() };
    let samples = open(folder.path(), &open_batch, &options).unwrap();
    assert_eq!([samples.name(0), samples.name(1)], ["a.JPG", "b/2.bmp"]);
}

#[test]
fn rows_of_arrays_are_samples_however_the_file_holds_them() {
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<f32> = (0..24).map(|i| i as f32 / 4.0).collect();
    let tensor = Tensor::from_slice(&[4, 6], &values).unwrap();
    let double = Tensor::from_f64(DType::F64, &[4, 6], &tensor.to_f64()).unwrap();
    let graph = one(DType::F32, shape!["n", 6]);
    let check = |path: &Path| {
        let samples = open(path, &graph, &Options { batch: Some(3), ..Options::default() }).unwrap();
        assert_eq!((samples.len(), samples.feeds()), (4, 2));
        let feeds: Vec<Tensor> = samples.iter().map(|feed| feed.unwrap().remove(0).1).collect();
        assert_eq!(feeds[0].to_vec::<f32>().unwrap(), values[..18]);
        assert_eq!((feeds[1].sizes(), feeds[1].to_vec::<f32>().unwrap()), (&[1, 6][..], values[18..].to_vec()));
    };
    for (name, tensor) in [("f32.npy", &tensor), ("f64.npy", &double)] {
        npy::write(&folder.path().join(name), tensor).unwrap();
        check(&folder.path().join(name));
    }
    let stored = folder.path().join("stored.npz");
    npy::write_archive(&stored, &[("labels".into(), double.clone()), ("x".into(), tensor.clone())]).unwrap();
    check(&stored);
    let packed = folder.path().join("packed.npz");
    let mut archive = npyz::npz::NpzWriter::create(&packed).unwrap();
    let options = npyz::zip::write::FileOptions::default().compression_method(npyz::zip::CompressionMethod::Deflated);
    {
        use npyz::WriterBuilder;
        let mut array = archive.array("x", options).unwrap().default_dtype().shape(&[4, 6]).begin_nd().unwrap();
        array.extend(values.iter().copied()).unwrap();
        array.finish().unwrap();
    }
    drop(archive);
    check(&packed);
    // Column after column.
    let columns = folder.path().join("columns.npy");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    let header = "{'descr': '<f4', 'fortran_order': True, 'shape': (4, 6), }";
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    (0..24).for_each(|i| file.extend(values[i % 4 * 6 + i / 4].to_le_bytes()));
    fs::write(&columns, file).unwrap();
    check(&columns);
}

#[test]
fn a_model_of_several_inputs_takes_archives() {
    let folder = tempfile::tempdir().unwrap();
    let graph = model(&[("a", DType::F32, shape!["n", 2]), ("h", DType::I64, shape![4, 1])]);
    let a = Tensor::from_slice(&[3, 2], &[0f32; 6]).unwrap();
    let h = Tensor::from_slice(&[4, 1], &[1i32, 2, 3, 4]).unwrap();
    let path = folder.path().join("1.npz");
    npy::write_archive(&path, &[("h".into(), h), ("a".into(), a.clone()), ("label".into(), a.clone())]).unwrap();
    let samples = open(&path, &graph, &Options::default()).unwrap();
    let feed = samples.feed(0).unwrap();
    let sizes: Vec<_> = feed.iter().map(|(name, t)| (name.as_str(), t.dtype(), t.sizes().to_vec())).collect();
    assert_eq!(sizes, [("a", DType::F32, vec![3, 2]), ("h", DType::I64, vec![4, 1])]);
    save(&folder.path().join("x.png"), 2, 2, [0; 3]);
    let error = open(folder.path(), &graph, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("x.png") && error.contains("2 inputs (a, h)") && error.contains(".npz"), "{error}");
    npy::write(&folder.path().join("a.npy"), &a).unwrap();
    let error = open(&folder.path().join("a.npy"), &graph, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("a.npy: holds no array a; it has none"), "{error}");
}

#[test]
fn bad_data_are_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let graph = one(DType::F32, shape!["n", 3, 4, 4]);
    let says = |path: &Path, graph: &Graph, options: &Options, parts: &[&str]| {
        let first = |samples: Samples| samples.iter().try_for_each(|feed| feed.map(drop));
        let error = open(path, graph, options).and_then(first).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    let plain = Options::default();
    fs::write(folder.path().join("readme.md"), "").unwrap();
    says(folder.path(), &graph, &plain, &["no data in it", "holds 1 other file"]);
    says(&folder.path().join("readme.md"), &graph, &plain, &["readme.md: is neither"]);
    says(&folder.path().join("none"), &graph, &plain, &["none: No such file"]);
    let path = folder.path().join("broken.png");
    fs::write(&path, b"\x89PNG\r\n\x1a\n cut").unwrap();
    says(&path, &graph, &plain, &["broken.png: the image can't be decoded"]);
    // A decoder fills the rest of a JPEG with grey, thumbnail or not.
    let path = folder.path().join("cut.jpg");
    save(&path, 40, 40, [200, 90, 30]);
    let whole = fs::read(&path).unwrap();
    let thumbnail = [&[0xff, 0xe1, 0, 10, 0xff, 0xda, 0, 0, 0xff, 0xd9, 0, 0][..], &whole[2..]].concat();
    let thumbnail = [&whole[..2], &thumbnail].concat();
    for whole in [whole, thumbnail] {
        fs::write(&path, &whole).unwrap();
        open(&path, &graph, &plain).unwrap().feed(0).unwrap();
        fs::write(&path, &whole[..whole.len() - 2]).unwrap();
        says(&path, &graph, &plain, &["cut.jpg: the image is cut off", "remove"]);
    }
    // Told when data are opened, not after an hour of calibration; no room is made for rows that a header only claims.
    let path = folder.path().join("claims.npy");
    let header = format!("{:<117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3, 4, 4), }");
    fs::write(&path, [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes()].concat()).unwrap();
    assert!(open(&path, &graph, &plain).unwrap_err().to_string().contains("bytes of data, and there are 0"));
    fs::write(&path, [b"\x93NUMPY\x01\x00\x76\x00", header.replace("3, 4, 4", "0, 4, 4").as_bytes()].concat()).unwrap();
    let none = one(DType::F32, shape!["n", 0, 4, 4]);
    assert!(open(&path, &none, &plain).unwrap_err().to_string().contains("1000000000000 samples, more than"));
    let path = folder.path().join("wrong.npy");
    npy::write(&path, &Tensor::from_slice(&[2, 3, 4, 5], &[0f32; 120]).unwrap()).unwrap();
    says(&path, &graph, &plain, &["wrong.npy: is [2, 3, 4, 5]", "f32[?, 3, 4, 4]"]);
    let path = folder.path().join("nan.npy");
    npy::write(&path, &Tensor::from_slice(&[48], &[f32::NAN; 48]).unwrap().reshaped(&[3, 4, 4]).unwrap()).unwrap();
    says(&path, &graph, &plain, &["nan.npy: 48 NaN and 0 infinities for the input x", "repair or remove"]);
    let path = folder.path().join("half.npy");
    npy::write(&path, &Tensor::from_slice(&[3], &[1.0f32, 2.5, 3.0]).unwrap()).unwrap();
    says(&path, &one(DType::I8, shape![3]), &plain, &["half.npy: element 0 is 2.5", "i8"]);
    save(&folder.path().join("a.png"), 4, 4, [0; 3]);
    let image = folder.path().join("a.png");
    says(&image, &one(DType::F32, shape!["n", 3, "h", "w"]), &plain, &["give --size"]);
    says(&image, &one(DType::F32, shape!["n", 3, "h", 3]), &plain, &["--layout nchw or nhwc"]);
    says(&image, &one(DType::F32, shape!["n", 3]), &plain, &["images do not fit"]);
    says(&image, &graph, &with(Preprocess { size: Some((8, 8)), ..Default::default() }), &["--size 8x8", "takes 4x4"]);
    says(&image, &graph, &with(Preprocess { std: vec![0.0], ..Default::default() }), &["--std 0"]);
    says(&image, &graph, &with(Preprocess { layout: Some(Layout::Nhwc), ..Default::default() }), &["4 channels"]);
    says(&image, &one(DType::F32, shape![4, 3, 4, 4]), &plain, &["takes 4 samples at a time, and there are 1"]);
    let options = Options { batch: Some(2), ..Options::default() };
    says(&image, &one(DType::F32, shape![1, 3, 4, 4]), &options, &["--batch 2: the model takes 1"]);
    let other = folder.path().join("b.png");
    save(&other, 5, 4, [0; 3]);
    let options = Options { batch: Some(2), ..with(Preprocess { resize: Resize::None, ..Default::default() }) };
    let graph = one(DType::F32, shape!["n", 3, "h", "w"]);
    let samples = Samples::open(&[image, other], &graph, &options).unwrap();
    let error = samples.feed(0).unwrap_err().to_string();
    assert!(error.contains("a.png") && error.contains("b.png have different sizes"), "{error}");
}

proptest! {
    #[test]
    fn splits_and_shards_take_every_sample_once(n in 1usize..80, share in 0.0f64..1.0, seed: u64, shards in 1usize..9) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        npy::write(&path, &Tensor::from_slice(&[n, 1], &vec![0u8; n]).unwrap()).unwrap();
        let graph = one(DType::U8, shape!["n", 1]);
        let samples = open(&path, &graph, &Options::default()).unwrap();
        let names = |part: &Samples| (0..part.len()).map(|i| part.name(i)).collect::<Vec<_>>();
        let sorted = |parts: &[Samples]| {
            let mut all: Vec<String> = parts.iter().flat_map(&names).collect();
            all.sort();
            all
        };
        let whole = sorted(std::slice::from_ref(&samples));
        for by in [SplitBy::Hash, SplitBy::Index] {
            let (kept, held) = samples.split(by, share, seed);
            if by == SplitBy::Index {
                prop_assert!((held.len() as f64 - share * n as f64).abs() <= 1.0);
            }
            prop_assert_eq!(sorted(&[kept, held]), whole.clone());
        }
        let parts: Vec<Samples> = (0..shards).map(|i| samples.shard(i, shards)).collect();
        prop_assert_eq!(sorted(&parts), whole);
    }
}
