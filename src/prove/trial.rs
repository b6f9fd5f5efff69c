//! One launch of a kernel, with its memory, for whatever machine executes it.

use super::case::Case;
use crate::dim::{Bindings, Dim};
use crate::dtype::DType;
use crate::emit::{self, ArgValue, KernelSource, Launch};
use crate::plan::{Access, Kernel};
use crate::scalar::Scalar;

/// A kernel at given sizes, with the contents of what it loads.
#[derive(Debug, Clone)]
pub struct Trial<'a> {
    pub kernel: &'a Kernel,
    pub source: &'a KernelSource,
    pub sizes: &'a Bindings,
    /// What the kernel reads its results from, if it does.
    pub table: Option<&'a [u8]>,
    pub launch: Launch,
    pub extents: Vec<u64>,
    /// Both factors of the kernel's product, if it has one.
    pub factors: Vec<Region>,
    /// One for each load and each store of the kernel.
    pub loads: Vec<Region>,
    pub stores: Vec<Region>,
}

/// The memory that an access reaches: exactly the elements from the first to the last, so that one more is a fault.
#[derive(Debug, Clone)]
pub struct Region {
    pub dtype: DType,
    /// The access's element for the tuple of zeros, and its strides.
    start: i64,
    strides: Vec<i64>,
    /// The element of the buffer that the region begins with.
    pub first: i64,
    pub count: usize,
    /// Bytes by which the region misses a multiple of 256. What [`Trial::new`] sets gives the access's own start no better an
    /// alignment than the kernel asks for.
    pub skew: usize,
    /// What a load finds there; empty for a store.
    pub contents: Vec<u8>,
}

/// What a machine left in the region of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub bytes: Vec<u8>,
    /// Whether the kernel wrote each element.
    pub written: Vec<bool>,
}

/// What a machine found.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// One for each store of the kernel.
    pub stores: Vec<Stored>,
    /// Instructions a thread executed, on average, where the machine counts them.
    pub instructions: Option<f64>,
}

/// Executes kernels, and reports what went wrong beside wrong results: accesses where there is no memory, races, faults of the device.
pub trait Machine {
    /// Runs a trial. It is not called for a trial of no elements.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn run(&self, trial: &Trial) -> Result<Outcome, String>;
}

impl<'a> Trial<'a> {
    /// A kernel at these sizes, with nothing in its loads yet.
    ///
    /// # Errors
    /// If a symbol is not bound, or the kernel can't be launched at these sizes.
    pub fn new(
        kernel: &'a Kernel,
        source: &'a KernelSource,
        sizes: &'a Bindings,
        table: Option<&'a [u8]>,
    ) -> Result<Trial<'a>, String> {
        let launch = source.launch(kernel, sizes).map_err(|e| e.to_string())?;
        let extents: Vec<u64> =
            kernel.domain.iter().map(|d| d.eval(sizes)).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
        let align = |store: bool, which: usize| {
            let of = |arg: &ArgValue| match *arg {
                ArgValue::Load { index, align, .. } if !store && index as usize == which => Some(align),
                ArgValue::Store { index, align, .. } if store && index as usize == which => Some(align),
                _ => None,
            };
            launch.args.iter().find_map(of).unwrap_or(1)
        };
        let region = |access: &Access, dtype: DType, align: u32| Region::new(access, dtype, &extents, sizes, align);
        let loads = kernel.loads.iter().enumerate();
        let loads =
            loads.map(|(i, load)| region(&load.access, load.dtype, align(false, i))).collect::<Result<_, _>>()?;
        let stores = kernel.stores.iter().enumerate();
        let stores = stores.map(|(i, s)| region(&s.access, s.dtype, align(true, i))).collect::<Result<_, _>>()?;
        let mut factors = Vec::new();
        if let Some(product) = &kernel.product {
            let accesses = product.contraction.accesses().map_err(|e| e.to_string())?;
            for (which, (factor, (over, access))) in product.factors().iter().zip(accesses).enumerate() {
                let of = |arg: &ArgValue| match *arg {
                    ArgValue::Factor { index, align, .. } if index as usize == which => Some(align),
                    ArgValue::TensorMap { index, .. } if index as usize == which => Some(emit::TensorMap::ALIGN),
                    _ => None,
                };
                let align = launch.args.iter().find_map(of).unwrap_or(1);
                let extents: Vec<u64> =
                    over.iter().map(|d| d.eval(sizes)).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
                factors.push(Region::new(&access, factor.dtype, &extents, sizes, align)?);
            }
        }
        Ok(Trial { kernel, source, sizes, table, launch, extents, factors, loads, stores })
    }

    pub(super) fn of_case(case: &'a Case, table: Option<&'a [u8]>) -> Result<Trial<'a>, String> {
        Trial::new(&case.kernel, &case.source, &case.sizes, table)
    }

    /// Number of tuples of the domain.
    pub fn count(&self) -> u64 {
        self.extents.iter().product()
    }

    /// Every tuple of the domain, in row-major order.
    pub fn tuples(&self) -> impl Iterator<Item = Vec<u64>> + '_ {
        let mut index = vec![0u64; self.extents.len()];
        (0..self.count()).map(move |_| {
            let tuple = index.clone();
            for (i, extent) in index.iter_mut().zip(&self.extents).rev() {
                *i += 1;
                if *i < *extent {
                    break;
                }
                *i = 0;
            }
            tuple
        })
    }
}

