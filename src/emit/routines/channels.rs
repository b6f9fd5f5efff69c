//! Channels put last, with zeros behind them up to a round number: a thread takes one place, whose channels leave as one vector.

use super::writer::Writer;
use super::{count, dim, malformed};
use crate::dim::Dim;
use crate::emit::{Blocks, EmitError, KernelSource, Options};
use crate::plan::Stage;
use tera::Context;

const THREADS: u32 = 256;

pub fn emit(stage: &Stage, channels: u64, options: &Options) -> Result<KernelSource, EmitError> {
    let [images, own, spatial @ ..] = &stage.reads[0].shape[..] else {
        return Err(malformed(stage, "an operand without channels"));
    };
    let Some(own) = own.known().and_then(|n| u64::try_from(n).ok()).filter(|own| *own <= channels) else {
        return Err(malformed(stage, "channels that are not known"));
    };
    // What is not converted is moved as bits.
    let raw = stage.reads[0].dtype == stage.writes[0].dtype;
    let mut w = Writer::new(stage, raw);
    let places = count(stage, spatial)?;
    let mut lines = w.coordinates("at", &[("image".to_owned(), images.clone()), ("place".to_owned(), places.clone())]);
    let pitch = places.mul(&Dim::fixed(own as i64)).map_err(dim(stage))?;
    let first = w.offset("x0", &[("image".to_owned(), pitch), ("place".to_owned(), Dim::ONE)]);
    lines.push(format!("const off first = {first};"));
    w.signed("places", &places);
    let elements: Vec<String> = (0..channels)
        .map(|c| if c < own { format!("read_x0(x0 + (first + {c} * places))") } else { "0".to_owned() })
        .collect();
    let (c_type, packed) = w.packed(0, "elements");
    lines.push(format!("const {c_type} elements[{channels}] = {{{}}};", elements.join(", ")));
    let size = u64::from(stage.writes[0].dtype.bits() / 8);
    let bytes = channels * size;
    let align = if bytes.is_power_of_two() { bytes.min(16) } else { size };
    w.align(0, align as u32);
    lines.push(format!("store<{bytes}, {align}>(y0 + (off)at * {channels}, {packed});"));
    let places = images.mul(&places).map_err(dim(stage))?;
    w.size("count", &places);
    let mut context = Context::new();
    context.insert("what", "Channels last, with zeros behind them.");
    context.insert("lines", &lines);
    w.finish("routines/map", context, THREADS, Blocks::Threads(vec![(places, 1)]), options)
}
