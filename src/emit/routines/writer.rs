//! Puts a stage's text together: pointers, sizes, index arithmetic, and the functions that read and write one element.

use crate::dim::Dim;
use crate::dtype::DType;
use crate::emit::index::Indexer;
use crate::emit::params::{Param, ParamValue};
use crate::emit::types::{Class, Precision, bytes, packer};
use crate::emit::{Blocks, EmitError, Filled, KernelSource, Options, finish, names};
use crate::plan::{IndexWidth, Stage};
use serde::Serialize;
use tera::Context;

/// How an element type is read and written.
#[derive(Serialize)]
struct Access {
    /// The pointer's name; the functions are `read_x0`, `write_y0`.
    name: String,
    dtype: DType,
    c_type: &'static str,
    bytes: u64,
    packer: String,
}

/// See the module's page.
pub struct Writer<'a> {
    pub stage: &'a Stage,
    indexer: Indexer<'static>,
    pointers: Vec<Param>,
    reads: Vec<Access>,
    writes: Vec<Access>,
    /// Bytes that each result's address is a multiple of.
    aligned: Vec<u32>,
}

impl<'a> Writer<'a> {
    /// With every tensor's elements as their own types. `raw`: as unsigned integers of the same width, for what is moved only.
    pub fn new(stage: &'a Stage, raw: bool) -> Writer<'a> {
        let mut writer = Writer {
            stage,
            indexer: Indexer { domain: &[], width: stage.index, params: Vec::new() },
            pointers: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            aligned: stage.writes.iter().map(|operand| bytes(operand.dtype) as u32).collect(),
        };
        let seen = |dtype| if raw { bits_of(dtype) } else { dtype };
        for (i, operand) in stage.reads.iter().enumerate() {
            writer.reads.push(access(names::load(i), seen(operand.dtype)));
        }
        for (i, operand) in stage.writes.iter().enumerate() {
            writer.writes.push(access(names::store(i), seen(operand.dtype)));
        }
        writer
    }

    /// Makes operand `i` one of integers as they are, whatever the others are: an index among moved elements.
    pub fn typed(&mut self, i: usize) {
        self.reads[i] = access(names::load(i), self.stage.reads[i].dtype);
    }

    /// The class that computes operand `i`.
    pub fn class(&self, i: usize) -> Class {
        Class::of(self.stage.reads[i].dtype, Precision::Native { fast: false })
    }

    /// The type of the elements of result `i`, and the words that an array of them packs into.
    pub fn packed(&self, i: usize, array: &str) -> (&'static str, String) {
        let Access { c_type, packer, .. } = &self.writes[i];
        (c_type, format!("{packer}({array})"))
    }

    /// Demands that the address of result `i` is a multiple of so many bytes, for vectors of its elements.
    pub fn align(&mut self, i: usize, bytes: u32) {
        self.aligned[i] = bytes;
    }

    /// A size as an unsigned parameter.
    pub fn size(&mut self, name: &str, dim: &Dim) {
        self.indexer.param(Param::size(name.to_owned(), dim, self.stage.index));
    }

    /// A size as a signed parameter, for arithmetic that goes below zero.
    pub fn signed(&mut self, name: &str, dim: &Dim) {
        self.indexer.param(Param::stride(name.to_owned(), dim, self.stage.index));
    }

    /// A number as a signed parameter.
    pub fn number(&mut self, name: &str, number: i64) {
        self.indexer.param(Param::stride(name.to_owned(), &Dim::fixed(number), self.stage.index));
    }

    pub fn float(&mut self, name: &str, value: f32) {
        self.indexer.param(Param::float(name.to_owned(), value));
    }

    /// Lines that define the coordinates of element `at` of the row-major space of these axes, each a name with its size.
    pub fn coordinates(&mut self, at: &str, axes: &[(String, Dim)]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = at.to_owned();
        for (i, (name, size)) in axes.iter().enumerate().rev() {
            if size.is(1) {
                lines.push(format!("constexpr idx {name} = 0;"));
            } else if axes[..i].iter().all(|(_, outer)| outer.is(1)) {
                lines.push(format!("const idx {name} = {rest};"));
                rest = "0".into();
            } else {
                let (of, quotient) = (format!("{name}_n"), format!("{name}_q"));
                let text = self.indexer.quotient(&rest, &of, size);
                lines.push(format!("const idx {quotient} = {text};"));
                lines.push(format!("const idx {name} = {rest} - {quotient} * {of};"));
                rest = quotient;
            }
        }
        lines
    }

    /// Σ coordinate·stride; the strides' parameters are named after `prefix`.
    pub fn offset(&mut self, prefix: &str, terms: &[(String, Dim)]) -> String {
        let mut sum = Vec::new();
        for (i, (coordinate, stride)) in terms.iter().enumerate() {
            if stride.is(0) {
                continue;
            }
            if stride.is(1) {
                sum.push(format!("(off){coordinate}"));
            } else {
                let name = format!("{prefix}_s{i}");
                self.indexer.param(Param::stride(name.clone(), stride, self.stage.index));
                sum.push(format!("(off){coordinate} * {name}"));
            }
        }
        if sum.is_empty() { "0".to_owned() } else { sum.join(" + ") }
    }

    /// Fills a template. `threads` a block, `blocks` as the grid needs.
    pub fn finish(
        mut self,
        template: &'static str,
        mut context: Context,
        threads: u32,
        blocks: Blocks,
        options: &Options,
    ) -> Result<KernelSource, EmitError> {
        for (i, (operand, access)) in self.stage.reads.iter().zip(&self.reads).enumerate() {
            let value = ParamValue::Load { index: i as u32, align: bytes(operand.dtype) as u32 };
            let c_type = format!("const {}* __restrict__", access.dtype);
            self.pointers.push(Param { name: access.name.clone(), c_type, value });
        }
        for (i, (_, access)) in self.stage.writes.iter().zip(&self.writes).enumerate() {
            let value = ParamValue::Store { index: i as u32, align: self.aligned[i] };
            let c_type = format!("{}* __restrict__", access.dtype);
            self.pointers.push(Param { name: access.name.clone(), c_type, value });
        }
        let (idx, off) = match self.stage.index {
            IndexWidth::Bits32 => ("u32", "i32"),
            IndexWidth::Bits64 => ("u64", "i64"),
        };
        context.insert("index", &std::collections::BTreeMap::from([("idx", idx), ("off", off)]));
        context.insert("threads", &threads);
        // Tera divides into floats.
        context.insert("warps", &(threads / 32));
        context.insert("half", &(threads / 64));
        context.insert("reads", &self.reads);
        context.insert("writes", &self.writes);
        let mut params = self.pointers;
        params.extend(self.indexer.params);
        let name = self.stage.work.name().to_owned();
        let filled = Filled { name, template, context, params, blocks, dynamic_shared: 0 };
        finish(&self.stage.name, threads, self.stage.index, filled, options)
    }
}

fn access(name: String, dtype: DType) -> Access {
    let c_type = Class::of(dtype, Precision::Native { fast: false }).c_type();
    Access { name, dtype, c_type, bytes: bytes(dtype), packer: packer(dtype) }
}

/// The unsigned integer of the same width.
fn bits_of(dtype: DType) -> DType {
    match dtype.bits() {
        64 => DType::U64,
        32 => DType::U32,
        16 => DType::U16,
        _ => DType::U8,
    }
}
