//! The PTX interpreter as a machine.

use super::trial::{Machine, Outcome, Region, Stored, Trial};
use crate::emit::{self, ArgValue};
use crate::ptx::{self, DevPtr, Memory, Module, PtxError};

/// A kernel's PTX, executed on the CPU. It reports accesses outside of a region, reads of what nothing wrote, races, and two blocks
/// that write the same byte.
pub struct Interpreter {
    module: Module,
    entry: String,
    /// See [`ptx::Options::perturb`].
    perturb: Option<u64>,
}

impl Interpreter {
    /// Takes the PTX that NVRTC made of a kernel's text. With a seed, approximate instructions are moved within their documented error.
    ///
    /// # Errors
    /// If the text is not PTX, has no kernel of that name, or uses what the interpreter does not know.
    pub fn new(ptx: &str, entry: &str, perturb: Option<u64>) -> Result<Interpreter, PtxError> {
        let module = Module::parse(ptx)?;
        module.kernel(entry)?;
        Ok(Interpreter { module, entry: entry.into(), perturb })
    }
}

impl Machine for Interpreter {
    fn run(&self, trial: &Trial) -> Result<Outcome, String> {
        let code = self.module.kernel(&self.entry).map_err(|e| e.to_string())?;
        let mut memory = Memory::new();
        // Named as in the kernel's text.
        let mut place = |region: &Region, label: String| {
            let ptr = memory.alloc_at_offset(region.count * region.width(), &label, region.skew);
            memory.write(ptr, &region.contents);
            ptr
        };
        let factors: Vec<DevPtr> =
            trial.factors.iter().enumerate().map(|(i, region)| place(region, format!("factor {i}"))).collect();
        let loads: Vec<DevPtr> =
            trial.loads.iter().enumerate().map(|(i, region)| place(region, format!("x{i}"))).collect();
        let stores: Vec<DevPtr> =
            trial.stores.iter().enumerate().map(|(i, region)| place(region, format!("y{i}"))).collect();
        let table = trial.table.map(|bytes| memory.alloc_from(bytes, "table"));
        let scratch = trial.launch.scratch;
        let partials = memory.alloc(scratch.partials as usize, "partials");
        let counters = memory.alloc_from(&vec![0; scratch.counters as usize], "counters");

        // The region begins at the access's first element, and a parameter points `offset` bytes into the whole buffer.
        let pointer = |regions: &[Region], at: &[DevPtr], index: u32, offset: i64| {
            let region = &regions[index as usize];
            ptx::Arg::Ptr(at[index as usize].offset(offset - region.first * region.width() as i64))
        };
        let mut args = Vec::with_capacity(trial.launch.args.len());
        for arg in &trial.launch.args {
            args.push(match *arg {
                ArgValue::Load { index, offset, .. } => pointer(&trial.loads, &loads, index, offset),
                ArgValue::Store { index, offset, .. } => pointer(&trial.stores, &stores, index, offset),
                ArgValue::Factor { index, offset, .. } => pointer(&trial.factors, &factors, index, offset),
                ArgValue::TensorMap { index, offset, map } => match pointer(&trial.factors, &factors, index, offset) {
                    ptx::Arg::Ptr(base) => tensor_map(base, map).into(),
                    other @ ptx::Arg::Bytes(_) => other,
                },
                ArgValue::Table { .. } => ptx::Arg::Ptr(table.ok_or("it reads a table and has none")?),
                ArgValue::Partials => ptx::Arg::Ptr(partials),
                ArgValue::Counters => ptx::Arg::Ptr(counters),
                ArgValue::U32(n) => n.into(),
                ArgValue::I32(n) => n.into(),
                ArgValue::U64(n) => n.into(),
                ArgValue::I64(n) => n.into(),
                ArgValue::F32(x) => x.into(),
                ArgValue::F64(x) => x.into(),
            });
        }
        let launch = &trial.launch;
        let launch =
            ptx::Launch { grid: launch.grid, block: launch.block, dynamic_shared: launch.dynamic_shared, args };
        let checks = ptx::Options { block_conflicts: true, perturb: self.perturb, ..ptx::Options::default() };
        let stats = ptx::run(code, &launch, &mut memory, &checks).map_err(|fault| fault.to_string())?;
        if memory.read(counters).iter().any(|byte| *byte != 0) {
            return Err("it left a counter that is not zero".into());
        }
        let stored = |(region, ptr): (&Region, &DevPtr)| {
            let width = region.width();
            let bytes = memory.read(*ptr)[..region.count * width].to_vec();
            let written = |i: usize| memory.first_unwritten(ptr.offset((i * width) as i64), width).is_none();
            Stored { bytes, written: (0..region.count).map(written).collect() }
        };
        Ok(Outcome {
            stores: trial.stores.iter().zip(&stores).map(stored).collect(),
            instructions: Some(stats.total() as f64 / stats.threads.max(1) as f64),
        })
    }
}

/// A tensor map in the interpreter's terms.
fn tensor_map(base: DevPtr, map: emit::TensorMap) -> ptx::TensorMap {
    let emit::TensorMap { element, extent, pitch, tile } = map;
    ptx::TensorMap { base, element, extent, stride: pitch, tile, swizzle: 128 }
}
