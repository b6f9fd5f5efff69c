//! One file for each form of loop nest: it decides what each line of its skeleton says.

mod flat;
mod rows;

pub use flat::flat;
pub use rows::rows;

use super::body::{self, Body, Output};
use super::launch::Blocks;
use super::params::Param;
use super::types::{Class, Precision, bytes};
use super::{EmitError, names};
use crate::plan::{Compute, IndexWidth, Kernel, Rounding, Traffic};
use tera::Context;

/// A skeleton with all that fills it but the kernel's name and the definitions it needs.
pub struct Filled {
    pub template: &'static str,
    pub context: Context,
    pub params: Vec<Param>,
    pub blocks: Blocks,
    pub dynamic_shared: u32,
}

/// A kernel with its body, in the precision of its schedule and, where a rounding may be left in doubt, in f64.
pub struct Parts<'a> {
    pub kernel: &'a Kernel,
    pub body: Body,
    pub exact: Option<Body>,
}

impl<'a> Parts<'a> {
    pub fn new(kernel: &'a Kernel) -> Result<Parts<'a>, EmitError> {
        let fast = kernel.schedule.compute == Compute::Fast;
        let body = body::write(kernel, Precision::Native { fast })?;
        let guarded = kernel.schedule.rounding.iter().any(|(_, r)| matches!(r, Rounding::Guarded { .. }));
        let exact =
            if guarded && !body.doubts.is_empty() { Some(body::write(kernel, Precision::Double)?) } else { None };
        Ok(Parts { kernel, body, exact })
    }

    pub fn width(&self) -> IndexWidth {
        self.kernel.schedule.index
    }

    /// Bytes of an element of load `i`.
    pub fn load_bytes(&self, i: usize) -> u64 {
        bytes(self.kernel.loads[i].dtype)
    }

    pub fn store_bytes(&self, i: usize) -> u64 {
        bytes(self.kernel.stores[i].dtype)
    }

    /// The function that loads what is read once.
    pub fn load_once(&self) -> &'static str {
        match self.kernel.schedule.traffic {
            Traffic::Cached => "load",
            Traffic::Streamed => "load_once",
        }
    }

    pub fn store_once(&self) -> &'static str {
        match self.kernel.schedule.traffic {
            Traffic::Cached => "store",
            Traffic::Streamed => "store_once",
        }
    }

    /// Lines that define the element of load `i` which the body names, from `words` at `index`.
    pub fn unpack(&self, i: usize, words: &str, index: &str) -> Vec<String> {
        let dtype = self.kernel.loads[i].dtype;
        let mut lines = Vec::new();
        if self.body.native.contains(&i) {
            let c_type = Class::of(dtype, Precision::Native { fast: false }).c_type();
            lines.push(format!("const {c_type} {} = get_{dtype}({words}, {index});", names::element(i)));
        }
        if self.body.as_float.contains(&i) {
            let name = names::element_as_float(i);
            lines.push(format!("const float {name} = get_{dtype}_as_float({words}, {index});"));
        }
        lines
    }

    /// True if the body names load `i` at all.
    pub fn used(&self, i: usize) -> bool {
        self.body.native.contains(&i) || self.body.as_float.contains(&i)
    }

    /// A load of the one element at an address.
    pub fn element_at(&self, i: usize, address: &str) -> String {
        let size = self.load_bytes(i);
        format!("load<{size}, {size}>({address})")
    }

    /// The statements of one element and what notes that one of its codes is in doubt.
    pub fn statements(&self) -> Vec<String> {
        let mut lines = self.body.lines.clone();
        if self.exact.is_some() {
            lines.push(format!("if ({}) doubt |= 1u << e;", self.body.doubts.join(" || ")));
        }
        lines
    }

    /// Lines that compute element `e` again in f64 and put its results where `place` says. `address` gives the address of an
    /// element of a load.
    pub fn exact_lines(
        &self,
        address: impl Fn(usize) -> String,
        place: impl Fn(usize, &Output) -> Vec<String>,
    ) -> Vec<String> {
        let Some(exact) = &self.exact else { return Vec::new() };
        let mut lines = Vec::new();
        for &i in &exact.native {
            let dtype = self.kernel.loads[i].dtype;
            let c_type = Class::of(dtype, Precision::Double).c_type();
            let element = self.element_at(i, &address(i));
            lines.push(format!("const {c_type} {} = get_{dtype}({element}, 0);", names::element(i)));
        }
        lines.extend(exact.lines.iter().cloned());
        for (i, output) in exact.outputs.iter().enumerate() {
            lines.extend(place(i, output));
        }
        lines
    }

    /// The parameters in the order of the text: pointers, sizes and strides, scalars.
    pub fn params(&self, pointers: Vec<Param>, sizes: Vec<Param>) -> Vec<Param> {
        let mut params = pointers;
        params.extend(sizes);
        let scalars = self.exact.iter().chain([&self.body]).flat_map(|body| &body.params);
        for scalar in scalars {
            if !params.iter().any(|p| p.name == scalar.name) {
                params.push(scalar.clone());
            }
        }
        params
    }

    /// A context with what every skeleton has.
    pub fn context(&self) -> Context {
        let mut context = Context::new();
        let (idx, off) = match self.width() {
            IndexWidth::Bits32 => ("u32", "i32"),
            IndexWidth::Bits64 => ("u64", "i64"),
        };
        context.insert("index", &std::collections::BTreeMap::from([("idx", idx), ("off", off)]));
        context.insert("threads", &self.kernel.schedule.threads);
        context.insert("doubtful", &self.exact.is_some());
        context
    }
}
