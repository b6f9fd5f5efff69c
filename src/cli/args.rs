//! What the command line takes.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;

use super::data::DataArgs;
use super::sensitivity::SensitivityArgs;
use crate::quant::Calibrator;
use crate::target::Arch;

/// Fuses the pointwise ops of a graph, INT8 edges included, into CUDA kernels: compiles, explains, verifies and runs them.
#[derive(Debug, Parser)]
#[command(
    name = "pointweld",
    version,
    max_term_width = 110,
    after_help = "\
Examples:
  pointweld demo
  pointweld compile model.onnx -o out --arch sm_90 --dim batch=8
  pointweld explain model.onnx --node /model.0/act/Mul
  pointweld emit --expr 'y:i8 = quantize(silu(dequantize(x:i8, 0.05)), 0.04)'

Exit codes: 0 done; 1 a kernel is out of its bound or does not compile; 2 wrong command line; 3 wrong input;
4 something this machine lacks (NVRTC, a driver, a GPU, a folder one may write to); 130 interrupted."
)]
pub struct Cli {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compile a model: plan, kernels, cubins, PTX, C header and graph into a folder
    #[command(after_help = "\
Examples:
  pointweld compile model.onnx -o out
  pointweld compile model.onnx -o out --arch sm_80,sm_90 --dim batch=8 --dim width=640
  pointweld compile model.onnx -o out --output /model.0/act/Sigmoid_output_0   # a tap on an intermediate")]
    Compile(CompileArgs),
    /// Say what fused, what did not and why, with bytes and launches before and after
    #[command(after_help = "\
Examples:
  pointweld explain model.onnx
  pointweld explain model.onnx --node /model.0/act/Mul
  pointweld explain model.onnx --dump-after patterns --stop-after patterns")]
    Explain(ExplainArgs),
    /// Execute a model and write its outputs as .npy files
    #[command(after_help = "\
Examples:
  pointweld run model.onnx --input images=x.npy -o out
  pointweld run model.onnx --random 7 -o out          # random inputs of the model's shapes
  pointweld run model.onnx --input images=x.npy -o out --device cuda")]
    Run(RunArgs),
    /// Measure what each group of a float model loses on INT8 codes, and choose which to leave in float
    #[command(after_help = "\
Examples:
  pointweld sensitivity model.onnx --data images --preprocess yolo --held-out 0.4 --html sensitivity.html
  pointweld sensitivity model.onnx --data images --target-db 34 -o mixed.onnx   # as few groups in float as reach it
  pointweld sensitivity model.onnx --data images --keep-float 5 -o mixed.onnx
  pointweld sensitivity model.onnx --data images --replace silu=hardswish")]
    Sensitivity(Box<SensitivityArgs>),
    /// Generate a kernel from one line of text
    #[command(after_help = "\
Examples:
  pointweld emit --expr 'y:i8 = quantize(silu(dequantize(x:i8, 0.05)), 0.04)'
  pointweld emit --expr 'y = relu(x:f16[n,64,40,40] + b:f16[64,1,1])' --arch sm_90 -o out
  pointweld emit --expr 's = cast.f32(a:i32[n,64]) * k:f32[64]; t = gelu(s); u:u8 = quantize(s, 0.1, 128)'

A formula: results are named, separated by `;`, and those that no other reads are the outputs. A name met first on the right
is an input, with its type behind a colon (f32) and its shape in brackets ([n]). Functions are the rows of `pointweld ops`, with
+ - * / and comparisons; quantize(x, scale, zero_point) goes to the type of the result's name, or quantize.u8(…) says it;
cast.f16(x) casts, dequantize(x, scale, zero_point) gives f32, transpose(x) swaps the two innermost axes.")]
    Emit(EmitArgs),
    /// Prove a model's kernels: execute them on edge cases and random data against the reference, on the CPU from their PTX or on a GPU
    #[command(after_help = "\
Examples:
  pointweld verify model.onnx
  pointweld verify model.onnx --samples 100000 --arch sm_80
  pointweld verify model.onnx --device cuda")]
    Verify(VerifyArgs),
    /// Calibrate a float model on data and write it with INT8 codes at its fusion boundaries
    #[command(after_help = "\
Examples:
  pointweld quantize model.onnx --data images -o int8.onnx
  pointweld quantize model.onnx --data images --shard 3/8 -o part3.json     # on eight machines …
  pointweld quantize model.onnx --merge part*.json -o int8.onnx             # … and then once")]
    Quantize(QuantizeArgs),
    /// Measure a model on this machine's GPU, kernel by kernel, or formulas: time, bandwidth, and whether the results are right
    #[command(after_help = "\
Examples:
  pointweld bench model.onnx --batch 1,8,32 --plot model.svg
  pointweld bench --expr 'y = silu(x:f16[n])' --dim n=67108864
  pointweld bench --cases benches/cases.json
  pointweld bench --cases benches/products.json --predict    # without a GPU")]
    Bench(BenchArgs),
    /// Measure what each kernel of a model may run as on this machine's GPU, and keep the fastest in a lock file
    #[command(after_help = "\
Examples:
  pointweld tune model.onnx --dim batch=8 -o pointweld.lock.json
  pointweld tune model.onnx --dim batch=8 --model            # without a GPU: what the model predicts
  pointweld compile model.onnx --dim batch=8 --lock pointweld.lock.json -o out")]
    Tune(TuneArgs),
    /// Compile and run the built-in model: a YOLOv5 C3 block with INT8 Q/DQ
    Demo(DemoArgs),
    /// Say what this machine has: NVRTC, cache, driver, GPUs
    Doctor,
    /// List the op table
    Ops(OpsArgs),
    /// Show or clear the cache of compiled kernels
    Cache(CacheArgs),
    /// Print a shell's completion script
    #[command(after_help = "Example:\n  pointweld completions bash > /etc/bash_completion.d/pointweld")]
    Completions { shell: Shell },
}

