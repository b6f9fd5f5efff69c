//! From sizes to a launch: grid, block and arguments.

use super::params::ArgValue;
use super::{EmitError, KernelSource};
use crate::dim::{Bindings, Dim, DimError};
use crate::plan::{IndexWidth, Kernel, Stage};
use serde::Serialize;

/// How many blocks a kernel needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LaunchRule {
    /// Threads a block.
    pub threads: u32,
    pub blocks: Blocks,
    /// Bytes of dynamic shared memory.
    pub dynamic_shared: u32,
    /// The text waits at its entry for the kernel before it, so it may be launched while that one still runs.
    pub dependent: bool,
    /// The index type of the text, which bounds the sizes it can be launched on.
    pub index: IndexWidth,
}

/// The grid as a function of the sizes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocks {
    /// One thread for each product of ⌈size / step⌉ of the pairs.
    Threads(Vec<(Dim, u64)>),
    /// One block for each product of ⌈size / step⌉ of the pairs.
    Tiles(Vec<(Dim, u64)>),
    /// As [`Blocks::Tiles`], `split` blocks a tile, each of which leaves `words` words of 4 bytes for the last of them.
    Split { tiles: Vec<(Dim, u64)>, split: u32, words: u32 },
    /// As [`Blocks::Tiles`], `step` elements a thread in each pass of its loop.
    Walked { tiles: Vec<(Dim, u64)>, step: u64 },
    /// As many blocks as the device has multiprocessors, or fewer if ⌈size / step⌉ threads need fewer.
    Persistent { size: Dim, step: u64, multiprocessors: u32 },
    /// As many blocks as the device has multiprocessors, or fewer if there are fewer products of ⌈size / step⌉ of the pairs.
    Walk { tiles: Vec<(Dim, u64)>, multiprocessors: u32 },
}

/// A launch. With no elements to compute the grid is `[0, 1, 1]` and nothing is to be launched.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared: u32,
    pub scratch: Scratch,
    /// In the order of the parameters.
    pub args: Vec<ArgValue>,
}

/// Bytes of memory that the blocks of a launch share with one another. Launches that do not run at the same time may have the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scratch {
    pub partials: u64,
    /// Zero before a launch, and after it.
    pub counters: u64,
}

impl KernelSource {
    /// The launch of `kernel`, whose text this is, at the given sizes.
    ///
    /// # Errors
    /// [`EmitError::Dim`] if a symbol is not bound or a size overflows, [`EmitError::Broadcast`] if an operand does not broadcast, [`EmitError::IndexTooNarrow`] if the sizes need 64-bit
    /// indices and the text has 32-bit ones.
    pub fn launch(&self, kernel: &Kernel, bindings: &Bindings) -> Result<Launch, EmitError> {
        let dim = |source| EmitError::Dim { kernel: kernel.name.clone(), source };
        let extents: Vec<u64> =
            kernel.domain.iter().map(|d| d.eval(bindings)).collect::<Result<_, _>>().map_err(dim)?;
        let broadcast = |source| EmitError::Broadcast { kernel: kernel.name.clone(), source };
        kernel.check_broadcasts(bindings).map_err(broadcast)?;
        let empty = extents.contains(&0);
        if !empty && self.rule.index == IndexWidth::Bits32 {
            check_narrow(kernel, &extents, bindings)?;
        }
        let args = self.params.iter().map(|param| param.at(kernel, bindings)).collect::<Result<_, _>>().map_err(dim)?;
        self.launched(&kernel.name, empty, bindings, args)
    }

    /// The launch of `stage`, whose text this is, at the given sizes.
    ///
    /// # Errors
    /// As [`KernelSource::launch`].
    pub fn launch_stage(&self, stage: &Stage, bindings: &Bindings) -> Result<Launch, EmitError> {
        let dim = |source| EmitError::Dim { kernel: stage.name.clone(), source };
        let count = |shape: &[Dim]| {
            shape.iter().try_fold(1u128, |n, d| Ok(n.saturating_mul(u128::from(d.eval(bindings)?)))).map_err(dim)
        };
        for operand in stage.reads.iter().chain(&stage.writes) {
            let elements = count(&operand.shape)?;
            if self.rule.index == IndexWidth::Bits32 {
                narrow(&stage.name, elements)?;
            }
        }
        let mut empty = true;
        for write in &stage.writes {
            empty &= count(&write.shape)? == 0;
        }
        let args = self.params.iter().map(|param| param.number(bindings)).collect::<Result<_, _>>().map_err(dim)?;
        self.launched(&stage.name, empty, bindings, args)
    }

    fn launched(
        &self,
        kernel: &str,
        empty: bool,
        bindings: &Bindings,
        args: Vec<ArgValue>,
    ) -> Result<Launch, EmitError> {
        let dim = |source| EmitError::Dim { kernel: kernel.into(), source };
        let blocks = if empty { 0 } else { self.rule.blocks_for(bindings).map_err(dim)? };
        let grid = u32::try_from(blocks).ok().filter(|n| *n <= i32::MAX as u32);
        let grid = grid.ok_or_else(|| EmitError::TooManyBlocks { kernel: kernel.into(), blocks })?;
        Ok(Launch {
            grid: [grid, 1, 1],
            block: [self.rule.threads, 1, 1],
            dynamic_shared: self.rule.dynamic_shared,
            scratch: self.rule.scratch(blocks),
            args,
        })
    }
}

