//! One file for each form of loop nest: it decides what each line of its skeleton says.

mod channels;
mod codes16;
mod doubt;
mod flat;
mod lines;
mod product;
mod rows;
mod table;
mod transposed;

pub use channels::channels;
pub use codes16::codes16;
pub use doubt::Doubts;
pub use flat::flat;
pub use product::{depthwise, patch, product};
pub use rows::rows;
pub use table::{Staged, contents, lookups};
pub use transposed::transposed;

use super::body::{self, Body, Output};
use super::launch::Blocks;
use super::params::Param;
use super::types::{Class, Precision, bytes};
use super::{EmitError, names};
use crate::plan::{Arg, Compute, IndexWidth, Kernel, Rounding, Schedule, Traffic, layout};
use std::collections::BTreeSet;
use tera::Context;

/// A skeleton with all that fills it but the kernel's name and the definitions it needs.
pub struct Filled {
    /// What the kernel's name says of it.
    pub name: String,
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
    pub table: Option<Staged>,
}

impl<'a> Parts<'a> {
    pub fn new(kernel: &'a Kernel) -> Result<Parts<'a>, EmitError> {
        if let Some(table) = kernel.schedule.table {
            let (staged, body) = table::body(kernel, table)?;
            return Ok(Parts { kernel, body, exact: None, table: Some(staged) });
        }
        let precision = match kernel.schedule.compute {
            Compute::Packed if layout::in_pairs(kernel, &kernel.schedule.form) => Precision::Packed,
            compute => Precision::Native { fast: compute == Compute::Fast },
        };
        let body = body::write(kernel, precision)?;
        let guarded = kernel.schedule.rounding.iter().any(|(_, r)| matches!(r, Rounding::Guarded { .. }));
        let exact = if guarded && body.is_guarded() { Some(body::write(kernel, Precision::Double)?) } else { None };
        let table = (!kernel.schedule.lookups.is_empty()).then(|| Staged::of_lookups(kernel));
        Ok(Parts { kernel, body, exact, table })
    }

    pub fn width(&self) -> IndexWidth {
        self.kernel.schedule.index
    }

    /// Passes through the element's lines for a vector of so many elements.
    pub fn lanes(&self, vector: u32) -> u32 {
        if self.is_packed() { vector / 2 } else { vector }
    }

    fn is_packed(&self) -> bool {
        let Schedule { compute, form, table, .. } = &self.kernel.schedule;
        table.is_none() && *compute == Compute::Packed && layout::in_pairs(self.kernel, form)
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

    /// Lines that define the element of load `i` which the body names, from `words` at `index`. `whole` says of a store that
    /// it takes the words of its load as they are.
    pub fn unpack(&self, i: usize, words: &str, index: &str, whole: impl Fn(usize) -> bool) -> Vec<String> {
        let dtype = self.kernel.loads[i].dtype;
        let mut lines = Vec::new();
        if let Some(code) = self.table.as_ref().and_then(|table| table.code(&format!("{words}, {index}"))) {
            return vec![code];
        }
        let mut stores = (0..self.kernel.stores.len()).filter(|&store| self.stored(store) == Some(i));
        if self.body.native.contains(&i) || stores.any(|store| !whole(store)) {
            let name = names::element(i);
            let c_type = Class::of(dtype, Precision::Native { fast: false }).c_type();
            lines.push(match (self.is_packed(), index) {
                // Of a single element both halves are the same.
                (true, "0") => format!("const u32 {name} = both_halves({words});"),
                (true, _) => format!("const u32 {name} = get_pair({words}, {index});"),
                (false, _) => format!("const {c_type} {name} = get_{dtype}({words}, {index});"),
            });
        }
        if self.body.as_float.contains(&i) {
            let name = names::element_as_float(i);
            lines.push(format!("const float {name} = get_{dtype}_as_float({words}, {index});"));
        }
        lines
    }

    /// True if the kernel needs load `i` at all.
    pub fn used(&self, i: usize) -> bool {
        let mut stores = 0..self.kernel.stores.len();
        self.body.native.contains(&i)
            || self.body.as_float.contains(&i)
            || stores.any(|store| self.stored(store) == Some(i))
    }

    /// The load whose element store `i` stores as it is.
    pub fn stored(&self, i: usize) -> Option<usize> {
        match self.kernel.stores[i].value {
            Arg::Load(load) => Some(load as usize),
            _ => None,
        }
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
            lines.extend(doubt::notes(self));
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
        let stored = (0..self.kernel.stores.len()).filter_map(|store| self.stored(store));
        let named: BTreeSet<usize> = exact.native.iter().copied().chain(stored).collect();
        for i in named {
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
        params.extend(self.table.iter().map(|_| Param::table()));
        params.extend(sizes);
        let scalars = self.exact.iter().chain([&self.body]).flat_map(|body| &body.params);
        for scalar in scalars {
            if !params.iter().any(|p| p.name == scalar.name) {
                params.push(scalar.clone());
            }
        }
        params
    }

    /// The first part of the kernel's name: its ops, or that it looks them up.
    pub fn name(&self) -> String {
        match &self.table {
            Some(table) if table.is_whole() => table.name(self.kernel),
            _ => ops(self.kernel),
        }
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
        context.insert("table", &self.table);
        context
    }
}

/// The ops of a kernel, joined; the first few of a long one.
fn ops(kernel: &Kernel) -> String {
    const SHOWN: usize = 4;
    let mut names: Vec<&str> = kernel.body.iter().take(SHOWN).map(|stmt| stmt.op.name()).collect();
    if names.is_empty() {
        names.push("copy");
    }
    if kernel.body.len() > SHOWN {
        names.push("etc");
    }
    names.join("_")
}