/// Which model, and how its graph is read and fused.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// The ONNX file
    pub model: PathBuf,
    #[command(flatten)]
    pub fusion: FusionArgs,
}

#[derive(Debug, Clone, Args, Default)]
pub struct FusionArgs {
    /// The size of a named dimension, NAME=N; may be repeated
    #[arg(long = "dim", value_name = "NAME=N", value_parser = binding)]
    pub dims: Vec<(String, u64)>,
    /// Never fuse these two nodes into one kernel; may be repeated
    #[arg(long, value_name = "A,B", value_parser = pair)]
    pub keep_apart: Vec<(String, String)>,
    /// Fuse these two neighbouring nodes whatever the cost says; may be repeated
    #[arg(long, value_name = "A,B", value_parser = pair)]
    pub fuse: Vec<(String, String)>,
    /// Also store this intermediate value, from the very same kernel; may be repeated
    #[arg(long = "output", value_name = "NAME")]
    pub taps: Vec<String>,
    /// Leave convolutions and matrix products in kernels of their own, instead of welding groups onto them
    #[arg(long)]
    pub no_weld: bool,
    /// Weld groups onto the convolutions and matrix products that they follow: the default
    #[arg(long, hide = true, conflicts_with = "no_weld")]
    pub weld: bool,
    /// Compute the f32 convolutions and matrix products of the model, and what leads to them, in this type
    #[arg(long, value_enum, value_name = "TYPE")]
    pub float: Option<FloatArg>,
    /// Keep this node in f32 all the same; may be repeated
    #[arg(long, value_name = "NAME", requires = "float")]
    pub keep_f32: Vec<String>,
    /// Run kernels as this lock file says, which `tune` wrote
    #[arg(long, value_name = "FILE")]
    pub lock: Option<PathBuf>,
    /// Allow INT8 codes to differ from the exact ones near rounding ties, for speed
    #[arg(long)]
    pub fast: bool,
    /// Print the graph after this pass
    #[arg(long, value_name = "PASS")]
    pub dump_after: Vec<String>,
    /// Run no pass after this one
    #[arg(long, value_name = "PASS")]
    pub stop_after: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FloatArg {
    F16,
    Bf16,
}

#[derive(Debug, Args)]
pub struct CompileArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The folder to write to; it is made if need be
    #[arg(short, long)]
    pub out: PathBuf,
    /// Architectures to compile for, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "sm_90")]
    pub arch: Vec<Arch>,
    /// Compile without reading or writing the cache
    #[arg(long)]
    pub no_cache: bool,
    /// Threads to compile on (0: one a core)
    #[arg(short, long, default_value_t = 0)]
    pub jobs: usize,
    /// Say what limits each kernel by the instructions of its machine code; needs nvdisasm, which takes half a second a kernel
    #[arg(long)]
    pub estimate: bool,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Explain this node only, by its name in the model
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// An input's data, NAME=FILE.npy; an .npz file alone gives all inputs by name; may be repeated
    #[arg(long = "input", value_name = "NAME=FILE")]
    pub inputs: Vec<String>,
    /// Fill the inputs that are not given with random data of this seed
    #[arg(long, value_name = "SEED")]
    pub random: Option<u64>,
    /// The folder for the outputs
    #[arg(short, long)]
    pub out: PathBuf,
    /// Where to run
    #[arg(long, value_enum, default_value_t = DeviceArg::Cpu)]
    pub device: DeviceArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceArg {
    /// The reference executor
    Cpu,
    /// The first GPU
    Cuda,
}

#[derive(Debug, Args)]
pub struct EmitArgs {
    /// The formula, such as 'y = silu(x:f16)'
    #[arg(long)]
    pub expr: String,
    #[command(flatten)]
    pub fusion: FusionArgs,
    /// Also compile for these architectures, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub arch: Vec<Arch>,
    /// Write to this folder instead of printing
    #[arg(short, long)]
    pub out: Option<PathBuf>,
    /// Say what limits each kernel by the instructions of its machine code; needs nvdisasm, which takes half a second a kernel
    #[arg(long)]
    pub estimate: bool,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Random samples a kernel, besides the edge cases
    #[arg(long, default_value_t = 4096)]
    pub samples: usize,
    /// The seed of the random samples
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The architecture to compile for [default: sm_90, or the GPU's]
    #[arg(long)]
    pub arch: Option<Arch>,
    /// Where to execute the kernels
    #[arg(long, value_enum, default_value_t = MachineArg::Cpu)]
    pub device: MachineArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MachineArg {
    /// The interpreter of their PTX, which also reports races and what leaves a buffer
    Cpu,
    /// The first GPU
    Cuda,
}

#[derive(Debug, Args)]
pub struct QuantizeArgs {
    /// The ONNX file
    pub model: PathBuf,
    /// The model to write; with --shard, the observations
    #[arg(short, long)]
    pub out: PathBuf,
    /// The size of a named dimension, NAME=N; may be repeated
    #[arg(long = "dim", value_name = "NAME=N", value_parser = binding)]
    pub dims: Vec<(String, u64)>,
    /// How scales are chosen: margin[=20%], minmax, percentile[=99.99], entropy, mse, power[=6]
    #[arg(long, default_value = "margin", value_parser = calibrator)]
    pub calibrator: Calibrator,
    /// The codes of activations: u8, or for TensorRT i8, unless given
    #[arg(long, value_enum)]
    pub activations: Option<ActivationsArg>,
    /// What else is to read the model
    #[arg(long, value_enum, default_value_t = TargetArg::Any)]
    pub target: TargetArg,
    /// Leave a group, a node's group, or all groups of a subgraph in float, by name; may be repeated
    #[arg(long, value_name = "NAME")]
    pub keep_float: Vec<String>,
    /// The largest share of the model's multiply-adds that is left in float where INT8 costs most accuracy, as 5% or 0.05; 0 leaves
    /// none (needs samples: with --merge, give --data too)
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = share)]
    pub float_macs: f64,
    /// Measure what groups and ranges cost at the model's outputs on N of the samples, spread evenly
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = count)]
    pub measure_on: usize,
    /// Leave biases as they are, instead of letting them take back the mean error of rounded weights
    #[arg(long)]
    pub no_bias_correction: bool,
    /// Choose each activation's range by what it does to the model's outputs
    #[arg(long, conflicts_with = "shard")]
    pub refine: bool,
    /// Only observe part I of N of the data, and write what was seen
    #[arg(long, value_name = "I/N", value_parser = shard, conflicts_with = "merge")]
    pub shard: Option<(usize, usize)>,
    /// Take what others have observed, in these files, instead of observing data
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub merge: Vec<PathBuf>,
    /// Where to write ranges, scales and histograms (default: calibration.json beside the model written)
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<PathBuf>,
    /// Write a page (or, to a .json file, data) with each tensor's range, histogram, codes and calibrators, and what to look at
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub data: DataArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TargetArg {
    /// Whatever reads Q/DQ by ONNX's rules, such as ONNX Runtime
    Any,
    /// Also TensorRT: symmetric i8 codes everywhere, weights as values behind a Q/DQ pair
    Tensorrt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ActivationsArg {
    /// With zero points: best for lopsided ranges, such as those of SiLU and ReLU
    U8,
    /// Symmetric, without zero points, as TensorRT demands
    I8,
    /// Signed, with zero points
    I8Asymmetric,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The ONNX file of a whole model
    #[arg(conflicts_with_all = ["expr", "cases"])]
    pub model: Option<PathBuf>,
    /// The model's batch sizes, separated by commas: sizes of the first input's first dimension
    #[arg(long, value_delimiter = ',', requires = "model")]
    pub batch: Vec<u64>,
    /// Bring a kernel in only when the one before it has ended
    #[arg(long, requires = "model")]
    pub serial: bool,
    /// Also draw the model's timings into this SVG file
    #[arg(long, value_name = "FILE", requires = "model")]
    pub plot: Option<PathBuf>,
    /// The formula, at the sizes that --dim gives
    #[arg(long, conflicts_with = "cases")]
    pub expr: Option<String>,
    /// A JSON file: a list of {name, expr, dims}
    #[arg(long)]
    pub cases: Option<PathBuf>,
    /// Of these, only those with this text in their names
    #[arg(long, value_name = "TEXT", requires = "cases")]
    pub only: Option<String>,
    /// Also every blocking of a case's product in which a warp has the copy engine fill the stages for all others (sm_90)
    #[arg(long)]
    pub specialised: bool,
    /// The seed of the random data
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print what the analytic model predicts, beside the roofline, instead of measuring; needs no GPU
    #[arg(long)]
    pub predict: bool,
    /// The architecture that is predicted for [default: sm_90]
    #[arg(long, requires = "predict")]
    pub arch: Option<Arch>,
    #[command(flatten)]
    pub fusion: FusionArgs,
}

#[derive(Debug, Args)]
pub struct TuneArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The lock file to write
    #[arg(short, long, default_value = "pointweld.lock.json")]
    pub out: PathBuf,
    /// Write the analytic model's choices instead of measuring; needs no GPU
    #[arg(long = "model")]
    pub by_model: bool,
    /// The architecture that the analytic model chooses for [default: sm_90]
    #[arg(long, requires = "by_model")]
    pub arch: Option<Arch>,
    /// Schedules that are measured of each kernel
    #[arg(long, default_value_t = 8)]
    pub candidates: usize,
    /// The seed of the random data
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// The folder to write to
    #[arg(short, long, default_value = "out/demo")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct OpsArgs {
    /// Write the table as a Markdown page
    #[arg(long)]
    pub markdown: bool,
    /// Only ops whose name, or whose name in ONNX, contains this
    pub name: Option<String>,
}