impl Blocks {
    /// The multiprocessors that blocks which walk the domain are spread over; `None` for blocks that do not.
    pub fn multiprocessors(&mut self) -> Option<&mut u32> {
        match self {
            Blocks::Persistent { multiprocessors, .. } | Blocks::Walk { multiprocessors, .. } => Some(multiprocessors),
            Blocks::Threads(_) | Blocks::Tiles(_) | Blocks::Walked { .. } | Blocks::Split { .. } => None,
        }
    }
}

impl LaunchRule {
    /// Elements of the domain that a thread computes, in one step of a loop where it has one.
    pub fn elements_per_thread(&self) -> f64 {
        let steps = |pairs: &[(Dim, u64)]| pairs.iter().map(|(_, step)| *step as f64).product::<f64>();
        match &self.blocks {
            Blocks::Threads(pairs) => steps(pairs),
            Blocks::Tiles(pairs) | Blocks::Walk { tiles: pairs, .. } => steps(pairs) / f64::from(self.threads),
            Blocks::Split { tiles, split, .. } => steps(tiles) / f64::from(*split) / f64::from(self.threads),
            Blocks::Walked { step, .. } | Blocks::Persistent { step, .. } => *step as f64,
        }
    }

    /// What a launch of so many blocks needs.
    fn scratch(&self, blocks: u64) -> Scratch {
        match self.blocks {
            Blocks::Split { split, words, .. } => {
                Scratch { partials: 4 * blocks * u64::from(words), counters: 4 * blocks / u64::from(split.max(1)) }
            }
            Blocks::Threads(_)
            | Blocks::Tiles(_)
            | Blocks::Walked { .. }
            | Blocks::Persistent { .. }
            | Blocks::Walk { .. } => Scratch::default(),
        }
    }

    fn blocks_for(&self, bindings: &Bindings) -> Result<u64, DimError> {
        let product = |pairs: &[(Dim, u64)]| {
            pairs.iter().try_fold(1u64, |n, (size, step)| {
                let steps = size.eval(bindings)?.div_ceil(*step);
                n.checked_mul(steps).ok_or_else(|| DimError::Overflow(size.to_string()))
            })
        };
        let threads = u64::from(self.threads);
        Ok(match &self.blocks {
            Blocks::Threads(pairs) => product(pairs)?.div_ceil(threads),
            Blocks::Tiles(tiles) | Blocks::Walked { tiles, .. } => product(tiles)?,
            Blocks::Split { tiles, split, .. } => product(tiles)?.saturating_mul(u64::from(*split)),
            Blocks::Walk { tiles, multiprocessors } => product(tiles)?.min(u64::from(*multiprocessors)),
            Blocks::Persistent { size, step, multiprocessors } => {
                size.eval(bindings)?.div_ceil(*step).div_ceil(threads).min(u64::from(*multiprocessors))
            }
        })
    }
}

/// Checks that a count stays below 2³¹, with room for the last block's idle threads.
fn narrow(kernel: &str, count: u128) -> Result<(), EmitError> {
    if count < (1u128 << 31) - (1 << 20) {
        return Ok(());
    }
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    Err(EmitError::IndexTooNarrow { kernel: kernel.into(), count })
}

/// Checks that counts and offsets stay below 2³¹, with room for the last block's idle threads.
fn check_narrow(kernel: &Kernel, extents: &[u64], bindings: &Bindings) -> Result<(), EmitError> {
    let check = |count: u128| narrow(&kernel.name, count);
    check(extents.iter().fold(1u128, |n, d| n.saturating_mul(u128::from(*d))))?;
    let accesses = kernel.loads.iter().map(|l| &l.access).chain(kernel.stores.iter().map(|s| &s.access));
    let dim = |source| EmitError::Dim { kernel: kernel.name.clone(), source };
    if let Some(product) = &kernel.product {
        let extent = product.contraction.extent().map_err(dim)?;
        check(u128::from(extent.k.eval(bindings).map_err(dim)?))?;
        for (over, access) in product.contraction.accesses().map_err(dim)? {
            let mut reach = 0u128;
            for (stride, size) in access.strides.iter().zip(&over) {
                let stride = stride.eval_signed(bindings).map_err(dim)?;
                let size = size.eval(bindings).map_err(dim)?;
                reach = reach.saturating_add(u128::from(stride.unsigned_abs()) * u128::from(size));
            }
            check(reach)?;
        }
    }
    for access in accesses {
        let mut reach = 0u128;
        for (stride, extent) in access.strides.iter().zip(extents) {
            let stride = stride.eval_signed(bindings);
            let stride = stride.map_err(|source| EmitError::Dim { kernel: kernel.name.clone(), source })?;
            reach = reach.saturating_add(u128::from(stride.unsigned_abs()) * u128::from(*extent));
        }
        check(reach)?;
    }
    Ok(())
}