impl Region {
    fn new(access: &Access, dtype: DType, extents: &[u64], sizes: &Bindings, align: u32) -> Result<Region, String> {
        let eval = |d: &Dim| d.eval_signed(sizes).map_err(|e| e.to_string());
        let start = eval(&access.offset)?;
        let strides: Vec<i64> = access.strides.iter().map(eval).collect::<Result<_, _>>()?;
        let (mut first, mut last) = (0i64, 0i64);
        for (stride, extent) in strides.iter().zip(extents) {
            let span = stride * (*extent as i64 - 1).max(0);
            *(if span < 0 { &mut first } else { &mut last }) += span;
        }
        let count = if extents.contains(&0) { 0 } else { (last - first + 1) as usize };
        let bytes = dtype.bytes().ok_or_else(|| format!("{dtype} is no type of a kernel"))?;
        // The parameter's pointer is the access's own start: that address gets the alignment, and no more.
        let before = first.unsigned_abs() as usize * bytes;
        let align = align.max(bytes as u32) as usize;
        let skew = (align % 256 + 256 - before % 256) % 256;
        Ok(Region { dtype, start, strides, first: start + first, count, skew, contents: Vec::new() })
    }

    /// The access's element of the buffer for the tuple of zeros.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// Bytes of an element.
    pub fn width(&self) -> usize {
        self.dtype.bytes().unwrap_or(1)
    }

    /// The contents of a region of a buffer that holds these elements.
    pub fn part_of(&self, buffer: &[Scalar]) -> Vec<u8> {
        let element =
            |at: usize| buffer.get(self.first as usize + at).map_or(0, |element| element.bits()).to_le_bytes();
        (0..self.count).flat_map(|at| element(at).into_iter().take(self.width())).collect()
    }

    /// Which element of the region an access takes for an index tuple.
    pub fn position(&self, index: &[u64]) -> usize {
        let at = self.start + self.strides.iter().zip(index).map(|(s, i)| s * *i as i64).sum::<i64>();
        (at - self.first) as usize
    }

    /// Element `position` of bytes that are laid out as the region.
    pub fn element(&self, bytes: &[u8], position: usize) -> Scalar {
        let width = self.width();
        let mut le = [0; 8];
        le[..width].copy_from_slice(&bytes[position * width..][..width]);
        Scalar::from_bits(self.dtype, u64::from_le_bytes(le))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_what_an_access_reaches() {
        let access = Access { offset: Dim::fixed(20), strides: vec![Dim::fixed(-3), Dim::symbol("s")] };
        let sizes = [("s".to_string(), 5)].into();
        let region = Region::new(&access, DType::F16, &[4, 3], &sizes, 16).unwrap();
        assert_eq!((region.first, region.count), (11, 20));
        assert_eq!((region.position(&[3, 0]), region.position(&[0, 2])), (0, 19));
        // The start of the access, 9 elements on, is at 16 past a multiple of 256.
        assert_eq!((region.skew + 9 * 2) % 256, 16);
    }
}