#[derive(Debug, Args)]
pub struct CacheArgs {
    /// Remove every entry
    #[arg(long)]
    pub clear: bool,
}

pub(super) fn binding(text: &str) -> Result<(String, u64), String> {
    let (name, size) = text.rsplit_once('=').ok_or("expected NAME=N, such as batch=8")?;
    let size = size.parse().map_err(|_| format!("{size:?} is not a size"))?;
    Ok((name.to_string(), size))
}

/// Part I of N, counted from 1; given as an index from 0.
fn shard(text: &str) -> Result<(usize, usize), String> {
    let parsed = text.split_once('/').and_then(|(i, n)| Some((i.parse::<usize>().ok()?, n.parse::<usize>().ok()?)));
    match parsed {
        Some((i, n)) if (1..=n).contains(&i) => Ok((i - 1, n)),
        _ => Err("expected I/N with I from 1 to N, such as 3/8".into()),
    }
}

/// A share from 0 to 1, or a percentage.
/// A number of samples to measure on.
pub(super) fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("{text:?} is not a number from 1 on"))
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    let number = |t: &str| t.trim().parse::<f64>().ok();
    let share = text.strip_suffix('%').map_or_else(|| number(text), |percent| number(percent).map(|p| p / 100.0));
    share.filter(|x| (0.0..=1.0).contains(x)).ok_or_else(|| format!("{text:?} is not a share such as 5% or 0.05"))
}

