//! Bodies that look up: the host evaluates the kernel once for every code of its one operand, exactly, and a kernel of any
//! length becomes a load from shared memory.

use super::super::EmitError;
use super::super::body::{Body, Output};
use super::super::types::bytes;
use crate::plan::{Kernel, Table};
use crate::reference::{Rounding, body};
use crate::scalar::{Number, Scalar};
use serde::Serialize;
use std::collections::BTreeSet;

/// How a table lies in shared memory, and how an element becomes an index.
#[derive(Debug, Clone, Serialize)]
pub struct Staged {
    /// 16-byte pieces of the whole table.
    pieces: u64,
    /// A pointer for each store's part.
    pointers: Vec<String>,
    /// The C type of a code where every result is looked up; `None` where only chains are ([`Schedule::lookups`](crate::plan::Schedule)).
    code: Option<&'static str>,
    /// Of each store's part the C type, where it begins in 16-byte pieces, and the entries from a channel to the next.
    #[serde(skip)]
    parts: Vec<(&'static str, u64, u64)>,
}

impl Staged {
    /// Bytes of the whole table.
    pub fn bytes(&self) -> u32 {
        16 * self.pieces as u32
    }

    /// The pointers of a thread whose first channel is `column` of those that its block staged; the first one if that is empty.
    pub fn pointers_at(&self, column: &str) -> Vec<String> {
        let pointer = |(i, (c_type, at, stride)): (usize, &(&str, u64, u64))| {
            let ahead = if column.is_empty() { String::new() } else { format!(" + {column} * {stride}u") };
            format!("const {c_type}* const table{i} = (const {c_type}*)(staged + {at}){ahead};")
        };
        self.parts.iter().enumerate().map(pointer).collect()
    }

    /// The line that defines the code of an element, from its words and index, where every result is looked up by it.
    pub fn code(&self, place: &str) -> Option<String> {
        self.code.map(|code| format!("const {code} code = get_{code}({place});"))
    }

    /// The tables of a kernel's look-ups, one after the other.
    pub fn of_lookups(kernel: &Kernel) -> Staged {
        let at = |i: usize| i * ENTRIES * 4 / 16;
        let lookups = kernel.schedule.lookups.len();
        let pointers =
            (0..lookups).map(|i| format!("const float* const lookup{i} = (const float*)(staged + {});", at(i)));
        Staged { pieces: at(lookups) as u64, pointers: pointers.collect(), code: None, parts: Vec::new() }
    }

    /// True if the whole body is in the table.
    pub fn is_whole(&self) -> bool {
        self.code.is_some()
    }

    /// What a kernel's name says of it: not its ops, which are in the table and not in the text.
    pub fn name(&self, kernel: &Kernel) -> String {
        let stores: Vec<&str> = kernel.stores.iter().map(|store| store.dtype.name()).collect();
        let load = kernel.channels().map_or(0, |channels| channels.load);
        let from = kernel.loads.get(load).map_or("", |load| load.dtype.name());
        format!("table_{from}_{}", stores.join("_"))
    }
}

/// Entries of a table of 8-bit codes.
const ENTRIES: usize = 1 << 8;

fn codes(table: Table) -> u64 {
    match table {
        Table::Codes8 | Table::Channels8 { .. } => 1 << 8,
        Table::Codes16 { .. } => 1 << 16,
    }
}

/// The C type of the bits of an element of that many bytes.
fn raw(size: u64) -> &'static str {
    match size {
        1 => "u8",
        2 => "u16",
        4 => "u32",
        _ => "u64",
    }
}