pub(super) fn calibrator(text: &str) -> Result<Calibrator, String> {
    let percentile = |p: &str| p.parse().ok().filter(|p| (50.0..=100.0).contains(p)).map(Calibrator::Percentile);
    match text.split_once('=').unwrap_or((text, "")) {
        ("margin", "") => Ok(Calibrator::MARGIN),
        ("margin", part) => share(part).map(Calibrator::Margin),
        ("minmax", "") => Ok(Calibrator::MinMax),
        ("entropy", "") => Ok(Calibrator::Entropy),
        ("mse", "") => Ok(Calibrator::Mse),
        ("power", "") => Ok(Calibrator::Power(6)),
        ("power", p) => {
            let power = p.parse().ok().filter(|p| (2..=16).contains(p)).map(Calibrator::Power);
            power.ok_or(format!("{p:?} is not a power from 2 to 16"))
        }
        ("percentile", "") => Ok(Calibrator::Percentile(99.99)),
        ("percentile", p) => percentile(p).ok_or(format!("{p:?} is not a percentage from 50 to 100")),
        _ => {
            Err("expected margin, margin=SHARE, minmax, percentile, percentile=P, entropy, mse, power or power=P"
                .into())
        }
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split(',').collect::<Vec<_>>()[..] {
        [a, b] if !a.is_empty() && !b.is_empty() => Ok((a.to_string(), b.to_string())),
        _ => Err("expected two node names separated by a comma".into()),
    }
}