/// The body that looks every store's value up, and where its table lies.
pub fn body(kernel: &Kernel, table: Table) -> Result<(Staged, Body), EmitError> {
    let unfit = |why: &str| EmitError::Schedule { kernel: kernel.name.clone(), why: why.to_owned() };
    // Channels of a block, and whether an element's channel is its place in the vector.
    let (load, staged, across) = match table {
        Table::Channels8 { window, .. } => {
            let found = kernel.channels().ok_or_else(|| unfit("it is no function of a code and a channel"))?;
            (found.load, u64::from(window), found.inner.is(1))
        }
        Table::Codes8 | Table::Codes16 { .. } if kernel.loads.len() == 1 => (0, 1, false),
        Table::Codes8 | Table::Codes16 { .. } => return Err(unfit("a table has one operand")),
    };
    let size = bytes(kernel.loads[load].dtype);
    if 1 << (8 * size) != codes(table) {
        return Err(unfit("the operand's type has another number of codes than the table"));
    }
    let mut at = 0;
    let (mut outputs, mut parts) = (Vec::new(), Vec::new());
    let entry: u64 = kernel.stores.iter().map(|store| bytes(store.dtype)).sum();
    for (i, store) in kernel.stores.iter().enumerate() {
        let size = bytes(store.dtype);
        let c_type = raw(size);
        let packer = format!("pack_{}", 8 * size);
        let stride = codes(table) * entry / size;
        let place = if across { format!("e * {stride} + code") } else { "code".to_owned() };
        outputs.push(Output::new(format!("table{i}[{place}]"), c_type, packer));
        parts.push((c_type, at / 16, stride));
        at += size * codes(table);
    }
    let body = Body {
        lines: Vec::new(),
        outputs,
        params: Vec::new(),
        native: BTreeSet::from([load]),
        as_float: BTreeSet::new(),
        doubts: Vec::new(),
        watched: Vec::new(),
        far: Vec::new(),
        steady: Vec::new(),
    };
    let staged = Staged { pieces: staged * at / 16, pointers: Vec::new(), code: Some(raw(size)), parts };
    let pointers = staged.pointers_at("");
    Ok((Staged { pointers, ..staged }, body))
}

/// The table: for each store its value for every code, in the order of the codes' bits; of channels one such table after the other, and zeros
/// to the end of the last window.
pub fn contents(kernel: &Kernel, table: Table) -> Vec<u8> {
    let Table::Channels8 { window, .. } = table else { return of_codes(kernel, table, 0, &[Number::Int(0)]) };
    let Some(channels) = kernel.channels() else { return Vec::new() };
    let constants = (0..channels.channels).filter_map(|channel| kernel.constants(&channels, channel));
    let mut all = constants.flat_map(|loads| of_codes(kernel, table, channels.load, &loads)).collect::<Vec<u8>>();
    let of_window = all.len() / channels.channels.max(1) as usize * window as usize;
    all.resize(all.len().next_multiple_of(of_window.max(1)), 0);
    all
}

/// For each store its value for every code of operand `load`, the others being `loads`.
fn of_codes(kernel: &Kernel, table: Table, load: usize, loads: &[Number]) -> Vec<u8> {
    let Some(dtype) = kernel.loads.get(load).map(|load| load.dtype) else { return Vec::new() };
    let mut parts: Vec<Vec<u8>> = vec![Vec::new(); kernel.stores.len()];
    let mut loads = loads.to_vec();
    for code in 0..codes(table) {
        loads[load] = Scalar::from_bits(dtype, code).number();
        let values = body::eval(kernel, &loads, Rounding::Exact);
        for ((part, store), value) in parts.iter_mut().zip(&kernel.stores).zip(values) {
            let bits = Scalar::new(store.dtype, value).bits();
            part.extend_from_slice(&bits.to_le_bytes()[..bytes(store.dtype) as usize]);
        }
    }
    parts.concat()
}

/// The tables of a kernel's look-ups: for each the f32 value of its statement for every code.
pub fn lookups(kernel: &Kernel) -> Vec<u8> {
    let zeros: Vec<_> = kernel.loads.iter().map(|load| Scalar::from_bits(load.dtype, 0).number()).collect();
    let mut bytes = Vec::new();
    for lookup in &kernel.schedule.lookups {
        for code in 0..ENTRIES as u64 {
            let mut loads = zeros.clone();
            loads[lookup.load as usize] = Scalar::from_bits(kernel.loads[lookup.load as usize].dtype, code).number();
            let value = body::statements(kernel, &loads, Rounding::Exact)[lookup.stmt as usize];
            bytes.extend((value.as_f64() as f32).to_le_bytes());
        }
    }
    bytes
}
